// Command lab runs a Kubernetes cluster, its monitoring and a forge on this
// machine, as processes on the loopback interface.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/watchtower-verify/watchtower/lab/stack"
)

func main() {
	// client-go tells standard error of every connection that breaks; what
	// matters of that comes back as errors.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; a second one ends at once.
	context.AfterFunc(ctx, stop)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// settings are the flags that every command has.
type settings struct {
	stateDir string
	output   string
}

func newRoot() *cobra.Command {
	s := &settings{}
	root := &cobra.Command{
		Use:           "lab",
		Short:         "A real cluster on this machine, for tests and experiments",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return s.complete()
		},
	}
	root.PersistentFlags().StringVar(&s.stateDir, "state", "", "state folder of the lab (default $WATCHTOWER_LAB_STATE, or one in the user's cache)")
	root.PersistentFlags().StringVarP(&s.output, "output", "o", "table", "table or json")
	root.AddCommand(newUp(s), newDown(s), newStatus(s), newDeploy(s), newTraffic(s), newImages(s), newBuild(s), newKubectl(s), newDemo(s))
	return root
}

func (s *settings) complete() error {
	if s.output != "table" && s.output != "json" {
		return fmt.Errorf("--output=%s: it is table or json", s.output)
	}
	if s.stateDir == "" {
		dir, err := stack.DefaultStateDir()
		if err != nil {
			return err
		}
		s.stateDir = dir
	}
	return nil
}

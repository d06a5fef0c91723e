package main

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/lab/stack"
)

func newUp(s *settings) *cobra.Command {
	var opt stack.Options
	var verbose bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a lab and run it until it is stopped",
		Long: `Start a lab and run it until it is stopped: by a signal, or by "lab down".

Parts that were never built are compiled first, once: about fifteen minutes on
two cores for all of them. Every start is a fresh cluster; what is kept from one
to the next is the image catalogue. When this process ends, however it ends,
nothing of the lab goes on.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opt.StateDir, opt.Progress = s.stateDir, cmd.ErrOrStderr()
			level := slog.LevelWarn
			if verbose {
				level = slog.LevelInfo
			}
			opt.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			ctx := cmd.Context()
			lab, err := stack.Up(ctx, opt)
			if err != nil {
				return err
			}
			defer lab.Down()
			if err := showUp(cmd, s, lab.Info()); err != nil {
				return err
			}
			for {
				select {
				case <-ctx.Done():
					return nil
				case failure := <-lab.Failed():
					// The rest goes on: it may be what somebody wants to see.
					fmt.Fprintln(cmd.ErrOrStderr(), failure.Error())
				}
			}
		},
	}
	cmd.Flags().StringVar(&opt.Catalogue, "catalogue", "", "image catalogue file (default images.json in the state folder)")
	cmd.Flags().StringVar(&opt.Webapp, "webapp", "", "executable behind the images of the sample service")
	cmd.Flags().StringSliceVar(&opt.Without, "without", nil, "parts to leave out: "+strings.Join(stack.Optional(), ", "))
	cmd.Flags().StringToIntVar(&opt.Ports, "port", nil, "port of a part, as prometheus=9090 (default: free ones)")
	cmd.Flags().StringToStringVar(&opt.Scrape, "scrape", nil, "have Prometheus scrape this too, as watchtower=127.0.0.1:8080")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "tell of each part that is ready")
	return cmd
}

func showUp(cmd *cobra.Command, s *settings, info stack.Info) error {
	out := cmd.OutOrStdout()
	if s.output == "json" {
		return writeJSON(out, info)
	}
	fmt.Fprintf(out, "The lab is ready (%.1f s).\n\n", info.StartedSeconds)
	if err := table(out, places(info)...); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nexport KUBECONFIG=%s\n\nCtrl-C or `lab down` ends it.\n", info.Kubeconfig)
	return err
}

func newDown(s *settings) *cobra.Command {
	var grace time.Duration
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End the lab that runs on the state folder",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return stack.End(cmd.Context(), s.stateDir, grace)
		},
	}
	cmd.Flags().DurationVar(&grace, "grace", 20*time.Second, "how long it may take before it is killed")
	return cmd
}

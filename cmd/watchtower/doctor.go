package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/app"
	"github.com/watchtower-verify/watchtower/internal/doctor"
)

// errNotWell ends a command whose report was printed in full: a part does not
// work.
var errNotWell = errors.New("a part does not work")

func newDoctorCommand() *cobra.Command {
	var path string
	var quiet, strict bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Try every source and receiver; say what is silent and how to mend it",
		Long: `Try every part that the configuration names, and say what is silent and how to
mend it: the cluster and what may be done in it, the metric store and whether
there is something to judge by, clocks, Alertmanager, the forge, and every
receiver.

Each receiver is sent a message that is marked as a test; with --quiet none is.
Alertmanager is sent an alert that is over, which it tells nobody of. Run it where
Watchtower runs, so that it has the same account, secrets and network:

  kubectl -n watchtower exec deploy/watchtower -- watchtower doctor --config …

With --server it shows what a running server found when it last looked, which it
does every ten minutes without test messages; that has the workloads too.

The exit status is 0 when everything works, 1 when a part does not (with --strict
also when one works in part), and 2 when the configuration has faults.`,
		Example: `  watchtower doctor --config watchtower.yaml
  watchtower doctor --server http://localhost:9477 -o json`,
		Args: noArguments,
	}
	cmd.Flags().StringVar(&path, "config", "watchtower.yaml", "configuration file")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "send no test messages")
	cmd.Flags().BoolVar(&strict, "strict", false, "let warnings count as faults")
	output := outputFlag(cmd, "text", "json", "yaml")
	connect := serverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var r doctor.Report
		var err error
		if cmd.Flags().Changed("server") {
			c, err := connect()
			if err != nil {
				return err
			}
			if r, err = c.Doctor(cmd.Context()); err != nil {
				return err
			}
		} else if r, err = app.Doctor(cmd.Context(), path, version, !quiet, slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
		if output.value == "text" {
			_, err = fmt.Fprint(cmd.OutOrStdout(), doctor.Text(r))
		} else {
			err = printAs(cmd.OutOrStdout(), output.value, r)
		}
		if err == nil && (r.Status == doctor.Failed || (strict && r.Status == doctor.Warning)) {
			return errNotWell
		}
		return err
	}
	return cmd
}

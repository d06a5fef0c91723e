package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// errNothingMeasured ends a command whose answer was printed in full: nothing
// of the workload can be measured.
var errNothingMeasured = errors.New("nothing is measured")

func newSignalsCommand() *cobra.Command {
	var namespace string
	cmd := &cobra.Command{
		Use:   "signals WORKLOAD",
		Short: "Say what is measured of a workload and why, or why nothing is",
		Long: `Say what is measured of a workload and why, with the current value of each signal
in each arm; or why nothing is measured, and what to change.

WORKLOAD is a Deployment: namespace/name, or its name with --namespace. While a
release of it is watched the arms are the release's and the stable pods;
otherwise all its pods are the stable arm. The metric store is asked anew.

The exit status is 0 when something is measured, 3 when nothing can be, 1 when
that could not be found out, and 2 when WORKLOAD names none.`,
		Example: `  watchtower signals shop/webapp
  watchtower signals webapp -n shop -o json`,
		Args: oneArgument("WORKLOAD"),
	}
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "namespace of the workload")
	output := outputFlag(cmd, "text", "json", "yaml")
	connect := serverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ns, name, err := workloadName(args[0], namespace)
		if err != nil {
			return usageError{err, cmd.CommandPath()}
		}
		c, err := connect()
		if err != nil {
			return err
		}
		r, err := c.Signals(cmd.Context(), ns, name)
		if err != nil {
			return wrongName(err)
		}
		if output.value == "text" {
			_, err = fmt.Fprint(cmd.OutOrStdout(), release.ExplainSignals(r))
		} else {
			err = printAs(cmd.OutOrStdout(), output.value, r)
		}
		if err == nil && !slices.ContainsFunc(r.Signals, func(s release.SignalStatus) bool { return s.Measured }) {
			return errNothingMeasured
		}
		return err
	}
	return cmd
}

// workloadName reads namespace/name, or a name of the namespace given apart.
func workloadName(arg, namespace string) (ns, name string, err error) {
	ns, name, slash := strings.Cut(arg, "/")
	if !slash {
		ns, name = namespace, arg
	}
	switch {
	case slash && (ns == "" || name == "" || strings.Contains(name, "/")), name == "":
		return "", "", fmt.Errorf("%q names no workload: write namespace/name", arg)
	case ns == "":
		return "", "", fmt.Errorf("the namespace of %s is missing: write namespace/%s, or add --namespace", name, name)
	case namespace != "" && namespace != ns:
		return "", "", fmt.Errorf("the workload %s is not in the namespace %s: leave --namespace out", arg, namespace)
	}
	return ns, name, nil
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func newExplainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain RELEASE",
		Short: "Say why a release got its verdict, and what was done",
		Long: `Say why a release got its verdict: in words, then in numbers, then with the
queries that gave them; and what was done about it.

RELEASE is an ID, the start of one, or namespace/workload for the newest release
of that workload.`,
		Example: `  watchtower explain shop/webapp
  watchtower explain 4be1a0c93f27 -o yaml`,
		Args: oneArgument("RELEASE"),
	}
	output := outputFlag(cmd, "text", "json", "yaml")
	connect := serverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := connect()
		if err != nil {
			return err
		}
		d, err := c.Find(cmd.Context(), args[0])
		if err != nil {
			return wrongName(err)
		}
		if output.value != "text" {
			return printAs(cmd.OutOrStdout(), output.value, d)
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), release.Explain(d.Release, d.Verdict, d.Policy, d.Actions, d.Audit))
		return err
	}
	return cmd
}

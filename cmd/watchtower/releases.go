package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/client"
	"github.com/watchtower-verify/watchtower/internal/release"
)

func newReleasesCommand() *cobra.Command {
	var f client.Filter
	verdict := &choice{allowed: []string{"pending", "healthy", "regressed", "insufficient_data", "source_broken"}}
	cmd := &cobra.Command{
		Use:   "releases",
		Short: "List releases and their verdicts, newest first",
		Example: `  watchtower releases
  watchtower releases -n shop --verdict regressed
  watchtower releases --workload webapp --limit 5 -o json`,
		Args: noArguments,
	}
	cmd.Flags().StringVarP(&f.Namespace, "namespace", "n", "", "only releases in this namespace")
	cmd.Flags().StringVar(&f.Workload, "workload", "", "only releases of workloads with this name")
	cmd.Flags().Var(verdict, "verdict", "only releases with this verdict: pending, healthy, regressed, insufficient_data or source_broken")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "about how many to list, at most 500")
	output := outputFlag(cmd, "table", "json", "yaml")
	connect := serverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.Limit < 1 || f.Limit > wire.MaxLimit {
			return usageError{fmt.Errorf("--limit is %d: use 1 to %d", f.Limit, wire.MaxLimit), ""}
		}
		f.Verdict = release.VerdictKind(verdict.value)
		c, err := connect()
		if err != nil {
			return err
		}
		l, err := c.Releases(cmd.Context(), f)
		if err != nil {
			return wrongName(err)
		}
		if output.value != "table" {
			return printAs(cmd.OutOrStdout(), output.value, l)
		}
		if err := printTable(cmd.OutOrStdout(), l.Releases); err != nil {
			return err
		}
		switch {
		case len(l.Releases) == 0:
			fmt.Fprintln(cmd.ErrOrStderr(), "No release matches.")
		case l.NextBefore != nil:
			fmt.Fprintln(cmd.ErrOrStderr(), "There are older ones: raise --limit or narrow the filter.")
		}
		return nil
	}
	return cmd
}

func printTable(w io.Writer, releases []wire.Summary) error {
	if len(releases) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RELEASE\tSTARTED\tWORKLOAD\tVERSION\tVERDICT\tLIVE\tSUMMARY")
	for _, r := range releases {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			release.OneLine(string(r.Release.ID), 12),
			r.Release.StartedAt.UTC().Format(time.RFC3339),
			release.OneLine(r.Release.Workload.String(), 60),
			release.VersionStep(r.Release),
			release.OneLine(verdictWords(r.Verdict), 30),
			map[bool]string{true: "yes", false: "no"}[r.Live],
			release.OneLine(summary(r), release.HeadlineLimit))
	}
	return t.Flush()
}

// summary is the headline without the workload and the versions, which have
// columns of their own.
func summary(r wire.Summary) string {
	s := r.Verdict.Summary
	if s == "" {
		s = release.Headline(r.Release, r.Verdict)
	}
	return strings.TrimPrefix(s, release.OneLine(r.Release.Workload.String(), 50)+" "+release.VersionStep(r.Release)+" ")
}

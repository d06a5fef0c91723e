package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/client"
	"github.com/watchtower-verify/watchtower/internal/judge"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// soundAmongBlamed is the share of those to blame that is expected to be sound.
const soundAmongBlamed = 0.05

func newSuspectsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "suspects",
		Short: "Rank the latest releases by what speaks against them",
		Long: `Rank the releases of the last hours by what speaks against them: which of the
dozen that went out broke it? Those to blame are chosen such that one in twenty of
them at most is expected to be sound, however many there are (e-BH). A release that
suffers from another, or whose verdict somebody marked wrong, is ranked last.`,
		Example: `  watchtower suspects
  watchtower suspects -n shop --since 30m`,
		Args: noArguments,
	}
	namespace := cmd.Flags().StringP("namespace", "n", "", "only releases in this namespace")
	since := cmd.Flags().Duration("since", 2*time.Hour, "how long ago they began at most")
	output := outputFlag(cmd, "table", "json", "yaml")
	connect := serverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *since <= 0 {
			return usageError{fmt.Errorf("--since is %s: use 30m, 2h or the like", *since), ""}
		}
		c, err := connect()
		if err != nil {
			return err
		}
		found, err := releasesSince(cmd.Context(), c, *namespace, time.Now().Add(-*since))
		if err != nil {
			return wrongName(err)
		}
		list := rank(found)
		if output.value != "table" {
			return printAs(cmd.OutOrStdout(), output.value, list)
		}
		if len(list.Suspects) == 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "No release began in the last %s.\n", *since)
			return nil
		}
		return printSuspects(cmd.OutOrStdout(), list.Suspects)
	}
	return cmd
}

// releasesSince are those that began at a time or later.
func releasesSince(ctx context.Context, c *client.Client, namespace string, since time.Time) ([]wire.Summary, error) {
	var out []wire.Summary
	f := client.Filter{Namespace: namespace, Limit: wire.MaxLimit}
	for {
		l, err := c.Releases(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, r := range l.Releases {
			if !r.Release.StartedAt.Before(since) {
				out = append(out, r)
			}
		}
		// Pages go by when a release was seen, which is not before it began.
		if l.NextBefore == nil || l.NextBefore.Before(since) {
			return out, nil
		}
		f.Before = *l.NextBefore
	}
}

// suspects are releases with what speaks against them, the most first.
type suspects struct {
	Suspects []suspect `json:"suspects"`
}

type suspect struct {
	wire.Summary
	// EValue is that of the ranking: of a state, such as a crash loop, the largest.
	EValue  float64 `json:"ranked_e_value"`
	ToBlame bool    `json:"to_blame"`
}

// certain is the e-value of what is no matter of chance.
const certain = 1e300

func rank(releases []wire.Summary) suspects {
	e := make([]float64, len(releases))
	for i, r := range releases {
		v := r.Verdict
		switch {
		case v.Wrong != nil || v.AffectedBy != "":
			e[i] = 0
		case v.Kind == release.Regressed && v.State:
			e[i] = certain
		default:
			e[i] = v.EValue
		}
	}
	order, blamed := judge.BlameList(e, soundAmongBlamed)
	out := suspects{Suspects: make([]suspect, len(order))}
	for n, i := range order {
		out.Suspects[n] = suspect{releases[i], e[i], n < blamed}
	}
	return out
}

func printSuspects(w io.Writer, list []suspect) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TO BLAME\tRELEASE\tSTARTED\tWORKLOAD\tVERSION\tE-VALUE\tSUMMARY")
	for _, s := range list {
		e := strconv.FormatFloat(s.EValue, 'g', 2, 64)
		said := summary(s.Summary)
		switch {
		case s.EValue >= certain:
			e = "state"
		case s.Verdict.Wrong != nil:
			e, said = "-", "marked wrong; "+said
		case s.Verdict.AffectedBy != "":
			e, said = "-", "affected by "+s.Verdict.AffectedBy+"; "+said
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			map[bool]string{true: "yes", false: "no"}[s.ToBlame],
			release.OneLine(string(s.Release.ID), 12), s.Release.StartedAt.UTC().Format(time.RFC3339),
			release.OneLine(s.Release.Workload.String(), 60), release.VersionStep(s.Release), e,
			release.OneLine(said, release.HeadlineLimit))
	}
	return t.Flush()
}

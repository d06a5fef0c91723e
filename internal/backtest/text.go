package backtest

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// WriteText writes one line for each release, and a summary.
func (r *Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(r.Releases) > 0 {
		fmt.Fprintln(t, "STARTED\tRELEASE\tVERSION\tVERDICT\tAFTER\tWHY")
	}
	for _, rel := range r.Releases {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", rel.StartedAt.Format("2006-01-02 15:04:05"), rel.key(),
			release.VersionStep(rel.lived), rel.Verdict, rel.after(), rel.Why())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, r.summary())
	return err
}

// Why is the reason of a verdict in one line.
func (r *Release) Why() string {
	var parts []string
	if r.Verdict == release.Regressed {
		if e := release.Worst(r.Evidence); e != nil {
			parts = append(parts, release.EvidenceSentence(*e))
		}
	} else if r.Reason != "" {
		parts = append(parts, r.Reason)
	}
	if r.Needs != nil && r.Needs.Requests > 0 {
		parts = append(parts, release.Integer(r.Needs.Requests)+" more requests needed")
	}
	switch r.AffectedBy {
	case "", release.EveryRollout: // the reason says it
	case release.Unreleased:
		parts = append(parts, "the stable pods had trouble too")
	default:
		parts = append(parts, "affected by "+r.AffectedBy)
	}
	if r.SupersededBy != "" {
		parts = append(parts, "overtaken by "+r.SupersededBy)
	}
	return release.OneLine(strings.Join(parts, "; "), 200)
}

// summary says in a few lines what was found.
func (r *Report) summary() string {
	var b strings.Builder
	s := r.Summary
	if s.Releases == 0 {
		fmt.Fprintf(&b, "No release began between %s and %s.\n", r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
		b.WriteString("Releases are found by kube_replicaset_created and kube_replicaset_owner of kube-state-metrics: does this Prometheus keep them?\n")
		return b.String()
	}
	fmt.Fprintf(&b, "\n%s from %s to %s: %d healthy, %d regressed, %d with too little data, %d without their metrics.\n",
		release.Plural(s.Releases, "release"), r.From.Format(time.RFC3339), r.To.Format(time.RFC3339), s.Healthy, s.Regressed, s.InsufficientData, s.SourceBroken)
	fmt.Fprintf(&b, "%s would have been rolled back.\n", release.Plural(s.Rollbacks, "release"))
	if s.MedianDecision != nil {
		fmt.Fprintf(&b, "Half of the decisions fell within %s of the rollout's start.\n", release.Seconds(*s.MedianDecision))
	}
	if k := s.KnownGood; k != nil {
		fmt.Fprintf(&b, "Of %d releases known to be good %d would have been called regressed: %s (95 %% interval %s to %s).\n",
			k.Releases, k.Regressed, release.Percent(k.Rate), release.Percent(k.Low), release.Percent(k.High))
		if len(k.Unknown) > 0 {
			fmt.Fprintf(&b, "Not among the releases in this range: %s.\n", release.OneLine(strings.Join(k.Unknown, ", "), 400))
		}
	}
	for _, k := range r.Skipped {
		fmt.Fprintf(&b, "Not replayed: %s/%s: %s.\n", k.Namespace, k.ReplicaSet, k.Reason)
	}
	fmt.Fprintf(&b, "%s queries, %s samples.\n", release.Integer(s.Queries), release.Integer(s.Samples))
	return b.String()
}

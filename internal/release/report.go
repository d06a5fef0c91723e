package release

import (
	"fmt"
	"strings"
	"time"
)

// Explain tells a person all that is known of a release, as plain text for a
// terminal: the verdict in words, then the numbers, then what was done, then
// the queries with their ranges, and the audit.
func Explain(rel Release, v Verdict, p Policy, actions []Action, audit []AuditRow) string {
	var b strings.Builder
	b.WriteString(Headline(rel, v) + "\n\n")
	explainVerdict(&b, rel, v, p)
	explainEvidence(&b, v)
	explainActions(&b, actions)
	explainRelease(&b, rel)
	explainQueries(&b, v)
	explainAudit(&b, audit)
	return b.String()
}

func explainVerdict(b *strings.Builder, rel Release, v Verdict, p Policy) {
	b.WriteString(VerdictSentence(rel, v) + "\n")
	if s := WrongSentence(v); s != "" {
		b.WriteString(s + "\n")
	}
	if s := OneLine(v.Summary, 500); s != "" && s != Headline(rel, v) {
		b.WriteString(s + "\n")
	}
	if s := OneLine(v.Reason, 500); s != "" {
		b.WriteString("Why: " + s + ".\n")
	}
	if v.Needs != nil {
		b.WriteString(NeedsSentence(*v.Needs) + "\n")
	}
	for _, f := range v.Findings {
		pod := ""
		if f.Pod != "" {
			pod = " (" + OneLine(f.Pod, 100) + ")"
		}
		fmt.Fprintf(b, "Note: %s%s\n", OneLine(f.Message, 300), pod)
	}
	fmt.Fprintf(b, "Policy %q (autonomy %s): wrongly called regressed at most %s of the time, wrongly called healthy at most %s.\n",
		OneLine(p.Name, 60), p.Autonomy, Percent(p.Alpha), Percent(p.Beta))
}

// VerdictSentence says what the verdict is and since when.
func VerdictSentence(rel Release, v Verdict) string {
	var what string
	switch v.Kind {
	case Healthy:
		what = "Healthy: the release was shown to be no worse than the policy tolerates"
	case Regressed:
		what = "Regressed: the release made things worse"
	case InsufficientData:
		what = "Insufficient data: there was too little to tell either way"
	case SourceBroken:
		what = "Source broken: the measurements could not be had, so nothing was concluded from them"
	default:
		what = "Pending: no verdict yet"
	}
	if v.DecidedAt != nil {
		what += fmt.Sprintf(", decided %s", clock(*v.DecidedAt))
		if d := v.DecidedAt.Sub(rel.StartedAt); d > 0 && !rel.StartedAt.IsZero() {
			what += ", " + Seconds(d.Seconds()) + " after the rollout began"
		}
	}
	if v.Kind != Pending && !v.Final {
		what += "; it may still change, the release is being watched"
	}
	return what + "."
}

// WrongSentence says who marked the verdict as wrong; "" where nobody did.
func WrongSentence(v Verdict) string {
	if v.Wrong == nil {
		return ""
	}
	return fmt.Sprintf("Marked wrong by %s, %s: %s. It counts as a false alarm.", OneLine(v.Wrong.By, 100), clock(v.Wrong.At), strings.TrimSuffix(OneLine(v.Wrong.Why, 300), "."))
}

// NeedsSentence says how much more data a decision would take.
func NeedsSentence(n Needs) string {
	s := "To decide it would take about " + Integer(n.Requests) + " more requests"
	if n.Within > 0 {
		s += ", " + Seconds(n.Within.Seconds()) + " at today's traffic"
	} else {
		s += "; there is no traffic now"
	}
	if len(n.Signals) > 0 {
		names := make([]string, len(n.Signals))
		for i, signal := range n.Signals {
			names[i] = SignalName(signal)
		}
		s += " (undecided: " + strings.Join(names, ", ") + ")"
	}
	return s + "."
}

func explainEvidence(b *strings.Builder, v Verdict) {
	b.WriteString("\nEvidence\n")
	if len(v.Evidence) == 0 {
		b.WriteString("  none\n")
	}
	for _, e := range v.Evidence {
		b.WriteString("  " + EvidenceSentence(e) + "\n")
	}
	if v.Threshold > 0 {
		fmt.Fprintf(b, "  together: e-value %s, regressed from %s on\n", EValue(v.EValue), EValue(v.Threshold))
	}
}

func explainActions(b *strings.Builder, actions []Action) {
	b.WriteString("\nWhat was done\n")
	if len(actions) == 0 {
		b.WriteString("  nothing\n")
	}
	for _, a := range actions {
		fmt.Fprintf(b, "  %-8s  %-7s  %s", a.Kind, a.State, OneLine(a.Detail, 300))
		if a.URL != "" {
			b.WriteString("  " + OneLine(a.URL, 300))
		}
		b.WriteString("\n")
	}
}

func explainRelease(b *strings.Builder, rel Release) {
	b.WriteString("\nRelease\n")
	fmt.Fprintf(b, "  id          %s\n", rel.ID)
	fmt.Fprintf(b, "  workload    %s on cluster %s\n", OneLine(rel.Workload.String(), 200), OneLine(rel.Workload.Cluster, 100))
	fmt.Fprintf(b, "  replicaset  %s\n", ReplicaSetName(rel.ReplicaSet))
	if rel.Previous != nil {
		fmt.Fprintf(b, "  before      %s\n", ReplicaSetName(*rel.Previous))
	}
	fmt.Fprintf(b, "  began       %s\n", clock(rel.StartedAt))
	if rel.SupersededBy != "" {
		fmt.Fprintf(b, "  superseded  by %s\n", rel.SupersededBy)
	}
	for _, im := range rel.Changed() {
		fmt.Fprintf(b, "  image       %s: %s", OneLine(im.Container, 100), OneLine(im.Reference, 200))
		if im.Digest != "" && !strings.Contains(im.Reference, im.Digest) {
			b.WriteString(" " + OneLine(im.Digest, 80))
		}
		if im.Revision != "" {
			b.WriteString(", revision " + OneLine(im.Revision, 60))
		}
		b.WriteString("\n")
	}
}

// ReplicaSetName names a ReplicaSet with its version and revision.
func ReplicaSetName(rs ReplicaSet) string {
	return fmt.Sprintf("%s (%s, revision %d)", OneLine(rs.Name, 100), OneLine(Version(rs.Images), 60), rs.Revision)
}

func explainQueries(b *strings.Builder, v Verdict) {
	b.WriteString("\nQueries\n")
	queries := v.Queries()
	for _, q := range queries {
		fmt.Fprintf(b, "  %s from %s, %s\n    %s\n", SignalName(q.Signal), OneLine(q.Source, 40), QueryRange(q), OneLine(q.Expr, 4000))
	}
	if len(queries) == 0 {
		b.WriteString("  none\n")
	}
}

// QueryRange writes the range a query was asked over.
func QueryRange(q Query) string {
	from, to := q.From.UTC(), q.To.UTC()
	if from.Equal(to) || from.IsZero() {
		return "at " + clock(to)
	}
	end := clock(to)
	if from.Format(time.DateOnly) == to.Format(time.DateOnly) {
		end = to.Format("15:04:05") + " UTC"
	}
	return from.Format("2006-01-02 15:04:05") + " to " + end
}

func explainAudit(b *strings.Builder, audit []AuditRow) {
	if len(audit) == 0 {
		return
	}
	b.WriteString("\nAudit\n")
	for _, r := range audit {
		fmt.Fprintf(b, "  %s  %s  %s: %s", clock(r.At), OneLine(r.Actor, 40), OneLine(r.What, 40), OneLine(r.Outcome, 100))
		if r.Why != "" {
			b.WriteString(", " + OneLine(r.Why, 400))
		}
		b.WriteString("\n")
	}
}

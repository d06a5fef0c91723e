package message

import (
	"strings"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// AlertName is the alertname of a regressed release.
const AlertName = "WatchtowerReleaseRegressed"

// Alert is the message as Alertmanager understands it. Its labels are what the
// release is, so that it stays one alert whatever becomes of it; when it ends is
// for who posts it to say.
func Alert(m release.Message) release.Alert {
	a := release.Alert{
		Labels: map[string]string{
			"alertname": AlertName, "release": string(m.Release),
			LabelCluster: m.Workload.Cluster, LabelNamespace: m.Workload.Namespace, LabelWorkload: m.Workload.Name,
		},
		Annotations: Annotations(m), StartsAt: m.At, GeneratorURL: m.URL(release.LinkRelease),
	}
	if m.DecidedAt != nil {
		a.StartsAt = *m.DecidedAt
	}
	return a
}

// AnnotationNames are the names Annotations may use.
var AnnotationNames = []string{
	"summary", "description", "rollback", "next", "since", "state",
	string(release.LinkDashboard), string(release.LinkLogs), string(release.LinkCommits), string(release.LinkIssue), string(release.LinkRunbook),
}

// Annotations are the message in words, by the names Alertmanager's users know.
func Annotations(m release.Message) map[string]string {
	out := map[string]string{"summary": m.Headline, "description": Description(m), "rollback": m.Did, "next": m.Next, "since": m.Since, "state": string(m.State)}
	for _, l := range m.Links {
		if l.Kind != release.LinkRelease { // it is the generator's
			out[string(l.Kind)] = l.URL
		}
	}
	if m.Test {
		out["summary"] = "[TEST] " + m.Headline
	}
	for name, text := range out {
		if text == "" {
			delete(out, name)
		}
	}
	return out
}

// Description says how bad it is and how sure, one sentence a line.
func Description(m release.Message) string {
	var lines []string
	for _, c := range m.HowBad {
		lines = append(lines, sentence(c.Sentence))
	}
	if m.Why != "" {
		lines = append(lines, sentence(m.Why))
	}
	if m.Sure != "" {
		lines = append(lines, sentence(m.Sure))
	}
	return strings.Join(lines, "\n")
}

// Text is the whole message as plain text, for receivers that show text and for
// people who look at what would be said.
func Text(m release.Message) string {
	var b strings.Builder
	line := func(name, text string) {
		if text != "" {
			b.WriteString(name + ": " + text + "\n")
		}
	}
	if m.Test {
		b.WriteString("This is a test. Nothing has happened.\n")
	}
	b.WriteString(m.Headline + "\n")
	for _, c := range m.HowBad {
		b.WriteString("- " + sentence(c.Sentence) + "\n")
	}
	if len(m.Members) > 1 {
		for _, one := range m.Members {
			b.WriteString("- " + one.Headline + "\n")
		}
	}
	line("Why", m.Why)
	line("Since", m.Since)
	line("How sure", m.Sure)
	line("Done", m.Did)
	line("Next", m.Next)
	if m.Acknowledged != nil {
		line("Seen to", m.Acknowledged.Words())
	}
	line("Commit", m.Commit)
	for _, l := range m.Links {
		line(l.Title, l.URL)
	}
	return b.String()
}

package respond

import (
	"fmt"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	maxTitle   = 200
	maxCommits = 30
	// maxBody leaves room below the 65,536 characters forges take. The queries
	// give way, the marker never.
	maxBody = 60_000
)

// issueText is what a hotfix issue tells.
type issueText struct {
	release     release.Release
	verdict     release.Verdict
	policy      release.Policy
	rollback    *release.Action // nil: the policy allows none
	commits     []release.Commit
	commitsNote string // why there are no commits
	externalURL string
}

func (t issueText) issue() release.Issue {
	var b strings.Builder
	t.story(&b)
	t.evidence(&b)
	t.suspects(&b)
	t.images(&b)
	end := "\n" + release.Marker(t.release.ID) + "\n"
	if queries := t.queries(); b.Len()+len(queries)+len(end) <= maxBody {
		b.WriteString(queries)
	} else {
		b.WriteString("\n### Queries\n\nToo long for an issue; the release's page has them.\n")
	}
	b.WriteString(end)
	title := strings.ReplaceAll(release.Headline(t.release, t.verdict), "@", "@"+string(noWidth))
	if runes := []rune(title); len(runes) > maxTitle {
		title = string(runes[:maxTitle-1]) + "…"
	}
	return release.Issue{Title: title, Body: b.String(), Labels: []string{"hotfix"}}
}

func (t issueText) story(b *strings.Builder) {
	fmt.Fprintf(b, "**%s**\n\n", markdown(release.Headline(t.release, t.verdict)))
	b.WriteString(markdown(release.VerdictSentence(t.release, t.verdict)) + "\n")
	fmt.Fprintf(b, "The rollout began at %s with %s", t.release.StartedAt.UTC().Format(time.DateTime+" UTC"), markdown(release.ReplicaSetName(t.release.ReplicaSet)))
	if t.release.Previous != nil {
		b.WriteString(", taking over from " + markdown(release.ReplicaSetName(*t.release.Previous)))
	}
	b.WriteString(".\n")
	if t.verdict.Reason != "" {
		b.WriteString("\n" + markdown("Why: "+release.OneLine(t.verdict.Reason, 1000)) + "\n")
	}
	b.WriteString("\n" + t.done() + "\n")
	if t.externalURL != "" {
		fmt.Fprintf(b, "\nRelease [%s](%s) has the curves and the audit.\n",
			t.release.ID, address(t.externalURL+"/releases/"+string(t.release.ID)))
	}
}

func (t issueText) done() string {
	if t.rollback == nil {
		return fmt.Sprintf("**Not rolled back**: policy %s allows alerting only. The release still runs.", code(t.policy.Name))
	}
	detail := markdown(t.rollback.Detail)
	switch t.rollback.State {
	case release.ActionDone:
		return "**Rolled back**: " + detail + "."
	case release.ActionWaiting:
		return "**Not rolled back yet**: " + detail + ". The release still runs."
	case release.ActionPending:
		return "**Rollback under way**: it is not through yet."
	}
	return fmt.Sprintf("**Not rolled back** (%s): %s.", t.rollback.State, detail)
}

func (t issueText) evidence(b *strings.Builder) {
	b.WriteString("\n### Evidence\n\n")
	for _, e := range t.verdict.Evidence {
		b.WriteString("- " + markdown(release.EvidenceSentence(e)) + "\n")
	}
	t.table(b)
	if t.verdict.EValue > 0 {
		fmt.Fprintf(b, "\nTogether: e-value %s; regressed from %s on, which a release that is no worse reaches at most %s of the time.\n",
			release.EValue(t.verdict.EValue), release.EValue(t.verdict.Threshold), release.Percent(t.policy.Alpha))
	}
}

// table has a row for every evidence that is a number.
func (t issueText) table(b *strings.Builder) {
	head := "\n| signal | before | now | times | interval | e-value | requests before | requests now |\n|---|---|---|---|---|---|---|---|\n"
	for _, e := range t.verdict.Evidence {
		if e.EValue == nil {
			continue
		}
		times, interval := "–", "–"
		if e.Effect != nil {
			times, interval = release.Times(e.Effect.Ratio), release.Times(e.Effect.Low)+" to "+release.Times(e.Effect.High)
		}
		fmt.Fprintf(b, "%s| %s | %s | %s | %s | %s | %s | %s | %s |\n", head, markdown(release.SignalName(e.Signal)),
			release.Value(e.BaselineValue, e.Unit), release.Value(e.ReleaseValue, e.Unit), times, interval, release.EValue(*e.EValue),
			release.Integer(e.Stable.Total), release.Integer(e.Release.Total))
		head = ""
	}
}

func (t issueText) suspects(b *strings.Builder) {
	b.WriteString("\n### Suspect commits\n\n")
	if len(t.commits) == 0 {
		b.WriteString(t.commitsNote + "\n")
		return
	}
	for i, c := range t.commits {
		if i == maxCommits {
			fmt.Fprintf(b, "- and %d more\n", len(t.commits)-maxCommits)
			break
		}
		sha := code(c.SHA[:min(len(c.SHA), 12)])
		if strings.HasPrefix(c.URL, "https://") || strings.HasPrefix(c.URL, "http://") {
			sha = "[" + sha + "](" + address(c.URL) + ")"
		}
		fmt.Fprintf(b, "- %s %s (%s)\n", sha, markdown(release.OneLine(c.Title, 200)), markdown(release.OneLine(c.Author, 80)))
	}
}

func (t issueText) images(b *strings.Builder) {
	b.WriteString("\n### Images\n\n| container | image | digest | revision |\n|---|---|---|---|\n")
	for _, im := range t.release.Changed() {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", code(im.Container), code(im.Reference), code(im.Digest), code(im.Revision))
	}
}

func (t issueText) queries() string {
	var b strings.Builder
	b.WriteString("\n### Queries\n")
	for _, q := range t.verdict.Queries() {
		fmt.Fprintf(&b, "\n%s from %s, %s\n\n%s\n", markdown(release.SignalName(q.Signal)), markdown(release.OneLine(q.Source, 40)),
			release.QueryRange(q), fenced(release.OneLine(q.Expr, 4000)))
	}
	return b.String()
}

// markdown makes text from outside say what it says and nothing else: no
// markup, no HTML, no mention, no reference, no link, no hidden marker.
func markdown(s string) string {
	runes := []rune(release.OneLine(s, 4000))
	var b strings.Builder
	for i, r := range runes {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_{}[]|~$", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
		if joins(runes[:i+1], runes[i+1:]) {
			b.WriteRune(noWidth)
		}
	}
	return b.String()
}

// noWidth is a space nobody sees, which keeps two characters from being read
// together.
const noWidth = '\u200b'

// joins reports whether a forge could make something of the last character
// before with what comes after: @name, #1, !1, a bare link.
func joins(before, after []rune) bool {
	if len(after) == 0 || after[0] <= ' ' {
		return false
	}
	switch before[len(before)-1] {
	case '@', '#', '!':
		return true
	case ':':
		return after[0] == '/'
	case '.':
		return strings.HasSuffix(strings.ToLower(string(before[max(len(before)-4, 0):])), "www.")
	}
	return false
}

// code is text as code in a line.
func code(s string) string {
	s = release.OneLine(strings.NewReplacer("`", "'", "|", "¦", "<!--", "<! --").Replace(s), 300)
	if strings.TrimSpace(s) == "" {
		return "–"
	}
	return "`" + s + "`"
}

// fenced is text as a block of code that it cannot end.
func fenced(s string) string {
	s = strings.ReplaceAll(s, "<!--", "<! --")
	fence := "```"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	return fence + "\n" + s + "\n" + fence
}

// address is a URL as the target of a link, which it cannot leave.
func address(u string) string {
	return strings.NewReplacer(" ", "%20", "(", "%28", ")", "%29", "<", "%3C", ">", "%3E", "\\", "%5C", "`", "%60", "\"", "%22").Replace(release.OneLine(u, 2000))
}

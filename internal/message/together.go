package message

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Together tells many messages as one, as a group or as one incident. The key is
// the group's own. There must be one at least.
//
// Its severity is the worst of them, its state that of the worst that is still
// open, or of the last where none is; its labels are those all have in common.
func Together(key string, sequence int, messages []release.Message, now time.Time) release.Message {
	ms := slices.Clone(messages)
	slices.SortStableFunc(ms, func(a, b release.Message) int { return rank(a) - rank(b) })
	worst := ms[0]
	m := release.Message{
		Key: key, Sequence: sequence, State: worst.State, Severity: worst.Severity, Verdict: worst.Verdict,
		Headline: together(ms), Workload: release.Workload{Cluster: common(ms, func(m release.Message) string { return m.Workload.Cluster })},
		StartedAt: worst.StartedAt, DecidedAt: worst.DecidedAt, At: now,
		Since: worst.Since, Sure: worst.Sure, Did: counts(ms), Next: worst.Next, Labels: shared(ms),
	}
	m.Workload.Namespace = common(ms, func(m release.Message) string { return m.Workload.Namespace })
	m.Labels[LabelKind], m.Labels[LabelSeverity], m.Labels[LabelState] = KindIncident, string(m.Severity), string(m.State)
	for _, one := range ms {
		m.Members = append(m.Members, release.Member{Key: one.Key, State: one.State, Headline: one.Headline, URL: one.URL(release.LinkRelease)})
		m.Test = m.Test || one.Test
		if one.StartedAt.Before(m.StartedAt) {
			m.StartedAt = one.StartedAt
		}
	}
	if !m.State.Open() {
		m.EndedAt = &m.At
	}
	return m
}

// rank orders messages: open before over, bad before harmless.
func rank(m release.Message) int {
	r := slices.Index(release.Severities, m.Severity)
	if !m.State.Open() {
		r += len(release.Severities)
	}
	return r
}

// together is a first line of several: how many, what, and the first names.
func together(ms []release.Message) string {
	if len(ms) == 1 {
		return ms[0].Headline
	}
	line := release.Plural(len(ms), "release") + ": " + counts(ms)
	for i := range ms {
		longer := line + names(ms[:i+1], len(ms))
		if len([]rune(longer)) > release.HeadlineLimit {
			if i > 0 {
				return line + names(ms[:i], len(ms))
			}
			break
		}
		if i == len(ms)-1 {
			return longer
		}
	}
	return release.OneLine(line, release.HeadlineLimit)
}

func names(ms []release.Message, of int) string {
	var out []string
	for _, m := range ms {
		out = append(out, release.OneLine(m.Workload.String(), 40))
	}
	s := " (" + strings.Join(out, ", ")
	if rest := of - len(ms); rest > 0 {
		s += fmt.Sprintf(" and %d more", rest)
	}
	return s + ")"
}

// counts says how many are in which state, the first states first.
func counts(ms []release.Message) string {
	var order []release.MessageState
	n := map[release.MessageState]int{}
	for _, m := range ms {
		if n[m.State]++; n[m.State] == 1 {
			order = append(order, m.State)
		}
	}
	var out []string
	for _, s := range order {
		out = append(out, fmt.Sprintf("%d %s", n[s], strings.ReplaceAll(string(s), "_", " ")))
	}
	return strings.Join(out, ", ")
}

func common(ms []release.Message, of func(release.Message) string) string {
	for _, m := range ms {
		if of(m) != of(ms[0]) {
			return ""
		}
	}
	return of(ms[0])
}

func shared(ms []release.Message) map[string]string {
	out := maps.Clone(ms[0].Labels)
	if out == nil {
		out = map[string]string{}
	}
	for _, m := range ms[1:] {
		maps.DeleteFunc(out, func(k, v string) bool { return m.Labels[k] != v })
	}
	return out
}

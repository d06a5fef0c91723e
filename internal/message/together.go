package message

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Together tells messages as one: KindIncident or KindGroup. The key is that of
// the whole. There must be one message at least, which alone is told as it is.
//
// Its severity is the worst of them, its state that of the worst that is still
// open, or where none is of one that is over, if there is one; its labels are
// those all have in common. It has ended when each of them is over.
func Together(kind, key string, sequence int, messages []release.Message, places Places, now time.Time) release.Message {
	ms := slices.Clone(messages)
	slices.SortStableFunc(ms, func(a, b release.Message) int { return rank(a) - rank(b) })
	m := ms[0]
	m.Offers = nil // of each release, where it is told by itself
	if len(ms) > 1 {
		m = many(ms, places)
	}
	m.Key, m.Sequence, m.At, m.EndedAt = key, sequence, now, nil
	m.Labels = shared(ms)
	m.Labels[LabelKind], m.Labels[LabelSeverity], m.Labels[LabelState] = kind, string(m.Severity), string(m.State)
	over := true
	for i := range ms {
		one := &ms[i]
		m.Members = append(m.Members, release.Member{Key: one.Key, State: one.State, Headline: one.Headline, URL: one.URL(release.LinkRelease), Message: one})
		m.Test = m.Test || one.Test
		over = over && one.State.Over()
	}
	if over {
		m.EndedAt = &now
	}
	return m
}

// many is what is said of several, the worst first.
func many(ms []release.Message, places Places) release.Message {
	worst := ms[0]
	m := release.Message{
		State: worst.State, Severity: worst.Severity, Verdict: worst.Verdict, Headline: together(ms),
		StartedAt: worst.StartedAt, DecidedAt: worst.DecidedAt, Did: sentence(counts(ms)), Links: places.overview(),
	}
	first := worst.Workload.String() + ": " // to be looked at first
	m.Since, m.Sure, m.Next = first+worst.Since, first+worst.Sure, first+worst.Next
	m.Workload.Cluster = common(ms, func(m release.Message) string { return m.Workload.Cluster })
	m.Workload.Namespace = common(ms, func(m release.Message) string { return m.Workload.Namespace })
	for _, one := range ms {
		if one.StartedAt.Before(m.StartedAt) {
			m.StartedAt = one.StartedAt
		}
	}
	m.Acknowledged = seenTo(ms)
	return m
}

// seenTo is the last acknowledgement where somebody sees to each that is open.
func seenTo(ms []release.Message) (last *release.Acknowledgement) {
	for _, m := range ms {
		switch {
		case !m.State.Open():
		case m.Acknowledged == nil:
			return nil
		case last == nil || m.Acknowledged.At.After(last.At):
			last = m.Acknowledged
		}
	}
	return last
}

// rank orders messages: what is open first, then what is over, bad before
// harmless.
func rank(m release.Message) int {
	r := slices.Index(release.Severities, m.Severity)
	switch {
	case m.State.Open():
		return r
	case m.State.Over():
		return r + len(release.Severities)
	}
	return r + 2*len(release.Severities)
}

// maxNames is more than ever fit into a first line.
const maxNames = 40

// together is a first line of several: how many of what, how they stand, and as
// many of their names as there is room for.
func together(ms []release.Message) string {
	namespace := common(ms, func(m release.Message) string { return m.Workload.Namespace })
	line, before, after := release.Plural(len(ms), "release"), " (", ")"
	if namespace != "" {
		line = fmt.Sprintf("%d of %s", len(ms), release.OneLine(namespace, 40))
	}
	if said := counts(ms); common(ms, func(m release.Message) string { return string(m.State) }) != "" {
		_, said, _ = strings.Cut(said, " ")
		line, before, after = line+" "+said, ": ", ""
	} else {
		line += ": " + said
	}
	for _, versions := range []bool{true, false} {
		for n := min(len(ms), maxNames); n > 0; n-- {
			named := before + names(ms, n, namespace, versions) + after
			if len([]rune(line+named)) <= release.HeadlineLimit {
				return line + named
			}
		}
	}
	return release.OneLine(line, release.HeadlineLimit)
}

// names are the first n workloads, within a namespace if they have one in common.
func names(ms []release.Message, n int, namespace string, versions bool) string {
	var out []string
	for _, m := range ms[:n] {
		name := m.Workload.String()
		if namespace != "" {
			name = m.Workload.Name
		}
		name = release.OneLine(name, 40)
		switch {
		case versions && m.From != "":
			name += " " + release.OneLine(m.From, 20) + " → " + release.OneLine(m.To, 20)
		case versions && m.To != "":
			name += " " + release.OneLine(m.To, 20)
		}
		out = append(out, name)
	}
	s := strings.Join(out, ", ")
	if rest := len(ms) - n; rest > 0 {
		s += fmt.Sprintf(" and %d more", rest)
	}
	return s
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

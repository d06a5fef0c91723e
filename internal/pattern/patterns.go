package pattern

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Wildcard is what stands in a template for what varies.
const Wildcard = "<*>"

// OtherTemplate is the template of events that fell out of the bounds.
const OtherTemplate = "(dropped)"

// Patterns are the templates of all that was added, the most frequent first. The
// slice is the miner's own until the next Add.
func (m *Miner) Patterns() []Pattern {
	if m.dirty || m.byEntry == nil {
		m.index()
	} else {
		m.recount()
	}
	return m.derived
}

// PatternOf is the pattern that the event of ref belongs to. Options.Refs must be set
// and Patterns have been called after the last Add.
func (m *Miner) PatternOf(ref Ref) *Pattern {
	return &m.derived[m.byEntry[m.refs[ref].root()]]
}

// Changed tells whether there may be patterns that Patterns did not return yet.
func (m *Miner) Changed() bool { return m.dirty }

// index derives the patterns anew.
func (m *Miner) index() {
	m.byEntry = make(map[*entry]int, len(m.shapes)+1)
	m.derived = nil
	at := map[string]int{}
	for _, f := range m.forms() {
		template := render(f.words)
		i, ok := at[template]
		if !ok {
			i = len(m.derived)
			at[template] = i
			m.derived = append(m.derived, Pattern{ID: ID(template), Template: template})
		}
		for _, e := range f.members {
			m.byEntry[e] = i
		}
	}
	if m.other != nil {
		m.byEntry[m.other] = len(m.derived)
		m.derived = append(m.derived, Pattern{ID: ID(OtherTemplate), Template: OtherTemplate})
	}
	m.dirty = false
	m.recount()
}

// recount sums what was counted by entry.
func (m *Miner) recount() {
	sums := make([]entry, len(m.derived))
	for e, i := range m.byEntry {
		s := &sums[i]
		if s.count > 0 && e.first == s.first && e.text < s.text {
			s.first++ // of equals the least text is the example
		}
		if s.count == 0 || e.first < s.first {
			s.text = e.text
		}
		s.absorb(e)
	}
	for i := range m.derived {
		p, s := &m.derived[i], &sums[i]
		p.Count, p.Arms, p.First, p.Last, p.Example, p.Logger = s.count, s.arms, s.first, s.last, s.example, s.logger
		p.Level = commonest(s.levels)
	}
	order := make([]int, len(m.derived))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := &m.derived[a], &m.derived[b]
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.First, y.First), strings.Compare(x.Template, y.Template))
	})
	sorted, moved := make([]Pattern, len(order)), make([]int, len(order))
	for to, from := range order {
		sorted[to], moved[from] = m.derived[from], to
	}
	m.derived = sorted
	for e, i := range m.byEntry {
		m.byEntry[e] = moved[i]
	}
}

// commonest is the most frequent level that is known; of equals the worst.
func commonest(levels [len(levelNames)]uint64) Level {
	best := LevelUnknown
	for l := LevelTrace; l <= LevelFatal; l++ {
		if levels[l] > 0 && (best == LevelUnknown || levels[l] >= levels[best]) {
			best = l
		}
	}
	return best
}

// render is the template of the words of a form. Wildcards in a row are one: a
// list is the same template however long it is.
func render(words []string) string {
	var b strings.Builder
	previous := ""
	for _, w := range words {
		if w == string(rune(wild)) && previous == w {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		previous = w
		b.WriteString(strings.ReplaceAll(w, string(rune(wild)), Wildcard))
	}
	return b.String()
}

// ID is the id of a template: the same wherever and whenever it is mined.
func ID(template string) string {
	sum := sha256.Sum256([]byte(template))
	return hex.EncodeToString(sum[:6])
}

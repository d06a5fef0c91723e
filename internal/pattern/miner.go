package pattern

import (
	"slices"
	"strings"
)

// Options bounds a Miner and says what it redacts. The zero value is usable.
type Options struct {
	// MaxShapes is how many different masked messages are kept before they are
	// made into templates, in which what varies is forgotten. Default 20,000.
	MaxShapes int
	// MaxTemplates is how many templates are kept then; the rarest beyond it are
	// dropped, and their events counted as dropped. Default 10,000.
	MaxTemplates int
	// Redact takes the secrets out of a message before it is kept; it returns
	// its argument where there is none. Default: nothing is redacted.
	Redact func([]byte) []byte
	// Refs lets PatternOf tell the pattern of each event. That takes eight bytes
	// for each shape that ever was, without bound: for logs that end.
	Refs bool
}

const (
	defaultMaxShapes    = 20_000
	defaultMaxTemplates = 10_000
	// maxMasked is how many bytes of a message are looked at, maxText how many of
	// its shape are kept, maxExample how many of its first line.
	maxMasked  = 4096
	maxText    = 1024
	maxExample = 512
)

// Stats says what a Miner saw, and what it could not keep.
type Stats struct {
	Lines     uint64 `json:"lines"`     // physical lines
	Events    uint64 `json:"events"`    // after joining
	Redacted  uint64 `json:"redacted"`  // events with a secret taken out
	Dropped   uint64 `json:"dropped"`   // events whose template fell out of the bound
	Merged    uint64 `json:"merged"`    // shapes forgotten in favour of their template
	Truncated uint64 `json:"truncated"` // lines or messages longer than what is looked at
	Below     uint64 `json:"below"`     // lines of events below the least level asked for
}

// entry is a shape, or what is left of several after settling.
type entry struct {
	text        string // words; wild bytes are wildcards
	example     string // as first seen, redacted
	logger      string
	count       uint64
	arms        [2]uint64
	levels      [len(levelNames)]uint64
	first, last uint64 // line numbers
	into        *entry // what it was merged into
	ref         Ref
}

func (e *entry) root() *entry {
	for e.into != nil {
		e = e.into
	}
	return e
}

// absorb adds the counts of o.
func (e *entry) absorb(o *entry) {
	if e.count == 0 || o.first < e.first {
		e.first, e.example, e.logger = o.first, o.example, o.logger
	}
	e.last = max(e.last, o.last)
	e.count += o.count
	for i := range e.arms {
		e.arms[i] += o.arms[i]
	}
	for i := range e.levels {
		e.levels[i] += o.levels[i]
	}
}

// Ref names what an event was counted as, until the miner is done, if Options.Refs
// asks for it.
type Ref uint32

// Miner counts events by template. It is not safe for concurrent use; give each
// source its own and merge their states.
type Miner struct {
	opt     Options
	shapes  map[string]*entry
	settled *matcher
	refs    []*entry
	other   *entry
	masker  masker
	stats   Stats
	dirty   bool // shapes came since patterns were last derived
	derived []Pattern
	byEntry map[*entry]int
}

// Pattern is one template with what was counted of it.
type Pattern struct {
	ID       string // hash of Template
	Template string // words, <*> for what varies
	Count    uint64
	Arms     [2]uint64 // Count by arm: old and new
	Level    Level     // the most frequent one
	Logger   string    // of the first event
	First    uint64    // line number
	Last     uint64    // line number
	Example  string    // the first event's message, redacted
}

// NewMiner returns a Miner that has seen nothing.
func NewMiner(opt Options) *Miner {
	if opt.MaxShapes <= 0 {
		opt.MaxShapes = defaultMaxShapes
	}
	if opt.MaxTemplates <= 0 {
		opt.MaxTemplates = defaultMaxTemplates
	}
	opt.MaxTemplates = min(opt.MaxTemplates, opt.MaxShapes)
	return &Miner{opt: opt, shapes: map[string]*entry{}, settled: newMatcher()}
}

// Event is one event of a log.
type Event struct {
	Message []byte
	Level   Level
	Logger  []byte
	TraceID []byte
	Line    uint64 // of its first line, from 1
	Lines   uint64 // how many physical lines it has
	Arm     int    // 0 or 1: which of two logs that are compared
}

// Add counts an event. Nothing of it is kept before it is redacted.
func (m *Miner) Add(ev *Event) Ref {
	m.stats.Events++
	m.stats.Lines += ev.Lines
	message := ev.Message
	if len(message) > maxMasked {
		message = message[:maxMasked]
		m.stats.Truncated++
	}
	e, ok := m.shapes[string(m.shape(message))]
	if !ok {
		e = m.unknown(message, ev)
	}
	if e.count == 0 {
		e.first = ev.Line
	}
	e.count++
	e.arms[ev.Arm&1]++
	e.levels[ev.Level]++
	e.last = ev.Line
	return e.ref
}

// shape is what a message is known by, valid until the next call.
func (m *Miner) shape(message []byte) []byte {
	text := m.masker.mask(message)
	if len(text) > maxText {
		// Cut between words, so that the number of words stays what it is.
		cut := slices.Index(text[maxText-64:], ' ')
		if cut < 0 {
			cut = 64
		}
		m.masker.out = append(text[:min(maxText-64+cut, len(text))], ' ', wild)
		text = m.masker.out
	}
	return text
}

// unknown finds or makes the entry of a message whose shape is not known.
func (m *Miner) unknown(message []byte, ev *Event) *entry {
	if m.opt.Redact != nil {
		clean := m.opt.Redact(message)
		if len(clean) != len(message) || (len(clean) > 0 && &clean[0] != &message[0]) {
			m.stats.Redacted++
			message = clean
			if e, ok := m.shapes[string(m.shape(message))]; ok {
				return e
			}
		}
	}
	text := m.shape(message)
	if e := m.settled.match(text); e != nil {
		return e
	}
	m.dirty = true
	if len(m.shapes) >= m.opt.MaxShapes {
		m.settle()
		text = m.shape(message)
		if e := m.settled.match(text); e != nil {
			return e
		}
	}
	logger := ev.Logger
	if m.opt.Redact != nil {
		logger = m.opt.Redact(logger)
	}
	return m.insert(&entry{text: string(text), example: cut(message, maxExample), logger: cut(logger, 128)})
}

func cut(b []byte, n int) string {
	if len(b) > n {
		return strings.ToValidUTF8(string(b[:n]), "") + "…"
	}
	return strings.ToValidUTF8(string(b), "�")
}

// settle makes templates of all shapes and forgets the shapes, so that there is
// room again.
func (m *Miner) settle() {
	forms := m.forms()
	m.shapes = make(map[string]*entry, len(forms))
	m.settled = newMatcher()
	entries := make([]*entry, 0, len(forms))
	for _, f := range forms {
		entries = append(entries, m.fold(f))
	}
	// Room for as many again: otherwise the next shape would settle everything anew.
	if keep := min(m.opt.MaxTemplates, m.opt.MaxShapes*3/4); len(entries) > keep {
		slices.SortFunc(entries, func(a, b *entry) int {
			if a.count != b.count {
				return int(min(b.count, 1<<30)) - int(min(a.count, 1<<30))
			}
			return strings.Compare(a.text, b.text)
		})
		keep = max(keep*4/5, 1)
		for _, e := range entries[keep:] {
			m.drop(e)
		}
		entries = entries[:keep]
	}
	for _, e := range entries {
		m.shapes[e.text] = e
		m.settled.add(e)
	}
	for i, e := range m.refs {
		m.refs[i] = e.root()
	}
}

// fold makes one entry of the members of a form.
func (m *Miner) fold(f form) *entry {
	text := strings.Join(f.words, " ")
	if len(f.members) == 1 && f.members[0].text == text {
		return f.members[0]
	}
	e := m.referred(&entry{text: text})
	for _, member := range f.members {
		e.absorb(member)
		member.into = e
	}
	m.stats.Merged += uint64(len(f.members))
	return e
}

// referred gives e the Ref of its events.
func (m *Miner) referred(e *entry) *entry {
	if m.opt.Refs {
		e.ref = Ref(len(m.refs))
		m.refs = append(m.refs, e)
	}
	return e
}

// drop counts the events of e as those of no template that is kept.
func (m *Miner) drop(e *entry) {
	if m.other == nil {
		m.other = m.referred(&entry{text: string(rune(wild))})
	}
	m.stats.Dropped += e.count
	m.other.absorb(e)
	m.other.example, m.other.logger = "", ""
	e.into = m.other
}

func (m *Miner) forms() []form {
	entries := make([]*entry, 0, len(m.shapes))
	for _, e := range m.shapes {
		entries = append(entries, e)
	}
	return mergeForms(derive(entries))
}

// Stats is what was counted so far.
func (m *Miner) Stats() Stats { return m.stats }

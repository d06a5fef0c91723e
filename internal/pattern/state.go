package pattern

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// stateVersion changes when shapes are made in another way: shapes of two
// versions cannot be merged.
const stateVersion = 1

// state is what is saved of a Miner. It holds no secret: shapes and examples are
// redacted before they are kept.
type state struct {
	Version int          `json:"version"`
	Shapes  []savedShape `json:"shapes"`
	Other   *savedShape  `json:"other,omitempty"`
	Stats   Stats        `json:"stats"`
}

type savedShape struct {
	Text    string   `json:"text"`
	Example string   `json:"example,omitempty"`
	Logger  string   `json:"logger,omitempty"`
	Count   uint64   `json:"count"`
	Arms    []uint64 `json:"arms"`
	Levels  []uint64 `json:"levels"`
	First   uint64   `json:"first"`
	Last    uint64   `json:"last"`
}

// Save returns the state as JSON, the same for the same counts.
func (m *Miner) Save() ([]byte, error) {
	s := state{Version: stateVersion, Stats: m.stats, Shapes: make([]savedShape, 0, len(m.shapes))}
	for _, e := range m.shapes {
		s.Shapes = append(s.Shapes, saved(e))
	}
	slices.SortFunc(s.Shapes, func(a, b savedShape) int { return cmp.Compare(a.Text, b.Text) })
	if m.other != nil {
		other := saved(m.other)
		s.Other = &other
	}
	return json.Marshal(s)
}

func saved(e *entry) savedShape {
	return savedShape{
		Text: e.text, Example: e.example, Logger: e.logger, Count: e.count,
		Arms: e.arms[:], Levels: e.levels[:], First: e.first, Last: e.last,
	}
}

// Merge adds a state that was saved by this or another Miner: a replica, an arm,
// this one before a restart. In which order states are merged makes no
// difference to the templates as long as all shapes fit the bound.
func (m *Miner) Merge(data []byte) error {
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("the state is of version %d, not %d: mine the logs anew", s.Version, stateVersion)
	}
	for _, shape := range s.Shapes {
		if err := shape.check(); err != nil {
			return err
		}
	}
	for _, shape := range s.Shapes {
		m.find(shape.Text).absorb(shape.entry())
	}
	if s.Other != nil {
		e := s.Other.entry()
		m.drop(e)
	}
	m.stats.add(s.Stats)
	return nil
}

// check refuses what no Miner saves.
func (s savedShape) check() error {
	switch {
	case len(s.Text) > maxText+2 || len(s.Example) > 4*maxExample || len(s.Logger) > maxExample:
		return errors.New("read the state: a shape is longer than any that is kept")
	case strings.Count(s.Text, " ") > maxWords+1:
		return errors.New("read the state: a shape has more words than any that is kept")
	case s.Count == 0 || len(s.Arms) != 2 || len(s.Levels) != len(levelNames):
		return errors.New("read the state: a shape without its counts")
	}
	return nil
}

func (s savedShape) entry() *entry {
	e := &entry{text: s.Text, example: s.Example, logger: s.Logger, count: s.Count, first: s.First, last: s.Last}
	copy(e.arms[:], s.Arms)
	copy(e.levels[:], s.Levels)
	return e
}

// find is the entry of a shape, which is made where there is none.
func (m *Miner) find(text string) *entry {
	if e, ok := m.shapes[text]; ok {
		return e
	}
	if e := m.settled.match([]byte(text)); e != nil {
		return e
	}
	if len(m.shapes) >= m.opt.MaxShapes {
		m.settle()
		return m.find(text)
	}
	m.dirty = true
	return m.insert(&entry{text: text})
}

// insert keeps a new entry.
func (m *Miner) insert(e *entry) *entry {
	m.shapes[e.text] = m.referred(e)
	return e
}

func (s *Stats) add(o Stats) {
	s.Lines += o.Lines
	s.Events += o.Events
	s.Redacted += o.Redacted
	s.Merged += o.Merged
	s.Truncated += o.Truncated
	s.Below += o.Below
}

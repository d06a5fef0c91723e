package respond

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// strictSink is a receiver that keeps what it shows by key, as PagerDuty and
// Slack do, and writes down what must not happen.
type strictSink struct {
	mu     sync.Mutex
	err    error
	shown  map[string]*shown
	faults []string // what a notifier was promised and did not get
	at     []time.Time
}

// shown is what people see of one key. It never changes: what they see next is another.
type shown struct {
	message release.Message
	history []release.MessageState
	at      []time.Time
}

func newSink() *strictSink { return &strictSink{shown: make(map[string]*shown)} }

func (s *strictSink) Deliver(ctx context.Context, m release.Message, ref []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(ctx.Err(), s.err); err != nil {
		if s.err != nil {
			return nil, s.err
		}
		return nil, err
	}
	at, known := s.shown[m.Key]
	switch {
	case ref != nil && !known:
		s.faults = append(s.faults, fmt.Sprintf("%s: reference %q to nothing", m.Key, ref))
	case ref != nil && string(ref) != "shown "+m.Key:
		s.faults = append(s.faults, fmt.Sprintf("%s: reference %q", m.Key, ref))
	}
	if !known {
		at = &shown{}
	}
	if known && m.Sequence <= at.message.Sequence {
		// The same again after a crash: it is shown already.
		if m.Sequence < at.message.Sequence || m.State != at.message.State && !m.State.Open() {
			s.faults = append(s.faults, fmt.Sprintf("%s: %d %s after %d %s", m.Key, m.Sequence, m.State, at.message.Sequence, at.message.State))
		}
		return []byte("shown " + m.Key), nil
	}
	if m.State == release.SaysRestored && !slices.ContainsFunc(at.history, release.MessageState.Open) {
		s.faults = append(s.faults, fmt.Sprintf("%s: %s without a beginning", m.Key, m.State))
	}
	s.shown[m.Key] = &shown{m, append(slices.Clone(at.history), m.State), append(slices.Clone(at.at), time.Now())}
	s.at = append(s.at, time.Now())
	return []byte("shown " + m.Key), nil
}

func (s *strictSink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// of is what people see of a key; nil when that is nothing.
func (s *strictSink) of(key string) *shown {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown[key]
}

// all is what people see, by key.
func (s *strictSink) all() map[string]*shown {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.shown)
}

// told is what people saw of a release, in order.
func (s *strictSink) told(id release.ID) []release.MessageState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.shown[release.MessageKey(id)]; at != nil {
		return at.history
	}
	return nil
}

func (s *strictSink) wrongs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

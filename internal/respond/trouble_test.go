package respond

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// moody is a receiver that can be made to fail in a way of its own.
type moody struct {
	Notifier
	mu   sync.Mutex
	mood func(ctx context.Context) error // nil: it works
}

func (m *moody) Deliver(ctx context.Context, msg release.Message, ref []byte) ([]byte, error) {
	m.mu.Lock()
	mood := m.mood
	m.mu.Unlock()
	if mood != nil {
		if err := mood(ctx); err != nil {
			return nil, err
		}
	}
	return m.Notifier.Deliver(ctx, msg, ref)
}

func (m *moody) set(mood func(ctx context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mood = mood
}

// TestTenMinutesOfTrouble has one receiver fail for ten minutes while twenty
// releases regress and come back: the others do not notice, and afterwards it is
// told everything once and in order.
func TestTenMinutesOfTrouble(t *testing.T) {
	releases := 20
	if raceEnabled {
		releases = 2
	}
	lost := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, test := range []struct {
		name string
		mood func(ctx context.Context) error
	}{
		{"429 with Retry-After", func(context.Context) error {
			return &release.Error{Code: release.CodeRateLimited, Message: "429", RetryAfter: 30 * time.Second}
		}},
		{"500", func(context.Context) error { return release.E(release.CodeUnavailable, "500", nil) }},
		{"no answer in time", lost},
		{"connection refused", func(context.Context) error {
			return release.E(release.CodeUnavailable, "connection refused", nil)
		}},
		{"the answer is lost after it was shown", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.limits = unlimited()
				w.process.stop()
				w.sinks["chat"] = newSink()
				w.open()
				sick := &moody{Notifier: w.process.responder.deps.Notifiers["pager"]}
				mood := test.mood
				if mood == nil {
					inner := sick.Notifier
					sick.Notifier = lostAnswer{inner, sick}
					mood = func(context.Context) error { return nil }
				}
				sick.set(mood)
				w.process.responder.deps.Notifiers["pager"] = sick
				w.run()
				var all []release.Release
				for n := range releases {
					rel := w.bad(fmt.Sprintf("app%d", n))
					w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
					all = append(all, rel)
				}
				began := time.Now()
				w.until("the others are told", 3*time.Second, func() bool { return told(w.sinks["chat"], all, release.SaysRollingBack) })
				w.until("the others are told of the end", time.Minute, func() bool { return told(w.sinks["chat"], all, release.SaysRestored) })
				if n := len(w.cluster.taken()); n != releases {
					t.Errorf("%d rollbacks", n)
				}
				time.Sleep(10*time.Minute - time.Since(began))
				sick.set(nil)
				over := time.Now()
				w.until("all is told", 3*time.Minute, func() bool { return told(w.sinks["pager"], all, release.SaysRestored) })
				t.Logf("%d releases told %s after ten minutes of: %s", releases, time.Since(over), test.name)
				time.Sleep(5 * time.Minute)
				for _, rel := range all {
					got := slices.Compact(w.sinks["pager"].told(rel.ID))
					if !slices.Equal(got, sequence(release.SaysRollingBack, release.SaysRestored)) {
						t.Errorf("%s: told %v", rel.Workload, got)
					}
				}
				if wrongs := w.sinks["pager"].wrongs(); len(wrongs) > 0 {
					t.Error(wrongs)
				}
			})
		})
	}
}

// lostAnswer shows what it is given, and says that it could not be reached, while
// the receiver has a mood.
type lostAnswer struct {
	Notifier
	sick *moody
}

func (l lostAnswer) Deliver(ctx context.Context, m release.Message, ref []byte) ([]byte, error) {
	out, err := l.Notifier.Deliver(ctx, m, ref)
	l.sick.mu.Lock()
	defer l.sick.mu.Unlock()
	if l.sick.mood != nil {
		return nil, release.E(release.CodeUnavailable, "the answer was lost", nil)
	}
	return out, err
}

func told(s *strictSink, all []release.Release, state release.MessageState) bool {
	for _, rel := range all {
		if !slices.Contains(s.told(rel.ID), state) {
			return false
		}
	}
	return true
}

package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/alertmanager"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// quietened are those of an Alertmanager, as far as they are asked for.
type quietened struct {
	mu     sync.Mutex
	err    error
	asked  []time.Time
	last   alertmanager.Quiet
	lifted []string
}

func (s *quietened) Quieten(_ context.Context, q alertmanager.Quiet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.asked, s.last = append(s.asked, time.Now()), q
	return nil
}

func (s *quietened) Lift(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.lifted = append(s.lifted, key)
	}
	return s.err
}

func TestExpectedAlertsAreSilentWhileARolloutIsVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := &quietened{}
		var live []store.Record
		e, err := newExpected(&config.Expected{Matchers: []string{`alertname=~"KubePod.*"`, `pod=~"{workload}-.*"`, `deployment!="{workload}"`}, For: 4 * time.Minute},
			at, func(context.Context) ([]store.Record, error) { at.mu.Lock(); defer at.mu.Unlock(); return live, nil }, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.run(ctx) }()
		wait := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		wait(time.Minute)
		if len(at.asked) != 0 {
			t.Fatalf("silenced %d times without a rollout", len(at.asked))
		}
		rel := release.Release{ID: "abc", Workload: release.Workload{Namespace: "shop", Name: "web.app"}}
		at.mu.Lock()
		live = []store.Record{{Release: rel, Live: true}}
		at.mu.Unlock()
		wait(10 * time.Minute)
		// Every quarter of the time, and soon after the rollout was seen.
		if n := len(at.asked); n < 10 || n > 11 {
			t.Errorf("silenced %d times in ten minutes", n)
		}
		var got []string
		for _, m := range at.last.Matchers {
			got = append(got, m.String())
		}
		if want := []string{`namespace="shop"`, `alertname=~"KubePod.*"`, `pod=~"web\\.app-.*"`, `deployment!="web.app"`}; !slices.Equal(got, want) {
			t.Errorf("silenced %v, want %v", got, want)
		}
		if at.last.Key != "watchtower/abc" || at.last.For != 4*time.Minute || !strings.Contains(at.last.Why, "shop/web.app") {
			t.Errorf("got %+v", at.last)
		}
		at.mu.Lock()
		at.err, live = errors.New("away"), nil
		at.mu.Unlock()
		wait(time.Minute)
		at.mu.Lock()
		at.err = nil
		at.mu.Unlock()
		wait(lookForRollouts)
		if !slices.Equal(at.lifted, []string{"watchtower/abc"}) {
			t.Errorf("ended %v", at.lifted)
		}
		wait(time.Hour)
		if len(at.lifted) != 1 || len(e.renewed) != 0 {
			t.Errorf("ended %v, %d are remembered", at.lifted, len(e.renewed))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestWhatCannotBeEndedIsForgottenWhenItHasLapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := &quietened{}
		live := []store.Record{{Release: release.Release{ID: "abc", Workload: release.Workload{Namespace: "shop", Name: "webapp"}}}}
		e, err := newExpected(&config.Expected{Matchers: []string{`a="b"`}, For: time.Minute}, at,
			func(context.Context) ([]store.Record, error) { return live, nil }, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		e.look(t.Context())
		at.err, live = errors.New("away"), nil
		e.look(t.Context())
		if len(e.renewed) != 1 {
			t.Error("it is not tried again")
		}
		time.Sleep(time.Minute)
		if e.look(t.Context()); len(e.renewed) != 0 {
			t.Error("it is tried for ever")
		}
	})
}

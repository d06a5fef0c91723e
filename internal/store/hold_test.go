package store

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

func replica(t *testing.T, url, cluster string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, slog.New(slog.DiscardHandler), ForCluster(cluster))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// held reports whether a replica gets the right to act within a moment.
func held(t *testing.T, s *Store, patience time.Duration) *Hold {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	h, err := s.Hold(ctx, patience)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	return h
}

func TestOneReplicaOfAClusterMayAct(t *testing.T) {
	url := postgres.Fresh(t)
	first, second, other := replica(t, url, "lab"), replica(t, url, "lab"), replica(t, url, "other")
	h := held(t, first, 0)
	if h == nil {
		t.Fatal("the first replica may not act")
	}
	if held(t, second, 0) != nil {
		t.Fatal("two replicas may act")
	}
	o := held(t, other, 0)
	if o == nil {
		t.Fatal("a replica of another cluster may not act")
	}
	o.Release()
	h.Release()
	if h = held(t, second, 0); h == nil {
		t.Fatal("the second replica may not act though the first gave up")
	}
	h.Release()
	h.Release() // once more does no harm
}

func TestAReplicaThatHangsLosesTheRightToAct(t *testing.T) {
	url := postgres.Fresh(t)
	first, second := replica(t, url, "lab"), replica(t, url, "lab")
	hung := held(t, first, 0)
	h := held(t, second, 10*time.Millisecond)
	if h == nil {
		t.Fatal("the right was not taken from it")
	}
	defer h.Release()
	select {
	case <-hung.Lost():
		hung.Release()
	case <-time.After(10 * time.Second):
		t.Error("it does not learn of it")
	}
	if !second.contested.Load() {
		t.Error("its jobs would be taken from it while it may still live")
	}
}

func TestTheRightToActIsTakenAnewAfterTheServerRestarted(t *testing.T) {
	server, err := postgres.Start(t.Context())
	if err != nil {
		postgres.Missing(t, err)
	}
	defer server.Stop() //nolint:errcheck // it is gone either way
	s := replica(t, server.URL("postgres"), "lab")
	h := held(t, s, 0)
	if err := server.Crash(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-h.Lost():
		h.Release()
	case <-time.After(10 * time.Second):
		t.Fatal("it does not learn that the right is gone")
	}
	if err := server.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h = held(t, s, 0); h == nil {
		t.Fatal("it does not get the right again")
	}
	h.Release()
}

package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const simTick = 5 * time.Second

// rig is the loop with simulated outsides, running in a synctest bubble.
type rig struct {
	*Verifier
	source  *simSource
	cluster *simCluster
	memory  *memory
	stop    func()
}

func testPolicy() release.Policy {
	p := release.DefaultPolicy()
	p.Warmup = 15 * time.Second
	p.Autonomy, p.Observe, p.SourceGrace = release.AutonomyAuto, 10*time.Minute, time.Minute
	return p
}

func newRig(t *testing.T, p release.Policy, m *memory) *rig {
	t.Helper()
	r := &rig{source: newSimSource(simTick), cluster: newSimCluster(), memory: m}
	r.Verifier = New(Config{Cluster: "lab", Tick: simTick}, Deps{
		Cluster: r.cluster, Source: r.source, Recorder: m, Policies: fixedPolicy{p},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	return r
}

// deploy rolls a workload out now, in a world, and returns the release's ID.
func (r *rig) deploy(name string, w *world) release.ID {
	now := time.Now()
	old := rs("old", 0, "v1")
	old.CreatedAt = now.Add(-time.Hour)
	next := rs("new"+name, 0, "v2")
	next.CreatedAt, next.Revision = now, 2
	ro := rollout(next, ready(old, 4))
	ro.Workload.UID, ro.Workload.Name = "w"+name, "webapp"+name
	id := release.NewID("lab", ro.Workload.UID, next.UID)
	r.source.put(id, w)
	r.Rollout(ro)
	return id
}

func TestLoop(t *testing.T) {
	cases := []struct {
		name    string
		world   func(w *world)
		observe func(*release.Observation)
		source  func(s *simSource, start time.Time)
		after   time.Duration
		want    release.VerdictKind
		not     release.VerdictKind // instead of want: any other
		final   bool
		reason  string
	}{
		{name: "a release that is no worse is healthy before its time is over, and not yet final", after: 2 * time.Minute, want: release.Healthy},
		{name: "a healthy release is final when its time is over", after: 11 * time.Minute, want: release.Healthy, final: true},
		{name: "five per cent of failures are regressed within a minute", world: func(w *world) { w.releaseErr = .05 }, after: time.Minute, want: release.Regressed, final: true},
		{name: "requests three times as slow are regressed", world: func(w *world) { w.releaseSlow = 3 }, after: 4 * time.Minute, want: release.Regressed, final: true},
		{name: "an outage behind both arms is not held against the release", world: func(w *world) { w.outage = .3; w.rollout = time.Hour }, after: 9 * time.Minute, not: release.Regressed},
		{name: "without traffic there is nothing to decide", world: func(w *world) { w.rate = 0 }, after: 11 * time.Minute, want: release.InsufficientData, final: true},
		{
			name: "a crash loop in the release's pods is regressed at once", after: 2 * time.Second, want: release.Regressed, final: true,
			observe: func(o *release.Observation) {
				for i := range o.Release.Pods {
					o.Release.Pods[i].ReadyAt = nil
					o.Release.Pods[i].Problems = []release.Problem{{Kind: release.CrashLoop, Container: "a", Message: "exit 1"}}
				}
			},
		},
		{
			name: "a Deployment that is deleted ends the observation", after: 3 * time.Second, want: release.InsufficientData, final: true,
			observe: func(o *release.Observation) { o.Exists = false },
		},
		{
			name: "a source that is down for longer than the policy waits is broken, not healthy", after: 3 * time.Minute, want: release.SourceBroken,
			source: func(s *simSource, start time.Time) {
				s.err = func(at time.Time) error {
					if at.Sub(start) > 10*time.Second {
						return release.E(release.CodeUnavailable, "query Prometheus", errors.New("connection refused"))
					}
					return nil
				}
			},
		},
		{
			name: "a source that answers nothing for longer than the policy waits is broken", after: 3 * time.Minute, want: release.SourceBroken,
			source: func(s *simSource, start time.Time) {
				s.empty = func(at time.Time) bool { return at.Sub(start) > 20*time.Second }
			},
		},
		{
			name: "a source that comes back is believed again", after: 8 * time.Minute, want: release.Healthy,
			source: func(s *simSource, start time.Time) {
				s.err = func(at time.Time) error {
					if d := at.Sub(start); d > 10*time.Second && d < 4*time.Minute {
						return release.E(release.CodeRateLimited, "query Prometheus", errors.New("429"))
					}
					return nil
				}
			},
		},
		{
			name: "what a bad release did while the source was down is counted when it is back", after: 3 * time.Minute, want: release.Regressed, final: true,
			world: func(w *world) { w.releaseErr = .05 },
			source: func(s *simSource, start time.Time) {
				s.err = func(at time.Time) error {
					if at.Sub(start) < 2*time.Minute {
						return release.E(release.CodeUnavailable, "query Prometheus", errors.New("connection refused"))
					}
					return nil
				}
			},
		},
		{
			name: "a rollout that is not complete is not called healthy", after: 3 * time.Minute, want: release.Pending,
			observe: func(o *release.Observation) { o.Complete = false },
		},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, testPolicy(), newMemory())
				defer r.stop()
				w := healthyWorld(uint64(i + 1))
				if c.world != nil {
					c.world(w)
				}
				if c.source != nil {
					c.source(r.source, time.Now())
				}
				id := r.deploy("", w)
				synctest.Wait()
				if c.observe != nil {
					r.cluster.set(id, c.observe)
				}
				time.Sleep(c.after + 10*time.Millisecond)
				synctest.Wait()
				v := r.memory.verdict(id)
				if c.not != "" {
					if v.Kind == c.not {
						t.Errorf("verdict %s: %s; %s", v.Kind, v.Summary, v.Reason)
					}
					return
				}
				if v.Kind != c.want || v.Final != c.final {
					t.Errorf("verdict %s (final %v), want %s (final %v): %s; %s", v.Kind, v.Final, c.want, c.final, v.Summary, v.Reason)
				}
				if v.Kind == release.Regressed && len(v.Evidence) == 0 {
					t.Error("regressed without evidence")
				}
				if byState := v.Kind == release.Regressed && v.Evidence[0].EValue == nil; v.State != byState {
					t.Errorf("the verdict says that a state convicts: %v, want %v", v.State, byState)
				}
			})
		})
	}
}

func TestANewerReleaseSupersedesTheOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, testPolicy(), newMemory())
		defer r.stop()
		old := r.deploy("", healthyWorld(1))
		time.Sleep(10 * time.Second)
		first := r.memory.release(old)
		next := rs("newer", 0, "v3")
		next.CreatedAt, next.Revision = time.Now(), 3
		ro := rollout(next, ready(first.ReplicaSet, 3), ready(*first.Previous, 1))
		ro.Workload = first.Workload
		r.Rollout(ro)
		time.Sleep(time.Second)
		synctest.Wait()
		id := release.NewID("lab", ro.Workload.UID, next.UID)
		v := r.memory.verdict(old)
		if v.Kind != release.InsufficientData || !v.Final {
			t.Errorf("the older release is %s (final %v), want insufficient_data, final", v.Kind, v.Final)
		}
		if got := r.memory.release(old).SupersededBy; got != id {
			t.Errorf("superseded by %q, want %q", got, id)
		}
		if got := r.memory.release(id).Previous; got == nil || got.Name != first.Previous.Name {
			t.Errorf("the newer release is compared with %v, want the baseline of the older, %s", got, first.Previous.Name)
		}
	})
}

func TestARestartFindsLiveReleasesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := newRig(t, testPolicy(), m)
		w := healthyWorld(3)
		w.releaseErr, w.rate = .05, 100
		id := r.deploy("", w)
		time.Sleep(6 * time.Second)
		r.stop()
		if v := m.verdict(id); v.Final {
			t.Fatalf("decided before the restart: %s", v.Kind)
		}
		time.Sleep(time.Minute) // away
		again := newRig(t, testPolicy(), m)
		defer again.stop()
		w2 := healthyWorld(3)
		w2.releaseErr, w2.rate = .05, 100
		again.source.put(id, w2)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if v := m.verdict(id); v.Kind != release.Regressed {
			t.Errorf("after the restart the verdict is %s, want regressed from what happened meanwhile", v.Kind)
		}
	})
}

func TestAVerdictTheStoreRefusedIsKeptAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, testPolicy(), newMemory())
		defer r.stop()
		w := healthyWorld(3)
		w.releaseErr = .1
		id := r.deploy("", w)
		synctest.Wait()
		r.memory.setFail(errors.New("disk full"))
		time.Sleep(2 * time.Minute)
		r.memory.setFail(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if v := r.memory.verdict(id); v.Kind != release.Regressed {
			t.Errorf("verdict %q was lost", v.Kind)
		}
	})
}

// The figure behind it is printed by make bench; the test holds the promise.
func TestTwoHundredHealthyRolloutsRollNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, testPolicy(), newMemory())
		defer r.stop()
		var ids []release.ID
		for i := range 200 {
			w := healthyWorld(uint64(1000 + i))
			manyShapes(w, i)
			ids = append(ids, r.deploy(fmt.Sprint(i), w))
		}
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		kinds := map[release.VerdictKind]int{}
		for _, id := range ids {
			kinds[r.memory.verdict(id).Kind]++
		}
		t.Logf("verdicts: %v", kinds)
		if kinds[release.Regressed] > 0 {
			t.Errorf("%d of 200 healthy rollouts were called regressed", kinds[release.Regressed])
		}
	})
}

func TestAnUndoByAPersonClosesTheRegressedRelease(t *testing.T) {
	for _, c := range []struct {
		name        string
		annotations map[string]string
		closed      int
	}{
		{"by a person", nil, 1},
		{"by Watchtower itself, which follows it to its end", map[string]string{"rolled-back-to": "webapp-old"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, testPolicy(), newMemory())
				defer r.stop()
				w := healthyWorld(3)
				w.releaseErr = .2
				id := r.deploy("", w)
				time.Sleep(2 * time.Minute)
				rel := r.memory.release(id)
				if v := r.memory.verdict(id); v.Kind != release.Regressed {
					t.Fatalf("verdict %s, want regressed", v.Kind)
				}
				before := r.memory.closed()
				ro := rollout(*rel.Previous, ready(rel.ReplicaSet, 4))
				ro.Workload, ro.Annotations = rel.Workload, c.annotations
				r.Rollout(ro)
				time.Sleep(time.Second)
				synctest.Wait()
				if got := r.memory.closed() - before; got != c.closed {
					t.Errorf("%d releases were closed, want %d", got, c.closed)
				}
			})
		})
	}
}

package backtest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
	"github.com/watchtower-verify/watchtower/internal/verify"
)

// The service and the replay say the same of a release at every tick.
func TestTheReplayLivesAReleaseAsTheServiceDoes(t *testing.T) {
	for name, bad := range map[string]float64{"a regression": 0.03, "a healthy release": 0.002} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// Ticks of the service lie on the clock's quarter minutes.
				start := time.Now().UTC().Add(40 * time.Minute)
				w := newWorld()
				w.begin, w.until = start.Add(-40*time.Minute), start.Add(40*time.Minute)
				w.sets = []*rollout{
					{name: "web-5c7bffbd", image: "shop/web:1", created: start.Add(-time.Hour), from: start.Add(-time.Hour), to: start.Add(3 * time.Minute), bad: 0.002},
					{name: "web-6d5f7c9b8", image: "shop/web:2", created: start, from: start.Add(10 * time.Second), to: w.until, bad: bad},
				}
				w.store()
				replayed, scene := ticksOfTheReplay(t, w, start)
				lived := ticksOfTheService(t, w, scene)
				if len(replayed) < 4 {
					t.Fatalf("%d ticks", len(replayed))
				}
				for at, want := range replayed {
					if diff := cmp.Diff(want, lived[at]); diff != "" {
						t.Fatalf("%s after the start the replay (-) and the service (+) differ:\n%s", at.Sub(start), diff)
					}
				}
				if len(lived) != len(replayed) {
					t.Errorf("the service looked %d times, the replay %d times", len(lived), len(replayed))
				}
			})
		})
	}
}

// They compare a release with the workload's earlier rollouts alike.
func TestTheReplayHearsOfEarlierRolloutsAsTheServiceDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(40 * time.Minute)
		w := newWorld()
		w.begin, w.until = begin.Add(-40*time.Minute), begin.Add(3*time.Hour)
		for n := range 4 {
			created := begin.Add(time.Duration(n-1) * time.Hour)
			w.sets = append(w.sets, &rollout{
				name: versionName(n), image: fmt.Sprintf("shop/web:%d", n), created: created, from: created.Add(10 * time.Second),
				to: created.Add(time.Hour + 3*time.Minute), bad: 0.05, wellFrom: created.Add(8 * time.Minute),
			})
		}
		w.sets[0].bad = 0.002
		w.store()
		start := w.sets[3].created
		earlier := []verify.Earlier{
			{ReplicaSet: versionName(2), Previous: versionName(1), StartedAt: w.sets[2].created, Until: start},
			{ReplicaSet: versionName(1), Previous: versionName(0), StartedAt: w.sets[1].created, Until: w.sets[2].created},
		}
		replayed, scene := ticksOfTheReplay(t, w, start, earlier...)
		lived := ticksOfTheService(t, w, scene, earlier...)
		if len(replayed) < 30 {
			t.Fatalf("%d ticks: it was not excused", len(replayed))
		}
		if diff := cmp.Diff(replayed, lived); diff != "" {
			t.Fatalf("the replay (-) and the service (+) differ:\n%s", diff)
		}
	})
}

// said is what can be compared of a verdict: queries tell of how many ticks were
// read at once.
type said struct {
	Kind     release.VerdictKind
	Final    bool
	EValue   float64
	Evidence []release.Evidence
	Needs    *release.Needs
	Reason   string
}

func saidOf(v release.Verdict) said {
	out := said{Kind: v.Kind, Final: v.Final, EValue: v.EValue, Needs: v.Needs, Reason: v.Reason}
	for _, e := range v.Evidence {
		e.Queries, e.Curve = nil, nil
		out.Evidence = append(out.Evidence, e)
	}
	return out
}

func ticksOfTheReplay(t *testing.T, w *world, start time.Time, earlier ...verify.Earlier) (map[time.Time]said, *scene) {
	t.Helper()
	out := map[time.Time]said{}
	opt := options()
	opt.From, opt.To, opt.Observe = start.Add(-time.Minute), w.until, 10*time.Minute
	store := &store{q: w}
	r := &runner{cat: builtin(t), store: store, state: kubeState{store}, opt: opt}
	r.look = func(at time.Time, v release.Verdict) { out[at.UTC()] = saidOf(v) }
	candidates, err := r.state.find(t.Context(), opt.From, opt.To)
	if err != nil || len(candidates) != 1 {
		t.Fatalf("%d rollouts, %v", len(candidates), err)
	}
	candidates[0].before = len(earlier)
	first, err := r.one(t.Context(), candidates[0])
	if err == nil && len(earlier) > 0 {
		clear(out)
		_, err = r.oneAgain(t.Context(), first, nil, earlier)
	}
	if err != nil {
		t.Fatal(err)
	}
	scene, err := r.state.load(t.Context(), candidates[0], opt.Observe, start.Add(-30*time.Minute), start.Add(opt.Observe))
	if err != nil {
		t.Fatal(err)
	}
	return out, scene
}

// cluster shows a scene as Kubernetes would, and keeps what is decided.
type cluster struct {
	scene  *scene
	policy release.Policy
	// earlier are the releases of the workload that proved sound.
	earlier []verify.Earlier
	mu      sync.Mutex
	said    map[time.Time]said
	final   chan struct{}
}

func (c *cluster) Follow(release.Release) {}
func (c *cluster) Unfollow(release.ID)    {}
func (c *cluster) Peers(string) []string  { return nil }

func (c *cluster) Observe(release.ID) (release.Observation, bool) {
	return c.scene.observe(time.Now()), true
}

func (c *cluster) Seen(context.Context, release.Release, release.Policy) error { return nil }

func (c *cluster) Decide(_ context.Context, _ release.Release, v release.Verdict, _ release.Policy) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := v.UpdatedAt.UTC(); at.Equal(at.Truncate(15 * time.Second)) {
		c.said[at] = saidOf(v)
	}
	if v.Final {
		close(c.final)
	}
	return nil
}

func (c *cluster) Superseded(context.Context, release.Workload, release.ID, string) error { return nil }

func (c *cluster) Refused(context.Context, release.ID, string, string) error { return nil }

func (c *cluster) Live(context.Context) ([]verify.Recorded, error) {
	return []verify.Recorded{{Release: c.scene.rel, Policy: c.policy}}, nil
}

func (c *cluster) Judged(context.Context, release.Workload) (map[string]release.VerdictKind, error) {
	return nil, nil
}

func (c *cluster) Earlier(context.Context, release.Release) ([]verify.Earlier, error) {
	return c.earlier, nil
}

func (c *cluster) PolicyFor(string, string, map[string]string) (release.Policy, []error) {
	return c.policy, nil
}

func ticksOfTheService(t *testing.T, w *world, s *scene, earlier ...verify.Earlier) map[time.Time]said {
	t.Helper()
	time.Sleep(time.Until(s.rel.StartedAt))
	policy := options().Policy("", "")
	policy.Observe = 10 * time.Minute
	c := &cluster{scene: s, policy: policy, earlier: earlier, said: map[time.Time]said{}, final: make(chan struct{})}
	reader := signal.NewReader(builtin(t), w, signal.Options{Tick: 15 * time.Second, ScrapeLookback: time.Minute})
	v := verify.New(verify.Config{Tick: 15 * time.Second}, verify.Deps{
		Cluster: c, Source: reader, Recorder: c, Policies: c, Log: slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- v.Run(ctx) }()
	<-c.final
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c.said
}

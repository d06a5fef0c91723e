package backtest

import (
	"context"
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

func ticksOfTheReplay(t *testing.T, w *world, start time.Time) (map[time.Time]said, *scene) {
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
	if _, err := r.one(t.Context(), candidates[0]); err != nil {
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
	mu     sync.Mutex
	said   map[time.Time]said
	final  chan struct{}
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
	return nil, nil
}

func (c *cluster) PolicyFor(string, string, map[string]string) (release.Policy, []error) {
	return c.policy, nil
}

func ticksOfTheService(t *testing.T, w *world, s *scene) map[time.Time]said {
	t.Helper()
	time.Sleep(time.Until(s.rel.StartedAt))
	policy := options().Policy("", "")
	policy.Observe = 10 * time.Minute
	c := &cluster{scene: s, policy: policy, said: map[time.Time]said{}, final: make(chan struct{})}
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

package verify

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// world is a simulated workload: Poisson traffic, failures that come in
// bursts, lognormal latencies, read as the signal room would count them.
type world struct {
	rnd         *rand.Rand
	rate        float64 // requests/s over all pods
	errors      float64 // share of failing requests
	burst       float64 // mean size of a burst of failures
	medianMs    float64
	releaseErr  float64 // the release's own
	releaseSlow float64 // factor on its latency
	rollout     time.Duration
	pods        int
	historyFor  time.Duration
	// outage is a share of requests that fail on both arms after the rollout began.
	outage float64
	// outageFrom, when set, is when it begins instead.
	outageFrom time.Time
}

func healthyWorld(seed uint64) *world {
	return &world{
		rnd: rand.New(rand.NewPCG(seed, 7)), rate: 20, errors: 0.001, burst: 1, medianMs: 20,
		releaseErr: 0.001, releaseSlow: 1, rollout: 40 * time.Second, pods: 4, historyFor: 10 * time.Minute,
	}
}

var simBounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, math.Inf(1)}

// reading is one tick; share is the part of the traffic the release's pods have.
func (w *world) reading(from, to time.Time, share float64) signal.Reading {
	seconds := to.Sub(from).Seconds()
	rd := signal.Reading{From: from, To: to, Fresh: true}
	outage := 0.0
	if w.outageFrom.IsZero() && share > 0 || !w.outageFrom.IsZero() && !from.Before(w.outageFrom) {
		outage = w.outage
	}
	rel, relHist := w.arm(w.rate*share*seconds, w.releaseErr+outage, w.releaseSlow, "new")
	stable, stableHist := w.arm(w.rate*(1-share)*seconds, w.errors+outage, 1, "old")
	rd.Errors = &signal.Pair{Release: rel, Stable: stable}
	rd.Latency = &signal.LatencyPair{Release: relHist, Stable: stableHist}
	return rd
}

func (w *world) arm(mean, failing, slow float64, prefix string) (signal.Arm, signal.Histogram) {
	arm := signal.Arm{Pods: map[string]release.Count{}}
	hist := signal.Histogram{Bounds: simBounds, Counts: make([]float64, len(simBounds)), Pods: map[string][]float64{}}
	if mean <= 0 {
		return arm, hist
	}
	for pod := range w.pods {
		name := prefix + string(rune('a'+pod))
		total := int64(distuv.Poisson{Lambda: mean / float64(w.pods), Src: w.rnd}.Rand())
		c := release.Count{Total: total, Bad: min(total, w.failures(float64(total)*failing))}
		counts := make([]float64, len(simBounds))
		for range total {
			x := w.medianMs / 1000 * slow * math.Exp(0.6*w.rnd.NormFloat64())
			for i, b := range simBounds {
				if x <= b {
					counts[i]++
					hist.Counts[i]++
					break
				}
			}
		}
		arm.Count = arm.Add(c)
		arm.Pods[name], hist.Pods[name] = c, counts
	}
	return arm, hist
}

// failures draws a number with the given mean that comes in bursts.
func (w *world) failures(mean float64) int64 {
	if mean <= 0 {
		return 0
	}
	var n int64
	for range int(distuv.Poisson{Lambda: mean / w.burst, Src: w.rnd}.Rand()) {
		n++
		for w.burst > 1 && w.rnd.Float64() < 1-1/w.burst {
			n++
		}
	}
	return n
}

// simSource serves worlds by release, tick by tick, as signal.Reader would.
type simSource struct {
	tick   time.Duration
	mu     sync.Mutex
	worlds map[release.ID]*world
	at     map[release.ID]time.Time
	err    func(at time.Time) error // a fault of the source, nil when it is well
	empty  func(at time.Time) bool
}

func newSimSource(tick time.Duration) *simSource {
	return &simSource{tick: tick, worlds: map[release.ID]*world{}, at: map[release.ID]time.Time{}}
}

func (s *simSource) put(id release.ID, w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worlds[id] = w
}

func (s *simSource) Read(_ context.Context, at time.Time, subjects []signal.Subject) map[release.ID]signal.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[release.ID]signal.Result{}
	for _, sub := range subjects {
		if s.err != nil {
			if err := s.err(at); err != nil {
				out[sub.ID] = signal.Result{Err: err}
				continue
			}
		}
		w := s.worlds[sub.ID]
		from, ok := s.at[sub.ID]
		if !ok {
			from = sub.StartedAt.Truncate(s.tick)
		}
		res := signal.Result{Dialect: "prometheus", Queries: []release.Query{{Source: "prometheus", Signal: release.SignalErrorRatio, Expr: "http_requests_total", From: from, To: at}}}
		for to := from.Add(s.tick); !to.After(at); to = to.Add(s.tick) {
			if w == nil || (s.empty != nil && s.empty(to)) {
				res.Readings = append(res.Readings, signal.Reading{From: from, To: to})
			} else {
				share := min(1, max(0, to.Sub(sub.StartedAt).Seconds()/w.rollout.Seconds()))
				res.Readings = append(res.Readings, w.reading(from, to, share))
			}
			from = to
		}
		s.at[sub.ID] = from
		out[sub.ID] = res
	}
	return out
}

func (s *simSource) History(_ context.Context, subjects []signal.Subject, _ time.Duration) map[release.ID]signal.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[release.ID]signal.Result{}
	for _, sub := range subjects {
		w := s.worlds[sub.ID]
		res := signal.Result{Dialect: "prometheus"}
		if w != nil {
			end := sub.StartedAt.Truncate(s.tick)
			for from := end.Add(-w.historyFor); from.Before(end); from = from.Add(s.tick) {
				res.Readings = append(res.Readings, w.reading(from, from.Add(s.tick), 0))
			}
		}
		out[sub.ID] = res
	}
	return out
}

// Rollouts serves them from their start on.
func (s *simSource) Rollouts(ctx context.Context, subjects []signal.Subject, length time.Duration) map[release.ID]signal.Result {
	out := map[release.ID]signal.Result{}
	for _, sub := range subjects {
		s.Forget(sub.ID)
		out[sub.ID] = s.Read(ctx, sub.StartedAt.Add(length), []signal.Subject{sub})[sub.ID]
	}
	return out
}

func (s *simSource) Forget(id release.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, id)
}

// simCluster shows every followed rollout as complete and sound unless told
// otherwise.
type simCluster struct {
	mu  sync.Mutex
	obs map[release.ID]release.Observation
	// peers are the workloads of every namespace.
	peers []string
}

func newSimCluster() *simCluster {
	return &simCluster{obs: map[release.ID]release.Observation{}}
}

func (c *simCluster) Follow(r release.Release) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.obs[r.ID]; ok {
		return
	}
	at := r.StartedAt
	obs := release.Observation{Exists: true, Current: true, Replicas: 4, Complete: true}
	for i := range 4 {
		obs.Release.Pods = append(obs.Release.Pods, release.Pod{Name: "new" + string(rune('a'+i)), CreatedAt: at, ReadyAt: &at})
	}
	c.obs[r.ID] = obs
}

func (c *simCluster) Unfollow(id release.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.obs, id)
}

func (c *simCluster) Peers(string) []string { return c.peers }

func (c *simCluster) Observe(id release.ID) (release.Observation, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.obs[id]
	return o, ok
}

func (c *simCluster) set(id release.ID, change func(*release.Observation)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.obs[id]
	change(&o)
	c.obs[id] = o
}

// memory is a Recorder that keeps everything in order.
type memory struct {
	mu         sync.Mutex
	seen       map[release.ID]Recorded
	verdicts   []release.Verdict
	superseded []string
	refused    []string
	earlier    []Earlier // sound releases that were before any
	fail       error
}

func newMemory() *memory { return &memory{seen: map[release.ID]Recorded{}} }

func (m *memory) Seen(_ context.Context, r release.Release, p release.Policy) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	rec := m.seen[r.ID]
	rec.Release, rec.Policy = r, p
	m.seen[r.ID] = rec
	return nil
}

func (m *memory) Decide(_ context.Context, r release.Release, v release.Verdict, p release.Policy) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.verdicts = append(m.verdicts, v)
	m.seen[r.ID] = Recorded{Release: r, Policy: p, Verdict: v}
	return nil
}

func (m *memory) Superseded(_ context.Context, w release.Workload, _ release.ID, why string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.superseded = append(m.superseded, w.Name+": "+why)
	return nil
}

func (m *memory) Refused(_ context.Context, id release.ID, what, why string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = append(m.refused, string(id)+" "+what+": "+why)
	return nil
}

func (m *memory) Live(context.Context) ([]Recorded, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Recorded
	for _, r := range m.seen {
		if !r.Verdict.Final {
			out = append(out, r)
		}
	}
	return out, nil
}

func (m *memory) Judged(_ context.Context, w release.Workload) (map[string]release.VerdictKind, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]release.VerdictKind{}
	for _, r := range m.seen {
		if r.Release.Workload.UID == w.UID {
			out[r.Release.ReplicaSet.UID] = r.Verdict.Kind
		}
	}
	return out, nil
}

func (m *memory) Earlier(context.Context, release.Release) ([]Earlier, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.earlier, m.fail
}

func (m *memory) verdict(id release.ID) release.Verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[id].Verdict
}

func (m *memory) release(id release.ID) release.Release {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[id].Release
}

// closed is how often earlier releases of a workload were closed.
func (m *memory) closed() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.superseded)
}

func (m *memory) setFail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// fixedPolicy is in force for every workload.
type fixedPolicy struct{ release.Policy }

func (p fixedPolicy) PolicyFor(string, string, map[string]string) (release.Policy, []error) {
	return p.Policy, nil
}

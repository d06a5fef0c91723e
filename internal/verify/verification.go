package verify

import (
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/judge"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// verification is one release under observation: what was counted, what the
// judge makes of it, and what was last said. The Verifier's mutex guards it.
type verification struct {
	release release.Release
	policy  release.Policy
	tick    time.Duration

	history      []signal.Reading // before the rollout, one per tick, until the judge is set up
	historyKnown bool
	freshBefore  bool             // there were samples before the rollout
	early        []signal.Reading // kept until the judge can be set up
	judge        *judge.Judge
	assessment   judge.Assessment // after the last step
	looked       bool             // for the last time, at the end
	latency      *latency
	curves       map[string]*curve
	signals      []measured // in the order declared to the judge

	dialect   string
	callers   string       // dialect of what callers count
	calledBy  []string     // ReplicaSets whose pods call the workload, namespace/name
	cpuUnit   release.Unit // of a request, or of a pod where none are counted
	notes     []string
	queries   []release.Query
	lastGood  time.Time // last successful read
	lastFresh time.Time // end of the last tick with a sample
	everFresh bool
	oomKilled [2]int // pods whose last end was for want of memory: release, stable
	// firstCounted is the end of the first tick with requests.
	firstCounted time.Time
	sourceErr    error
	lastPacing   pacing
	silence      silence
	suspectedAt  time.Time     // since when its own pods are suspected
	troubledAt   time.Time     // since when anything speaks against it
	affectedBy   string        // who else may be the cause of what the past speaks against
	waitFor      string        // of whom that is yet to be seen
	peers        peers         // how the other workloads of the namespace do
	season       season        // how this one did at the same time of earlier days
	rollouts     rollouts      // and in earlier rollouts
	crossedAt    time.Time     // when the judge first called it regressed, by the past alone
	perSecond    float64       // requests before the rollout
	quietest     time.Duration // the longest time without any before it

	obs      release.Observation
	observed bool
	// observedAt is when obs was seen: how long a state lasts is not known beyond it.
	observedAt time.Time
	pods       map[string]signal.Pod // that were ever observed, by name

	last      release.Verdict  // as last recorded
	lastSaved time.Time        // when it was
	ending    *release.Verdict // decided for good, not yet recorded
}

// pacing is how fast requests come to the release's pods, for "needs N more".
type pacing struct {
	requests int64
	seconds  float64
}

func newVerification(r release.Release, p release.Policy, tick time.Duration) *verification {
	return &verification{release: r, policy: p, tick: tick, curves: map[string]*curve{}, pods: map[string]signal.Pod{}}
}

func (t *verification) subject() signal.Subject {
	s := signal.Subject{
		ID: t.release.ID, Namespace: t.release.Workload.Namespace, Workload: t.release.Workload.Name,
		Release: t.release.ReplicaSet.Name, StartedAt: t.release.StartedAt, Custom: t.policy.Custom,
	}
	if t.release.Previous != nil {
		s.Stable = t.release.Previous.Name
	}
	s.Services = t.obs.Services
	for _, p := range t.pods {
		s.Pods = append(s.Pods, p)
	}
	slices.SortFunc(s.Pods, func(a, b signal.Pod) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// maxPodsRemembered bounds what is kept of pods that are gone.
const maxPodsRemembered = 1000

// remember keeps the pods of both arms, those that are gone too: their last
// requests, and what callers tell of them, are still to be counted.
func (t *verification) remember(obs release.Observation, now time.Time) {
	t.obs, t.observed, t.observedAt = obs, true, now
	there := map[string]bool{}
	for _, p := range append(signal.PodsOf(obs.Release, release.ArmRelease), signal.PodsOf(obs.Stable, release.ArmStable)...) {
		there[p.Name] = true
		if old := t.pods[p.Name]; p.IP == "" {
			p.IP = old.IP // a pod that ends may have lost it
		}
		t.pods[p.Name] = p
	}
	for name, p := range t.pods {
		switch {
		case there[name]:
		case len(t.pods) > maxPodsRemembered:
			delete(t.pods, name)
		case p.GoneAt.IsZero():
			p.GoneAt, p.ReadyAt = now, time.Time{}
			t.pods[name] = p
		}
	}
}

// take feeds what a read gave to the judge, tick by tick.
func (t *verification) take(res signal.Result, now time.Time) {
	if res.Err != nil {
		t.sourceErr = res.Err
		return
	}
	t.sourceErr, t.lastGood = nil, now
	if res.Dialect != "" {
		t.dialect = res.Dialect
	}
	if res.Callers != "" {
		t.callers = res.Callers
	}
	if len(res.CalledBy) > 0 {
		t.calledBy = res.CalledBy
	}
	if t.cpuUnit = release.UnitCores; res.PerRequest {
		t.cpuUnit = release.UnitSeconds
	}
	if len(res.Notes) > 0 {
		t.notes = res.Notes
	}
	if len(res.Queries) > 0 {
		t.queries = since(res.Queries, t.release.StartedAt)
	}
	for _, rd := range res.Readings {
		if rd.Fresh {
			t.everFresh, t.lastFresh = true, rd.To
		}
		if t.firstCounted.IsZero() && counted(rd) {
			t.firstCounted = rd.To
		}
		if rd.Restarts != nil {
			t.oomKilled = rd.OOMKilled
		}
		t.feed(rd)
	}
	if t.judge != nil && !t.looked && t.over(now) {
		t.looked = true
		t.judge.Last(now)
		t.assessment = t.judge.Assess()
	}
	t.compareDays()
	t.compareEarlier()
}

// since has queries ask for all that was counted, not for the last tick alone.
func since(queries []release.Query, from time.Time) []release.Query {
	for i := range queries {
		queries[i].From = from
	}
	return queries
}

// queriesFor are the questions behind one signal.
func (t *verification) queriesFor(name, seenBy string) []release.Query {
	if strings.HasPrefix(name, release.SignalLatency+"_p") {
		name = release.SignalLatency
	}
	var out []release.Query
	for _, q := range t.queries {
		if q.Signal == name && (q.SeenBy == release.SeenByCallers) == (seenBy == release.SeenByCallers) {
			out = append(out, q)
		}
	}
	return out
}

// feed gives one tick to the judge. Until the judge can be set up (the signals
// must be declared before their first tick) ticks wait in early.
func (t *verification) feed(rd signal.Reading) {
	if t.judge != nil {
		t.step(rd)
		return
	}
	t.early = append(t.early, rd)
	if !t.setUp() {
		return
	}
	for _, r := range t.early {
		t.step(r)
	}
	t.early = nil
}

// setUp declares the signals once something is exported and, where there is a
// baseline to wait for, the latency thresholds can be frozen from it.
func (t *verification) setUp() bool {
	if !t.historyKnown || !anything(t.early) {
		return false
	}
	t.latency = newLatency(t.history)
	if t.latency == nil && hasLatency(t.early) && t.release.Previous != nil {
		t.latency = newLatency(t.early)
		if t.latency == nil && len(t.early) < latencyPatienceTicks {
			return false
		}
		// What fixed the thresholds cannot be counted against them as well.
		for i := range t.early {
			t.early[i].Latency, t.early[i].CallerLatency = nil, nil
		}
	}
	t.perSecond, t.quietest = paceOf(t.history)
	t.signals = t.declare()
	declared := make([]judge.Signal, len(t.signals))
	for i, m := range t.signals {
		declared[i] = m.declared
	}
	t.judge = judge.New(judge.Config{
		Tick:  t.tick,
		Alpha: t.policy.Alpha, Beta: t.policy.Beta, MinEffect: t.policy.MinEffect,
		HealthyRatio: t.policy.HealthyRatio, HealthyIncrease: t.policy.HealthyIncrease,
	}, declared)
	t.letGo()
	return true
}

// letGo forgets the past, which the judge has taken in: it is by far the larger part
// of what a release would hold.
func (t *verification) letGo() {
	t.history = nil
	for i := range t.signals {
		t.signals[i].declared.History, t.signals[i].declared.HistoryPods, t.signals[i].declared.HistoryValues = nil, nil, nil
	}
}

// step is one tick of the judge, and one point of each curve.
func (t *verification) step(rd signal.Reading) {
	t.silence.step(rd, t.perSecond)
	switch {
	case rd.Errors != nil:
		t.pace(rd.Errors.Release.Total, rd.To.Sub(rd.From).Seconds())
	case rd.Callers != nil:
		t.pace(rd.Callers.Release.Total, rd.To.Sub(rd.From).Seconds())
	}
	ticks := make(map[string]judge.Tick, len(t.signals))
	for _, m := range t.signals {
		if k, ok := m.tick(rd); ok {
			ticks[m.declared.Name] = k
		}
	}
	t.judge.Step(rd.To, ticks)
	t.assessment = t.judge.Assess()
	for i, s := range t.assessment.Signals {
		t.draw(t.signals[i], rd.To, ticks[s.Name], s.E)
	}
}

// draw adds a point to a signal's curve.
func (t *verification) draw(m measured, at time.Time, k judge.Tick, e float64) {
	rel, stable := k.Release.Ratio(), k.Stable.Ratio()
	switch {
	case k.Value != nil:
		rel, stable = k.Value.Release.Value(), k.Value.Stable.Value()
		k.Release.Total, k.Stable.Total = exposure(k.Value.Release), exposure(k.Value.Stable)
	case m.values != nil:
		rel, stable = m.values()
	}
	t.curve(m.declared.Name).add(at, k.Release, k.Stable, rel, stable, e)
}

// exposure is what a quantity is over as a whole number, at least 1 where there
// is any.
func exposure(m release.Measure) int64 {
	if m.Weight <= 0 {
		return 0
	}
	return max(1, int64(m.Weight))
}

// pace remembers the release arm's traffic, newer ticks counting more.
func (t *verification) pace(requests int64, seconds float64) {
	const keep = 0.9
	t.lastPacing.seconds = t.lastPacing.seconds*keep + seconds
	t.lastPacing.requests = int64(float64(t.lastPacing.requests)*keep) + requests
}

func (t *verification) curve(name string) *curve {
	c := t.curves[name]
	if c == nil {
		c = &curve{}
		t.curves[name] = c
	}
	return c
}

// anything reports whether anything was measured that can be judged.
func anything(readings []signal.Reading) bool {
	return slices.ContainsFunc(readings, func(rd signal.Reading) bool {
		return rd.Errors != nil || rd.Latency != nil || rd.Callers != nil || len(rd.Custom)+len(rd.Quantities) > 0
	})
}

// counted reports whether any request was counted in a reading.
func counted(rd signal.Reading) bool {
	some := func(p *signal.Pair) bool { return p != nil && p.Release.Total+p.Stable.Total > 0 }
	if some(rd.Errors) || some(rd.Callers) {
		return true
	}
	for _, p := range rd.Custom {
		if some(&p) {
			return true
		}
	}
	return rd.Latency != nil && sum(rd.Latency.Release.Counts)+sum(rd.Latency.Stable.Counts) > 0
}

func hasLatency(readings []signal.Reading) bool {
	return slices.ContainsFunc(readings, func(rd signal.Reading) bool { return rd.Latency != nil || rd.CallerLatency != nil })
}

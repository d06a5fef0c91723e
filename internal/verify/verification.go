package verify

import (
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

	history      []signal.Reading // before the rollout, one per tick
	historyKnown bool
	early        []signal.Reading // kept until the judge can be set up
	judge        *judge.Judge
	assessment   judge.Assessment // after the last step
	latency      *latency
	curves       map[string]*curve
	custom       []string // names of the user's own signals that are declared

	dialect   string
	notes     []string
	queries   []release.Query
	lastGood  time.Time // last successful read
	lastFresh time.Time // end of the last tick with a sample
	everFresh bool
	// firstCounted is the end of the first tick with requests.
	firstCounted time.Time
	sourceErr    error
	lastPacing   pacing

	obs      release.Observation
	observed bool

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
	return &verification{release: r, policy: p, tick: tick, curves: map[string]*curve{}}
}

func (t *verification) subject() signal.Subject {
	s := signal.Subject{
		ID: t.release.ID, Namespace: t.release.Workload.Namespace, Workload: t.release.Workload.Name,
		Release: t.release.ReplicaSet.Name, StartedAt: t.release.StartedAt, Custom: t.policy.Custom,
	}
	if t.release.Previous != nil {
		s.Stable = t.release.Previous.Name
	}
	return s
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
		t.feed(rd)
	}
}

// since has queries ask for all that was counted, not for the last tick alone.
func since(queries []release.Query, from time.Time) []release.Query {
	for i := range queries {
		queries[i].From = from
	}
	return queries
}

// queriesFor are the questions behind one signal.
func (t *verification) queriesFor(name string) []release.Query {
	if strings.HasPrefix(name, release.SignalLatency+"_") {
		name = release.SignalLatency
	}
	var out []release.Query
	for _, q := range t.queries {
		if q.Signal == name {
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
			t.early[i].Latency = nil
		}
	}
	t.judge = judge.New(judge.Config{
		Alpha: t.policy.Alpha, Beta: t.policy.Beta, MinEffect: t.policy.MinEffect,
		HealthyRatio: t.policy.HealthyRatio, HealthyIncrease: t.policy.HealthyIncrease,
	}, t.declare())
	return true
}

// declare lists the signals that this workload exports, with their history.
func (t *verification) declare() []judge.Signal {
	var out []judge.Signal
	all := append(append([]signal.Reading(nil), t.history...), t.early...)
	if hasErrors(all) {
		s := judge.Signal{Name: release.SignalErrorRatio, Weight: t.policy.Weights["errors"], Required: true}
		for _, h := range t.history {
			if h.Errors != nil {
				s.History = append(s.History, h.Errors.Stable.Count)
			}
		}
		out = append(out, s)
	}
	if t.latency != nil {
		for _, q := range t.latency.quantiles {
			out = append(out, t.latency.signal(q, t.history, t.policy))
		}
	}
	for _, c := range t.policy.Custom {
		s := judge.Signal{Name: c.Name, Weight: t.policy.Weights["custom"] / float64(len(t.policy.Custom)), Required: true}
		found := false
		for _, rd := range all {
			_, ok := rd.Custom[c.Name]
			found = found || ok
		}
		if !found {
			continue
		}
		for _, h := range t.history {
			if p, ok := h.Custom[c.Name]; ok {
				s.History = append(s.History, p.Stable.Count)
			}
		}
		t.custom = append(t.custom, c.Name)
		out = append(out, s)
	}
	return out
}

// step is one tick of the judge, and one point of each curve.
func (t *verification) step(rd signal.Reading) {
	ticks := make(map[string]judge.Tick, 4)
	if e := rd.Errors; e != nil {
		ticks[release.SignalErrorRatio] = judge.Tick{Release: e.Release.Count, Stable: e.Stable.Count, Pods: e.Release.Pods}
		t.pace(e.Release.Total, rd.To.Sub(rd.From).Seconds())
	}
	var lat latencyTick
	if t.latency != nil && rd.Latency != nil {
		lat = t.latency.tick(*rd.Latency, t.policy.Warmup, rd.To)
		for name, k := range lat.ticks {
			ticks[name] = k
		}
	}
	for _, name := range t.custom {
		if p, ok := rd.Custom[name]; ok {
			ticks[name] = judge.Tick{Release: p.Release.Count, Stable: p.Stable.Count, Pods: p.Release.Pods}
		}
	}
	t.judge.Step(rd.To, ticks)
	t.assessment = t.judge.Assess()
	for _, s := range t.assessment.Signals {
		k := ticks[s.Name]
		rel, stable := k.Release.Ratio(), k.Stable.Ratio()
		if v, ok := lat.values[s.Name]; ok {
			rel, stable = v[0], v[1]
		}
		t.curve(s.Name).add(rd.To, k.Release, k.Stable, rel, stable, s.E)
	}
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

func anything(readings []signal.Reading) bool {
	for _, rd := range readings {
		if rd.Errors != nil || rd.Latency != nil || len(rd.Custom) > 0 {
			return true
		}
	}
	return false
}

// counted reports whether any request was counted in a reading.
func counted(rd signal.Reading) bool {
	if e := rd.Errors; e != nil && e.Release.Total+e.Stable.Total > 0 {
		return true
	}
	for _, p := range rd.Custom {
		if p.Release.Total+p.Stable.Total > 0 {
			return true
		}
	}
	return rd.Latency != nil && sum(rd.Latency.Release.Counts)+sum(rd.Latency.Stable.Counts) > 0
}

func hasErrors(readings []signal.Reading) bool {
	for _, rd := range readings {
		if rd.Errors != nil {
			return true
		}
	}
	return false
}

func hasLatency(readings []signal.Reading) bool {
	for _, rd := range readings {
		if rd.Latency != nil {
			return true
		}
	}
	return false
}

package verify

import (
	"math"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/judge"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// measured is one signal that is judged: how it is declared, and how its ticks
// are taken from readings.
type measured struct {
	declared judge.Signal
	signal   string // its name for people; declared.Name also tells who counted
	seenBy   string
	unit     release.Unit
	// tick is false for a reading that holds nothing of the signal. It is called
	// once for each tick, in order.
	tick func(signal.Reading) (judge.Tick, bool)
	// values, when set, are what a curve shows of both arms in the unit, where
	// that is not the ratio or the quantity itself.
	values func() (rel, stable float64)
}

// How much worse a quantity may be than its baseline: most of what a new version
// changes of them is meant.
const (
	meanTolerance       = 0.2 // as for the quantiles of latency
	throughputTolerance = 1   // half of the requests per pod
	resourceTolerance   = 0.5
	restartTolerance    = 1
	customTolerance     = 0.2
	// cpuWarmup is how long a pod's use of the processor is no measure: it compiles
	// and fills caches.
	cpuWarmup = 2 * time.Minute
	// Of fewer requests, or events, a mean or a rate is too uncertain to be compared.
	leastRequests = 20
)

// callersSuffix tells what callers count from what the pods do, for the judge.
const callersSuffix = "@callers"

// declare lists the signals that this workload has, with their history.
func (t *verification) declare() []measured {
	all := slices.Concat(t.history, t.early)
	var out []measured
	add := func(has func(signal.Reading) bool, m measured) {
		if slices.ContainsFunc(all, has) {
			out = append(out, m)
		}
	}
	hasErrors := func(rd signal.Reading) bool { return rd.Errors != nil }
	add(hasErrors, t.counted(release.SignalErrorRatio, release.SeenByServer, t.policy.Weights["errors"], true,
		func(rd signal.Reading) *signal.Pair { return rd.Errors }))
	add(func(rd signal.Reading) bool { return rd.Callers != nil }, t.calls(!slices.ContainsFunc(all, hasErrors)))
	if t.latency != nil {
		out = append(out, t.latency.measured(t)...)
	}
	if t.policy.SLO > 0 {
		add(hasErrors, t.guard())
	}
	for _, q := range t.quantities() {
		add(func(rd signal.Reading) bool { _, ok := rd.Quantities[q.signal]; return ok }, q)
	}
	restarts := t.counted(release.SignalRestarts, "", t.policy.Weights["resources"]/3, false,
		func(rd signal.Reading) *signal.Pair { return rd.Restarts })
	restarts.declared.MinEffect = restartTolerance
	add(func(rd signal.Reading) bool { return rd.Restarts != nil }, restarts)
	for _, c := range t.policy.Custom {
		if c.Bad == "" {
			continue
		}
		add(func(rd signal.Reading) bool { _, ok := rd.Custom[c.Name]; return ok },
			t.counted(c.Name, "", t.policy.Weights["custom"]/float64(len(t.policy.Custom)), true, func(rd signal.Reading) *signal.Pair {
				if p, ok := rd.Custom[c.Name]; ok {
					return &p
				}
				return nil
			}))
	}
	return out
}

// guard is what no baseline excuses: failures that spend the error budget of the
// policy's objective faster than its burn rate.
func (t *verification) guard() measured {
	m := t.counted(release.SignalBudgetBurn, release.SeenByServer, t.policy.Weights["slo"], false,
		func(rd signal.Reading) *signal.Pair { return rd.Errors })
	m.declared.Limit = math.Min(t.policy.BurnRate*(1-t.policy.SLO), 0.99)
	m.declared.History = nil
	return m
}

// counted is a signal of bad ones among all.
func (t *verification) counted(name, seenBy string, weight float64, required bool, of func(signal.Reading) *signal.Pair) measured {
	var before routes
	m := measured{
		declared: judge.Signal{Name: name, Weight: weight, Required: required},
		signal:   name, seenBy: seenBy, unit: release.UnitRatio,
		tick: func(rd signal.Reading) (judge.Tick, bool) {
			p := of(rd)
			if p == nil {
				return judge.Tick{}, false
			}
			return tickOf(*p, &before), true
		},
	}
	for _, h := range t.history {
		if p := of(h); p != nil {
			m.declared.History = append(m.declared.History, p.Stable.Count)
			m.declared.HistoryPods = append(m.declared.HistoryPods, podsHit(p.Stable))
			for _, s := range p.Strata {
				before.add(s.Route, s.Stable)
			}
		}
	}
	return m
}

// podsHit counts the pods of an arm, and those with bad requests.
func podsHit(a signal.Arm) judge.Hits {
	var h judge.Hits
	for _, c := range a.Pods {
		if c.Total > 0 {
			h.Pods++
			if c.Bad > 0 {
				h.Bad++
			}
		}
	}
	return h
}

// tickOf is a tick of both arms, with what its routes did before the rollout.
func tickOf(p signal.Pair, before *routes) judge.Tick {
	k := judge.Tick{Release: p.Release.Count, Stable: p.Stable.Count, Pods: p.Release.Pods}
	names := make([]string, len(p.Strata))
	for i, s := range p.Strata {
		names[i] = s.Route
	}
	past := before.past(names)
	for i, s := range p.Strata {
		k.Strata = append(k.Strata, judge.Stratum{Release: s.Release, Stable: s.Stable, Past: past[i]})
	}
	return k
}

// calls is what callers count of their requests to the workload. Where they do not
// tell the arms apart and the pods count too, only failures that the pods do not
// know of are held against the release: what both see is judged by the arms.
func (t *verification) calls(only bool) measured {
	excess := &excess{}
	past := excess.over(t.history)
	m := t.counted(release.SignalErrorRatio, release.SeenByCallers, t.policy.Weights["callers"], only,
		func(rd signal.Reading) *signal.Pair { return rd.Callers })
	m.declared.Name += callersSuffix
	if !only && past != nil {
		m.declared.History = past
	}
	m.declared.HistoryPods = nil // callers need not tell which pod answered
	m.tick = func(rd signal.Reading) (judge.Tick, bool) {
		if rd.Callers == nil {
			return judge.Tick{}, false
		}
		if len(rd.Callers.Release.Pods)+len(rd.Callers.Stable.Pods) > 0 || rd.Errors == nil {
			return tickOf(*rd.Callers, &routes{}), true
		}
		return judge.Tick{Release: excess.of(rd)}, true
	}
	return m
}

// excess is how many failures only callers see. Both sides are scraped at
// different times, so what one sees first is set off against what the other sees
// next.
type excess struct {
	open float64 // failures of callers that the pods have not shown, below 0 the reverse
	last float64 // failures that the pods showed in the tick before
}

// of takes the failures that only callers saw in a tick.
func (x *excess) of(rd signal.Reading) release.Count {
	n := rd.Callers.Release.Add(rd.Callers.Stable.Count)
	pods := 0.0
	if rd.Errors != nil {
		pods = float64(rd.Errors.Release.Bad + rd.Errors.Stable.Bad)
	}
	x.open += float64(n.Bad) - pods
	// Not all callers are seen: what they do not know of is no credit for long.
	x.open = max(x.open, -(pods + x.last))
	x.last = pods
	bad := int64(0)
	if x.open > 0 {
		bad, x.open = min(int64(x.open), n.Total), 0
	}
	return release.Count{Total: n.Total, Bad: bad}
}

// over is the excess in each of the readings; nil where callers told nothing.
func (x *excess) over(readings []signal.Reading) []release.Count {
	var out []release.Count
	for _, rd := range readings {
		if rd.Callers != nil {
			out = append(out, x.of(rd))
		}
	}
	*x = excess{}
	return out
}

// quantities are the signals that are a quantity over an exposure.
func (t *verification) quantities() []measured {
	w := t.policy.Weights
	out := []measured{
		t.quantity(release.SignalLatencyMean, release.SeenByServer, w["latency"], meanTolerance, release.Up, release.UnitSeconds, t.policy.Warmup),
		t.quantity(release.SignalThroughput, release.SeenByServer, w["throughput"], throughputTolerance, release.Down, release.UnitPerSecond, t.policy.Warmup),
		t.quantity(release.SignalCPU, "", w["resources"]/3, resourceTolerance, release.Up, t.cpuUnit, cpuWarmup),
		t.quantity(release.SignalMemory, "", w["resources"]/3, resourceTolerance, release.Up, release.UnitBytes, 0),
	}
	out[0].declared.MinWeight, out[1].declared.MinSum, out[2].declared.MinWeight = leastRequests, leastRequests, leastRequests
	out[1].declared.MinTicks = t.ticksOfScrapes()
	for _, c := range t.policy.Custom {
		if c.Bad != "" {
			continue
		}
		unit, effect := release.UnitCount, c.MinEffect
		if c.Counter != "" {
			unit = release.UnitPerSecond
		}
		if effect == 0 {
			effect = customTolerance
		}
		q := t.quantity(c.Name, "", w["custom"]/float64(len(t.policy.Custom)), effect, c.Worse, unit, t.policy.Warmup)
		if c.Counter != "" {
			q.declared.MinSum, q.declared.MinTicks = leastRequests, t.ticksOfScrapes()
		}
		out = append(out, q)
	}
	return out
}

// usualScrapes is the time in which every pod is taken to be scraped once.
const usualScrapes = time.Minute

// ticksOfScrapes is how many ticks that takes: what is counted per second comes in
// the ticks of the scrapes.
func (t *verification) ticksOfScrapes() int {
	return int((usualScrapes + t.tick - 1) / t.tick)
}

// quantity is a signal of quantities. Pods count from warmup after they were
// first measured.
func (t *verification) quantity(name, seenBy string, weight, tolerance float64, worse release.Direction, unit release.Unit, warmup time.Duration) measured {
	m := measured{
		declared: judge.Signal{Name: name, Weight: weight, Value: true, Worse: worse, MinEffect: tolerance},
		signal:   name, seenBy: seenBy, unit: unit,
	}
	pods, usual := warming{}, t.servedBefore()
	m.tick = func(rd signal.Reading) (judge.Tick, bool) {
		q, ok := rd.Quantities[name]
		if !ok {
			return judge.Tick{}, false
		}
		v := &judge.ValueTick{Stable: q.Stable.Measure, Pods: map[string]release.Measure{}}
		for pod, measure := range q.Release.Pods {
			if pods.over(pod, rd.To, warmup) {
				v.Pods[pod] = measure
				v.Release = v.Release.Add(measure)
			}
		}
		switch {
		case name == release.SignalMemory:
			lighten(v, rd)
		case name == release.SignalCPU && unit == release.UnitSeconds:
			idle(v, rd, usual)
		}
		return judge.Tick{Value: v}, true
	}
	for _, h := range t.history {
		if q, ok := h.Quantities[name]; ok && q.Stable.Weight > 0 {
			m.declared.HistoryValues = append(m.declared.HistoryValues, q.Stable.Measure)
		}
	}
	return m
}

// idle takes the release's processor time per request for less where its pods serve
// fewer requests than the stable ones do, or, without these, than pods did before:
// what a pod needs while it waits is then spread over fewer of them.
func idle(v *judge.ValueTick, rd signal.Reading, usual float64) {
	q := rd.Quantities[release.SignalThroughput]
	if q.Stable.Weight > 0 {
		usual = q.Stable.Value()
	}
	if q.Release.Weight == 0 || usual <= 0 || q.Release.Value() >= usual {
		return
	}
	scale(v, q.Release.Value()/usual)
}

// servedBefore is how many requests a second a ready pod served before the
// rollout; 0 where that is not known.
func (t *verification) servedBefore() float64 {
	var all release.Measure
	for _, h := range t.history {
		all = all.Add(h.Quantities[release.SignalThroughput].Stable.Measure)
	}
	if all.Weight == 0 {
		return 0
	}
	return all.Value()
}

func scale(v *judge.ValueTick, factor float64) {
	v.Release.Sum *= factor
	for pod, m := range v.Pods {
		v.Pods[pod] = release.Measure{Sum: m.Sum * factor, Weight: m.Weight}
	}
}

// lighten takes the release's memory for less where its pods serve more requests
// than the stable ones do: what a request needs is what is compared. It is never
// taken for more, since most of it is the process's own.
func lighten(v *judge.ValueTick, rd signal.Reading) {
	if rd.Errors == nil {
		return
	}
	perPod := func(a signal.Arm) float64 { return float64(a.Total) / max(float64(len(a.Pods)), 1) }
	rel, stable := perPod(rd.Errors.Release), perPod(rd.Errors.Stable)
	if stable <= 0 || rel <= stable {
		return
	}
	scale(v, stable/rel)
}

package signal

import (
	"fmt"
	"math"
	"slices"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
)

// survey turns what was counted into the lines of a report.
type survey struct {
	t    *tracked
	cat  *catalogue.Catalogue
	sums sums
}

// sums are the readings of a survey taken together.
type sums struct {
	errors, callers, restarts *Pair
	latency, callerLatency    *LatencyPair
	quantities                map[string]Quantity
	custom                    map[string]Pair
}

func summarize(readings []Reading) sums {
	out := sums{quantities: map[string]Quantity{}, custom: map[string]Pair{}}
	for _, rd := range readings {
		out.errors = sumPairs(out.errors, rd.Errors)
		out.callers = sumPairs(out.callers, rd.Callers)
		out.restarts = sumPairs(out.restarts, rd.Restarts)
		out.latency = sumLatencies(out.latency, rd.Latency)
		out.callerLatency = sumLatencies(out.callerLatency, rd.CallerLatency)
		for name, q := range rd.Quantities {
			at := out.quantities[name]
			at.Release.join(q.Release)
			at.Stable.join(q.Stable)
			out.quantities[name] = at
		}
		for name, p := range rd.Custom {
			at := out.custom[name]
			out.custom[name] = *sumPairs(&at, &p)
		}
	}
	return out
}

func (a *ArmQuantity) join(o ArmQuantity) {
	a.Measure = a.Add(o.Measure)
	if a.Pods == nil {
		a.Pods = map[string]release.Measure{}
	}
	for pod, m := range o.Pods {
		a.Pods[pod] = a.Pods[pod].Add(m)
	}
}

func sumPairs(a, b *Pair) *Pair {
	if b == nil {
		return a
	}
	if a == nil {
		a = &Pair{}
	}
	out := Pair{Release: a.Release.join(b.Release), Stable: a.Stable.join(b.Stable), Strata: slices.Clone(a.Strata)}
	for i, s := range b.Strata {
		if i == len(out.Strata) {
			out.Strata = append(out.Strata, Stratum{Route: s.Route})
		}
		out.Strata[i].Release, out.Strata[i].Stable = out.Strata[i].Release.Add(s.Release), out.Strata[i].Stable.Add(s.Stable)
	}
	return &out
}

func (a Arm) join(o Arm) Arm {
	out := Arm{Count: a.Add(o.Count), Pods: map[string]release.Count{}}
	for _, from := range []Arm{a, o} {
		for pod, n := range from.Pods {
			out.Pods[pod] = out.Pods[pod].Add(n)
		}
	}
	return out
}

// sumLatencies adds histograms of the same bounds; others begin anew.
func sumLatencies(a, b *LatencyPair) *LatencyPair {
	if b == nil {
		return a
	}
	if a == nil || !slices.Equal(a.Stable.Bounds, b.Stable.Bounds) {
		a = &LatencyPair{
			Release: Histogram{Bounds: b.Release.Bounds, Counts: make([]float64, len(b.Release.Bounds)), Pods: map[string][]float64{}},
			Stable:  Histogram{Bounds: b.Stable.Bounds, Counts: make([]float64, len(b.Stable.Bounds)), Pods: map[string][]float64{}},
		}
	}
	for _, h := range [][2]*Histogram{{&a.Release, &b.Release}, {&a.Stable, &b.Stable}} {
		addTo(h[0].Counts, h[1].Counts)
		for pod := range h[1].Pods {
			h[0].Pods[pod] = nil
		}
	}
	return a
}

// signals are all lines, those that are not measured too.
func (v *survey) signals() []release.SignalStatus {
	t := v.t
	out := []release.SignalStatus{v.errors(viewServer, v.sums.errors)}
	out = append(out, v.latencies(viewServer, v.sums.latency)...)
	if t.callers.dialect != nil {
		out = append(out, v.errors(viewCallers, v.sums.callers))
		if v.sums.callerLatency != nil {
			out = append(out, v.latencies(viewCallers, v.sums.callerLatency)...)
		}
	} else {
		out = append(out, release.SignalStatus{
			Signal: release.SignalErrorRatio, SeenBy: release.SeenByCallers, Unit: release.UnitRatio,
			Why: "no caller exports series that name this workload (a mesh, an ingress, or a client library with the callee's address)",
		})
	}
	out = append(out,
		v.quantity(release.SignalThroughput, release.UnitPerSecond, catalogue.ResourceReady, "requests per second and ready pod"),
		v.quantity(release.SignalCPU, v.cpuUnit(), catalogue.ResourceCPU, v.cpuWords()),
		v.quantity(release.SignalMemory, release.UnitBytes, catalogue.ResourceMemory, "working set per pod"),
		v.restarts())
	for i := range t.custom {
		out = append(out, v.custom(i))
	}
	return out
}

func (v *survey) errors(w view, pair *Pair) release.SignalStatus {
	s := release.SignalStatus{Signal: release.SignalErrorRatio, SeenBy: seenBy(w), Unit: release.UnitRatio, Measured: pair != nil}
	s.Dialect, s.Why = v.reads(w)
	if pair != nil {
		s.Arms = v.countArms(pair, func(n release.Count) *float64 { return ratio(n) })
	}
	return s
}

func seenBy(w view) string {
	if w == viewCallers {
		return release.SeenByCallers
	}
	return release.SeenByServer
}

// reads says in which dialect a view's requests are read, and why that one.
func (v *survey) reads(w view) (dialect, why string) {
	t := v.t
	if w == viewCallers {
		d := t.callers.dialect
		why = d.Title
		if t.callers.byPods[d] {
			return d.Name, why + "; it tells which pod answered"
		}
		return d.Name, why + "; it does not tell which pod answered, so it is held against the time before the rollout"
	}
	for _, a := range []armIndex{armRelease, armStable} {
		if d := t.arms[a].dialect; d != nil {
			return d.Name, d.Title
		}
	}
	if len(t.findings.noStatusOf) > 0 {
		return "", "the request metrics carry no label that tells failures"
	}
	return "", "the pods export no request metrics that are known, with labels that name pod and namespace"
}

func (v *survey) latencies(w view, pair *LatencyPair) []release.SignalStatus {
	t := v.t
	if w == viewServer && pair == nil {
		if q, ok := v.sums.quantities[release.SignalLatencyMean]; ok {
			s := release.SignalStatus{Signal: release.SignalLatencyMean, SeenBy: release.SeenByServer, Unit: release.UnitSeconds, Measured: true}
			s.Dialect, _ = v.reads(w)
			s.Why = "the latencies have no buckets, only a sum and a count"
			s.Arms = v.quantityArms(q)
			return []release.SignalStatus{s}
		}
		why := "no latencies are exported in this dialect"
		switch {
		case !t.dialectKnown():
			_, why = v.reads(w)
		case t.findings.bounds[w] != "":
			why = t.findings.bounds[w]
		case t.someLatency():
			why = "the arms export latencies in different forms"
		}
		return []release.SignalStatus{{Signal: release.SignalLatencyP50, SeenBy: release.SeenByServer, Unit: release.UnitSeconds, Why: why}}
	}
	var out []release.SignalStatus
	for _, q := range []struct {
		name string
		p    float64
	}{{release.SignalLatencyP50, .5}, {release.SignalLatencyP90, .9}, {release.SignalLatencyP99, .99}} {
		s := release.SignalStatus{Signal: q.name, SeenBy: seenBy(w), Unit: release.UnitSeconds, Measured: true}
		s.Dialect, _ = v.reads(w)
		s.Why = v.histogramWords(w, pair)
		s.Arms = v.latencyArms(pair, q.p)
		out = append(out, s)
	}
	return out
}

func (v *survey) histogramWords(w view, pair *LatencyPair) string {
	for _, f := range v.t.feeds {
		if f.view == w && f.what == feedNative && f.latency {
			return fmt.Sprintf("native histogram %s, compared at %d buckets to each doubling", f.dialect.Latency.Histogram, 1<<max(v.t.schema[w], 0))
		}
	}
	for _, f := range v.t.feeds {
		if f.view == w && f.what == feedBuckets {
			return fmt.Sprintf("classic histogram %s with %d buckets", f.dialect.Latency.Histogram, len(pair.Stable.Bounds))
		}
	}
	return ""
}

func (v *survey) quantity(name string, unit release.Unit, from catalogue.ResourceSignal, words string) release.SignalStatus {
	s := release.SignalStatus{Signal: name, Unit: unit}
	q, ok := v.sums.quantities[name]
	s.Measured = ok && q.Release.Weight+q.Stable.Weight > 0
	o, found := v.t.resources[from]
	switch {
	case name == release.SignalThroughput && !v.t.dialectKnown():
		s.Why = "no requests are counted by the pods"
	case name == release.SignalThroughput && s.Measured && !found:
		s.Why = words + ", by what Kubernetes says of the pods"
	case found:
		s.Why = words + ", from " + o.resource.Metric
	default:
		s.Why = "the metric store has no " + v.metricsOf(from) + " of these pods"
	}
	if s.Measured {
		s.Arms = v.quantityArms(q)
	}
	return s
}

func (v *survey) metricsOf(signal catalogue.ResourceSignal) string {
	for _, res := range v.cat.Resources {
		if res.Signal == signal {
			return res.Metric
		}
	}
	return string(signal)
}

func (v *survey) cpuUnit() release.Unit {
	if v.t.dialectKnown() {
		return release.UnitSeconds
	}
	return release.UnitCores
}

func (v *survey) cpuWords() string {
	if v.t.dialectKnown() {
		return "core-seconds per request"
	}
	return "cores per pod"
}

func (v *survey) restarts() release.SignalStatus {
	s := release.SignalStatus{Signal: release.SignalRestarts, Unit: release.UnitCount, Measured: v.sums.restarts != nil}
	if s.Why = "the metric store has no " + v.metricsOf(catalogue.ResourceRestarts) + " of these pods"; s.Measured {
		s.Why = "restarts of containers in the range, from " + v.t.resources[catalogue.ResourceRestarts].resource.Metric
		s.Arms = v.countArms(v.sums.restarts, func(n release.Count) *float64 { x := float64(n.Bad); return &x })
		for i := range s.Arms {
			s.Arms[i].Count = nil
		}
	}
	return s
}

func (v *survey) custom(i int) release.SignalStatus {
	c := &v.t.custom[i]
	s := release.SignalStatus{Signal: c.Name, Unit: release.UnitRatio, Why: "a signal of your own"}
	switch err := v.t.customError(i); {
	case c.broken != nil:
		s.Why = c.broken.Error()
	case err != nil:
		s.Why = words(err)
	case !c.seen:
		s.Why = "it has no series of these pods"
	case c.Bad != "":
		pair, ok := v.sums.custom[c.Name]
		if s.Measured = ok; ok {
			s.Arms = v.countArms(&pair, ratio)
		}
	default:
		s.Unit = release.UnitCount
		if c.Counter != "" {
			s.Unit = release.UnitPerSecond
		}
		q, ok := v.sums.quantities[c.Name]
		if s.Measured = ok; ok {
			s.Arms = v.quantityArms(q)
		}
	}
	return s
}

func ratio(n release.Count) *float64 {
	if n.Total == 0 {
		return nil
	}
	x := n.Ratio()
	return &x
}

// countArms are the arms of a pair that exist.
func (v *survey) countArms(pair *Pair, value func(release.Count) *float64) []release.ArmSignal {
	var out []release.ArmSignal
	for _, a := range v.t.existing() {
		arm := pair.arm(a)
		n := arm.Count
		s := release.ArmSignal{Arm: a.name(), Pods: len(arm.Pods), Value: value(n), Count: &n}
		for _, st := range pair.Strata {
			count := st.Stable
			if a == armRelease {
				count = st.Release
			}
			s.Routes = append(s.Routes, release.RouteSignal{Route: st.Route, Count: count})
		}
		out = append(out, s)
	}
	return out
}

func (v *survey) quantityArms(q Quantity) []release.ArmSignal {
	var out []release.ArmSignal
	for _, a := range v.t.existing() {
		arm := q.Stable
		if a == armRelease {
			arm = q.Release
		}
		s := release.ArmSignal{Arm: a.name(), Pods: len(arm.Pods)}
		if arm.Weight > 0 {
			x := arm.Value()
			s.Value = &x
		}
		out = append(out, s)
	}
	return out
}

func (v *survey) latencyArms(pair *LatencyPair, p float64) []release.ArmSignal {
	var out []release.ArmSignal
	for _, a := range v.t.existing() {
		h := pair.Stable
		if a == armRelease {
			h = pair.Release
		}
		total := 0.0
		for _, n := range h.Counts {
			total += n
		}
		n := release.Count{Total: int64(math.Round(total))}
		s := release.ArmSignal{Arm: a.name(), Pods: len(h.Pods), Count: &n}
		if x := quantile(h, p, total); !math.IsNaN(x) {
			s.Value = &x
		}
		out = append(out, s)
	}
	return out
}

// quantile interpolates within the bucket that holds it; the last finite bound
// stands for all beyond. NaN without requests.
func quantile(h Histogram, p, total float64) float64 {
	below := 0.0
	for i, n := range h.Counts {
		if n <= 0 || below+n < p*total {
			below += n
			continue
		}
		low := 0.0
		if i > 0 {
			low = h.Bounds[i-1]
		}
		if math.IsInf(h.Bounds[i], 1) {
			return low
		}
		return low + (h.Bounds[i]-low)*(p*total-below)/n
	}
	return math.NaN()
}

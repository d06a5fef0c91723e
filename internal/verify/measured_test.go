package verify

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/judge"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// calls makes a reading in which callers saw total requests of which bad failed,
// and the pods themselves knew of known failures.
func calls(total, bad, known int64) signal.Reading {
	return signal.Reading{
		Errors:  &signal.Pair{Stable: signal.Arm{Count: release.Count{Total: total, Bad: known}}},
		Callers: &signal.Pair{Release: signal.Arm{Count: release.Count{Total: total, Bad: bad}}},
	}
}

func TestOnlyFailuresThatThePodsDoNotKnowOfAreHeldAgainstTheReleaseByItsCallers(t *testing.T) {
	for name, c := range map[string]struct {
		readings []signal.Reading
		want     []int64
	}{
		"failures that both see are nobody's":                 {[]signal.Reading{calls(100, 5, 5), calls(100, 7, 7)}, []int64{0, 0}},
		"failures that only callers see":                      {[]signal.Reading{calls(100, 5, 0), calls(100, 7, 2)}, []int64{5, 5}},
		"what the pods show first is set off":                 {[]signal.Reading{calls(100, 0, 5), calls(100, 5, 0)}, []int64{0, 0}},
		"but not for ever":                                    {[]signal.Reading{calls(100, 0, 50), calls(100, 0, 0), calls(100, 0, 0), calls(100, 9, 0)}, []int64{0, 0, 0, 9}},
		"nor more than there are requests":                    {[]signal.Reading{calls(3, 5, 0)}, []int64{3}},
		"pods that see more than their callers are no credit": {[]signal.Reading{calls(100, 1, 9), calls(100, 1, 9), calls(100, 20, 9)}, []int64{0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			x := &excess{}
			var got []int64
			for _, rd := range c.readings {
				got = append(got, x.of(rd).Bad)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPodsThatAreGoneAreRemembered(t *testing.T) {
	v := newTestVerification(release.DefaultPolicy())
	at := time.Unix(2000, 0)
	ready := at.Add(-time.Minute)
	v.remember(release.Observation{Stable: release.ArmState{Pods: []release.Pod{{Name: "a", IP: "10.0.0.1", ReadyAt: &ready}}}}, at)
	v.remember(release.Observation{Stable: release.ArmState{Pods: []release.Pod{{Name: "a", Deleting: true}}}}, at.Add(time.Second))
	v.remember(release.Observation{Release: release.ArmState{Pods: []release.Pod{{Name: "b"}}}}, at.Add(2*time.Second))
	want := []signal.Pod{
		{Name: "a", IP: "10.0.0.1", Arm: release.ArmStable, GoneAt: at.Add(2 * time.Second)},
		{Name: "b", Arm: release.ArmRelease},
	}
	if diff := cmp.Diff(want, v.subject().Pods); diff != "" {
		t.Error(diff)
	}
}

func newTestVerification(p release.Policy) *verification {
	return newVerification(release.Release{Previous: &release.ReplicaSet{Name: "old"}, StartedAt: time.Unix(1000, 0)}, p, 10*time.Second)
}

func signalsOf(t *verification) map[string]measured {
	out := map[string]measured{}
	for _, m := range t.declare() {
		out[m.declared.Name] = m
	}
	return out
}

func TestWhatAReadingHoldsIsDeclared(t *testing.T) {
	v := newTestVerification(release.DefaultPolicy())
	v.policy.Custom = []release.CustomSignal{{Name: "orders", Bad: "a", Total: "b"}, {Name: "queue", Gauge: "q", Worse: release.Down, MinEffect: 0.7}}
	v.early = []signal.Reading{{
		Errors: &signal.Pair{}, Callers: &signal.Pair{}, Restarts: &signal.Pair{},
		Custom:     map[string]signal.Pair{"orders": {}},
		Quantities: map[string]signal.Quantity{release.SignalThroughput: {}, release.SignalCPU: {}, release.SignalMemory: {}, "queue": {}},
	}}
	got := signalsOf(v)
	for name, want := range map[string]struct {
		required, value bool
		worse           release.Direction
		tolerance       float64
	}{
		"error_ratio":         {required: true},
		"error_ratio@callers": {},
		"throughput":          {value: true, worse: release.Down, tolerance: 1},
		"cpu":                 {value: true, worse: release.Up, tolerance: 0.5},
		"memory":              {value: true, worse: release.Up, tolerance: 0.5},
		"restarts":            {tolerance: 1},
		"orders":              {required: true},
		"queue":               {value: true, worse: release.Down, tolerance: 0.7},
	} {
		m, ok := got[name]
		if !ok {
			t.Errorf("%s is not declared", name)
			continue
		}
		if d := m.declared; d.Required != want.required || d.Value != want.value || d.Worse != want.worse || d.MinEffect != want.tolerance {
			t.Errorf("%s is declared %+v", name, d)
		}
	}
	if len(got) != 8 {
		t.Errorf("%d signals are declared, want 8", len(got))
	}
}

func TestCallersMustBeSoundWhereNobodyElseCounts(t *testing.T) {
	v := newTestVerification(release.DefaultPolicy())
	v.early = []signal.Reading{{Callers: &signal.Pair{Release: signal.Arm{Count: release.Count{Total: 10, Bad: 3}}}}}
	m := signalsOf(v)["error_ratio@callers"]
	if !m.declared.Required {
		t.Error("they need not be")
	}
	if k, ok := m.tick(v.early[0]); !ok || k.Release != (release.Count{Total: 10, Bad: 3}) {
		t.Errorf("tick %+v", k)
	}
}

func TestCallersThatNameThePodAreHeldAgainstTheStableArm(t *testing.T) {
	v := newTestVerification(release.DefaultPolicy())
	rd := calls(100, 5, 5)
	rd.Callers.Release.Pods = map[string]release.Count{"a": {Total: 100, Bad: 5}}
	rd.Callers.Stable.Count = release.Count{Total: 50, Bad: 1}
	v.early = []signal.Reading{rd}
	k, _ := signalsOf(v)["error_ratio@callers"].tick(rd)
	if k.Release.Bad != 5 || k.Stable.Bad != 1 {
		t.Errorf("tick %+v", k)
	}
}

func quantityReading(at time.Time, name string, pods map[string]release.Measure, stable release.Measure) signal.Reading {
	q := signal.Quantity{Release: signal.ArmQuantity{Pods: pods}, Stable: signal.ArmQuantity{Measure: stable}}
	for _, m := range pods {
		q.Release.Measure = q.Release.Add(m)
	}
	return signal.Reading{To: at, Quantities: map[string]signal.Quantity{name: q}}
}

func TestAPodsFirstUseOfTheProcessorDoesNotCount(t *testing.T) {
	v := newTestVerification(release.DefaultPolicy())
	at := time.Unix(2000, 0)
	first := quantityReading(at, release.SignalCPU, map[string]release.Measure{"a": {Sum: 50, Weight: 1}}, release.Measure{Sum: 1, Weight: 1})
	v.early = []signal.Reading{first}
	m := signalsOf(v)[release.SignalCPU]
	if k, _ := m.tick(first); k.Value.Release.Weight != 0 {
		t.Errorf("at once: %+v", k.Value)
	}
	during := quantityReading(at.Add(cpuWarmup), release.SignalCPU, map[string]release.Measure{"a": {Sum: 40, Weight: 1}}, release.Measure{Sum: 1, Weight: 1})
	if k, _ := m.tick(during); k.Value.Release.Weight != 0 {
		t.Errorf("at the end of it, for the time since the measurement before: %+v", k.Value)
	}
	later := quantityReading(at.Add(cpuWarmup+15*time.Second), release.SignalCPU, map[string]release.Measure{"a": {Sum: 2, Weight: 1}, "b": {Sum: 50, Weight: 1}}, release.Measure{Sum: 1, Weight: 1})
	if k, _ := m.tick(later); k.Value.Release != (release.Measure{Sum: 2, Weight: 1}) {
		t.Errorf("later, with a young pod beside it: %+v", k.Value)
	}
}

func TestMemoryIsTakenForLessWhereTheReleaseServesMore(t *testing.T) {
	rd := signal.Reading{Errors: &signal.Pair{
		Release: signal.Arm{Count: release.Count{Total: 300}, Pods: map[string]release.Count{"a": {}}},
		Stable:  signal.Arm{Count: release.Count{Total: 200}, Pods: map[string]release.Count{"b": {}, "c": {}}},
	}}
	v := &judge.ValueTick{Release: release.Measure{Sum: 600, Weight: 1}, Pods: map[string]release.Measure{"a": {Sum: 600, Weight: 1}}}
	lighten(v, rd)
	if v.Release.Sum != 200 || v.Pods["a"].Sum != 200 {
		t.Errorf("%+v", v)
	}
	rd.Errors.Release.Total = 10
	lighten(v, rd)
	if v.Release.Sum != 200 {
		t.Errorf("serving less it is taken for %+v", v.Release)
	}
}

func TestAPastOfWhichASourceAnsweredAPartOnlyIsAskedForAgain(t *testing.T) {
	requests := signal.Reading{Errors: &signal.Pair{Stable: signal.Arm{Count: release.Count{Total: 10}}}}
	none := signal.Reading{Errors: &signal.Pair{}}
	timed := signal.Reading{Latency: &signal.LatencyPair{Stable: signal.Histogram{Counts: []float64{10, 0}}}}
	untimed := signal.Reading{Errors: requests.Errors, Latency: &signal.LatencyPair{}}
	for name, c := range map[string]struct {
		history []signal.Reading
		want    bool
	}{
		"requests and their latencies":              {[]signal.Reading{requests, timed}, true},
		"requests of a workload without histograms": {[]signal.Reading{none, requests}, true},
		"requests that were not timed":              {[]signal.Reading{untimed}, true},
		"latencies of requests that nobody counted": {[]signal.Reading{none, timed}, false},
		"latencies alone":                           {[]signal.Reading{timed}, false},
		"nothing":                                   {[]signal.Reading{none}, false},
		"a user's own ratio where nothing else is":  {[]signal.Reading{{Custom: map[string]signal.Pair{"x": {Stable: signal.Arm{Count: release.Count{Total: 1}}}}}}, true},
	} {
		if got := whole(c.history); got != c.want {
			t.Errorf("%s: whole %v", name, got)
		}
	}
}

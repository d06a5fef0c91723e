package judge

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// BenchmarkTick is one tick of one release with five signals (errors, three
// latencies, one custom) over eight pods: the counts, then the answer.
func BenchmarkTick(b *testing.B) {
	for _, with := range []string{"stable", "history"} {
		b.Run(with, func(b *testing.B) {
			j, ticks := fiveSignals(with == "stable")
			at := epoch
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				at = at.Add(tickLength)
				j.Step(at, ticks[i%len(ticks)])
				i++
			}
		})
	}
	b.Run("assess", func(b *testing.B) {
		j, ticks := fiveSignals(true)
		for _, t := range ticks {
			j.Step(epoch, t)
		}
		b.ReportAllocs()
		for b.Loop() {
			j.Assess()
		}
	})
}

// BenchmarkTenSignals is a whole tick of one release with ten signals over eight pods,
// the answer included: failures and three latencies as the pods and as callers see them,
// restarts, and three quantities. µs/tick is the figure; it should stay under 50. What a
// tick allocates does not grow with how many there were.
func BenchmarkTenSignals(b *testing.B) {
	a := newArrivals(5)
	bad := map[string]float64{
		"error_ratio": .002, "latency_p50": .5, "latency_p90": .1, "latency_p99": .01,
		"callers_error_ratio": .002, "callers_latency_p99": .01, "restarts": .0005,
	}
	quantities := []string{"throughput", "cpu", "memory"}
	var signals []Signal
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		s := Signal{Name: name, Weight: 1, Required: true}
		for range 120 {
			s.History = append(s.History, a.count(200, bad[name], 1))
		}
		signals = append(signals, s)
	}
	measure := func(pods int) release.Measure {
		return release.Measure{Sum: 10 * float64(pods) * (1 + 0.05*a.rng.NormFloat64()), Weight: float64(pods)}
	}
	for _, name := range quantities {
		s := Signal{Name: name, Weight: 1, Value: true, Worse: release.Up}
		for range 120 {
			s.HistoryValues = append(s.HistoryValues, measure(8))
		}
		signals = append(signals, s)
	}
	ticks := make([]map[string]Tick, 200)
	for i := range ticks {
		ticks[i] = map[string]Tick{}
		for name, p := range bad {
			x := Tick{Pods: map[string]release.Count{}, Stable: a.count(200, p, 1)}
			for i := range 8 {
				c := a.count(25, p, 1)
				x.Pods[fmt.Sprintf("web-5c7bffbd-%05d", i)] = c
				x.Release = x.Release.Add(c)
			}
			ticks[i][name] = x
		}
		for _, name := range quantities {
			v := &ValueTick{Stable: measure(8), Pods: map[string]release.Measure{}}
			for i := range 8 {
				m := measure(1)
				v.Pods[fmt.Sprintf("web-5c7bffbd-%05d", i)] = m
				v.Release = v.Release.Add(m)
			}
			ticks[i][name] = Tick{Value: v}
		}
	}
	j := New(standard(.001), signals)
	at, i := epoch, 0
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(tickLength)
		j.Step(at, ticks[i%len(ticks)])
		j.Assess()
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "µs/tick")
}

func fiveSignals(stable bool) (*Judge, []map[string]Tick) {
	a := newArrivals(3)
	bad := map[string]float64{"error_ratio": .002, "latency_p50": .5, "latency_p90": .1, "latency_p99": .01, "custom": .02}
	var signals []Signal
	for _, name := range []string{"error_ratio", "latency_p50", "latency_p90", "latency_p99", "custom"} {
		s := Signal{Name: name, Weight: 1, Required: true}
		for range 120 {
			s.History = append(s.History, a.count(200, bad[name], 1))
		}
		signals = append(signals, s)
	}
	var ticks []map[string]Tick
	for range 200 {
		t := map[string]Tick{}
		for name, p := range bad {
			x := Tick{Pods: map[string]release.Count{}}
			for i := range 8 {
				c := a.count(25, p, 1)
				x.Pods[fmt.Sprintf("web-5c7bffbd-%05d", i)] = c
				x.Release = x.Release.Add(c)
			}
			if stable {
				x.Stable = a.count(200, p, 1)
			}
			t[name] = x
		}
		ticks = append(ticks, t)
	}
	return New(standard(.001), signals), ticks
}

package judge

import (
	"fmt"
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

package count

import (
	"fmt"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// million is a round of a million samples: so many series of so many pods, four
// samples each.
func million(c *Counters, at int64) []Entry {
	const pods, series, each = 1000, 250, 4
	entries := make([]Entry, 0, pods*series)
	for p := range pods {
		pod := c.Pod(fmt.Sprintf("pod-%04d", p))
		for s := range uint64(series) {
			list := make([]samples.Float, each)
			for i := range list {
				list[i] = samples.Float{Millis: at + int64(i)*5000, Value: float64(at/1000 + int64(i)*5)}
			}
			entries = append(entries, Entry{Pod: pod, Identity: Identity{Process: 1, Scraper: 1, Key: s}, Samples: list, Newborn: p%2 == 0, Beginning: Beginning{Since: -120_000}})
		}
	}
	return entries
}

// BenchmarkCountingAMillionSamples counts rounds of a million samples one after
// the other.
func BenchmarkCountingAMillionSamples(b *testing.B) {
	c := New(Options{GraceMillis: 60_000, KeepMillis: 600_000, LateMillis: 15_000})
	at, total := int64(0), 0.0
	count := func(entries []Entry) {
		c.Add(entries, at+15_000, func(_ int, _ int64, d float64) { total += d })
	}
	count(million(c, at)) // the first round makes room for the series
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		at += 20_000
		entries := million(c, at)
		b.StartTimer()
		count(entries)
	}
	b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
	if total == 0 {
		b.Fatal("nothing was counted")
	}
}

// BenchmarkTheFirstLookAtAMillionSamples is the same with everything new.
func BenchmarkTheFirstLookAtAMillionSamples(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		c := New(Options{GraceMillis: 60_000, KeepMillis: 600_000, LateMillis: 15_000})
		entries := million(c, 0)
		b.StartTimer()
		c.Add(entries, 20_000, func(int, int64, float64) {})
	}
	b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}

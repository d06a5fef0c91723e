package signal

import (
	"math"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

func testLane(arm armIndex) *lane {
	return &lane{arm: arm, newborn: arm == armRelease, beginning: beginning{since: -120_000, emitFrom: 0}}
}

func sampled(l *lane, pod string, scraper, key uint64, samples ...Sample) entry {
	return entry{pod: pod, lane: l, identity: identity{process: 1, scraper: scraper, key: key*1000 + scraper}, samples: samples}
}

func addUp(c *counters, entries ...entry) (sum float64) {
	c.add(entries, math.MaxInt64, func(_ *entry, _ int64, d float64) { sum += d })
	return sum
}

func TestWhatACounterIsCountedFor(t *testing.T) {
	rel, stable := testLane(armRelease), testLane(armStable)
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]struct {
		entries []entry
		want    float64
	}{
		"a release's pod counts from zero":              {[]entry{sampled(rel, "p", 1, 1, Sample{5000, 10}, Sample{10000, 12})}, 12},
		"an old pod counts from its first scrape":       {[]entry{sampled(stable, "p", 1, 1, Sample{5000, 10}, Sample{10000, 12})}, 2},
		"samples before the beginning only tell":        {[]entry{sampled(rel, "p", 1, 1, Sample{-5000, 10}, Sample{10000, 12})}, 2},
		"a restart begins again at zero":                {[]entry{sampled(stable, "p", 1, 1, Sample{-5000, 10}, Sample{10000, 3}, Sample{15000, 4})}, 4},
		"NaN, infinity and negative values are skipped": {[]entry{sampled(stable, "p", 1, 1, Sample{-5000, 10}, Sample{1000, nan}, Sample{2000, inf}, Sample{3000, -1}, Sample{10000, 12})}, 2},
		"samples given twice count once":                {[]entry{sampled(stable, "p", 1, 1, Sample{-5000, 10}, Sample{5000, 12}), sampled(stable, "p", 1, 1, Sample{-5000, 10}, Sample{5000, 12})}, 2},
		"a restart that one series shows is all series'": {[]entry{
			sampled(stable, "p", 1, 1, Sample{-5000, 10}, Sample{5000, 1}),
			sampled(stable, "p", 1, 2, Sample{-5000, 10}, Sample{5000, 11}),
		}, 12},
		"a series born in a pod that is known counts from zero": {[]entry{
			sampled(stable, "p", 1, 1, Sample{-5000, 10}, Sample{5000, 10}, Sample{10000, 10}),
			sampled(stable, "p", 1, 2, Sample{10000, 4}),
		}, 4},
		"a pod born after counting began counts from zero": {[]entry{
			sampled(stable, "old", 1, 1, Sample{-100_000, 10}, Sample{5000, 10}),
			sampled(stable, "new", 1, 1, Sample{10000, 4}),
		}, 4},
		"after an outage pods are not taken for new ones": {[]entry{
			sampled(stable, "a", 1, 1, Sample{10000, 1000}),
			sampled(stable, "b", 1, 1, Sample{25000, 1000}),
		}, 0},
		"two scrapers of one process count once": {[]entry{
			sampled(rel, "p", 1, 1, Sample{5000, 10}, Sample{10000, 12}),
			sampled(rel, "p", 2, 1, Sample{5100, 10}, Sample{10100, 13}),
		}, 12},
		"another scraper takes over when the first is silent": {[]entry{
			sampled(rel, "p", 1, 1, Sample{5000, 10}, Sample{10000, 12}),
			sampled(rel, "p", 2, 1, Sample{5100, 10}, Sample{10100, 13}, Sample{50000, 20}, Sample{75000, 25}, Sample{80000, 26}),
		}, 18},
		"a scraper that comes only when the first has gone has its own beginning": {[]entry{
			sampled(rel, "p", 1, 1, Sample{5000, 10}, Sample{10000, 12}),
			sampled(rel, "p", 2, 1, Sample{75000, 25}, Sample{80000, 26}),
		}, 13},
	} {
		t.Run(name, func(t *testing.T) {
			if got := addUp(newCounters(60_000, 600_000), c.entries...); got != c.want {
				t.Errorf("counted %v, want %v", got, c.want)
			}
		})
	}
}

func TestACounterAskedForAfterAnOutageIsNotTakenForABirth(t *testing.T) {
	c := newCounters(60_000, 600_000)
	addUp(c, sampled(testLane(armStable), "p", 1, 1, Sample{5000, 100}))
	// Nobody scraped the pod between; the second counter may be as old as it.
	later := &lane{arm: armStable, beginning: beginning{since: 300_000, emitFrom: 400_000}}
	if n := addUp(c, sampled(later, "p", 1, 2, Sample{420_000, 1000}, Sample{430_000, 1002})); n != 2 {
		t.Errorf("counted %v, want 2", n)
	}
}

func TestTheOrderOfSeriesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rel, stable := testLane(armRelease), testLane(armStable)
		var entries []entry
		for range rapid.IntRange(1, 8).Draw(t, "series") {
			l := rapid.SampledFrom([]*lane{rel, stable}).Draw(t, "arm")
			pod := map[*lane]string{rel: "new", stable: "old"}[l] + rapid.SampledFrom([]string{"a", "b"}).Draw(t, "pod")
			var samples []Sample
			at := int64(rapid.IntRange(-100_000, 50_000).Draw(t, "first"))
			for range rapid.IntRange(1, 6).Draw(t, "samples") {
				samples = append(samples, Sample{at, float64(rapid.IntRange(0, 9).Draw(t, "value"))})
				at += int64(rapid.IntRange(1000, 40_000).Draw(t, "interval"))
			}
			scraper := uint64(rapid.IntRange(1, 2).Draw(t, "scraper"))
			entries = append(entries, sampled(l, pod, scraper, uint64(len(entries)), samples...))
		}
		other := rapid.Permutation(entries).Draw(t, "another order")
		a := addUp(newCounters(60_000, 600_000), append([]entry(nil), entries...)...)
		b := addUp(newCounters(60_000, 600_000), other...)
		if a != b {
			t.Fatalf("%v in one order, %v in another", a, b)
		}
	})
}

func TestPodsThatAreGoneAreForgottenAndNotTakenForNewWhenTheyReturn(t *testing.T) {
	c := newCounters(60_000, 600_000)
	rel := testLane(armRelease)
	addUp(c, sampled(rel, "gone", 1, 1, Sample{5000, 100}), sampled(rel, "stays", 1, 1, Sample{5000, 100}))
	addUp(c, sampled(rel, "stays", 1, 1, Sample{700_000, 100}))
	if s := c.pods["gone"].processes[1].streams[0]; len(s.values) > 0 || !s.lost {
		t.Error("the series of the pod that is gone are kept")
	}
	if s := c.pods["stays"].processes[1].streams[0]; len(s.values) != 1 {
		t.Error("the series of the pod that stays are not")
	}
	if n := addUp(c, sampled(rel, "gone", 1, 1, Sample{710_000, 150}, Sample{720_000, 153})); n != 3 {
		t.Errorf("counted %v when it returned, want what came after: 3", n)
	}
	if n := addUp(c, sampled(rel, "gone", 1, 2, Sample{730_000, 5})); n != 5 {
		t.Errorf("counted %v for a series born afterwards, want 5", n)
	}
}

func TestAnOutageOfAllForgetsNothing(t *testing.T) {
	c := newCounters(60_000, 600_000)
	rel := testLane(armRelease)
	addUp(c, sampled(rel, "p", 1, 1, Sample{5000, 100}))
	if n := addUp(c, sampled(rel, "p", 1, 1, Sample{5_000_000, 130})); n != 30 {
		t.Errorf("counted %v after the outage, want 30", n)
	}
}

func TestASeriesCostsLittleMemory(t *testing.T) {
	const series = 100_000
	c := newCounters(60_000, 600_000)
	rel := testLane(armRelease)
	before := heap()
	entries := make([]entry, series)
	for i := range entries {
		entries[i] = sampled(rel, "p", 1, uint64(i), Sample{5000, 1})
	}
	addUp(c, entries...)
	clear(entries)
	if per := (heap() - before) / series; per > 100+int64(unsafe.Sizeof(entry{})) {
		t.Errorf("%d bytes are kept per series", per)
	}
	runtime.KeepAlive(c)
	runtime.KeepAlive(entries)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestCountingAMillionSamplesIsLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	run := func(series int) time.Duration {
		c := newCounters(60_000, 600_000)
		entries := make([]entry, series)
		for i := range entries {
			entries[i] = sampled(testLane(armStable), "p", 1, uint64(i), Sample{int64(i % 7 * 1000), 1}, Sample{10_000, 2})
		}
		begin := time.Now()
		addUp(c, entries...)
		return time.Since(begin)
	}
	run(1000)
	small, large := run(5_000), run(100_000)
	// 20 times as many; quadratic work would take 400 times as long.
	if large > 150*small+time.Second {
		t.Errorf("%s for 5,000 series, %s for 100,000", small, large)
	}
}

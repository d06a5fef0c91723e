package count

import (
	"math"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// lane is what the series of one counter of one arm have in common.
type lane struct {
	newborn bool
	Beginning
}

var (
	rel    = &lane{true, Beginning{Since: -120_000}}
	stable = &lane{false, Beginning{Since: -120_000}}
)

type sample struct {
	millis int64
	value  float64
}

func floats(list []sample) []samples.Float {
	out := make([]samples.Float, len(list))
	for i, s := range list {
		out[i] = samples.Float{Millis: s.millis, Value: s.value}
	}
	return out
}

// row is one series as a test writes it down.
type row struct {
	lane         *lane
	pod          string
	scraper, key uint64
	samples      []sample
}

func sampled(l *lane, pod string, scraper, key uint64, list ...sample) row {
	return row{l, pod, scraper, key, list}
}

func newCounters() *Counters {
	return New(Options{GraceMillis: 60_000, KeepMillis: 600_000, LateMillis: 15_000})
}

func (c *Counters) addAll(rows []row, to int64, out Emit) {
	var entries []Entry
	for _, r := range rows {
		entries = append(entries, Entry{
			Pod: c.Pod(r.pod), Identity: Identity{Process: 1, Scraper: r.scraper, Key: r.key*1000 + r.scraper},
			Samples: floats(r.samples), Newborn: r.lane.newborn, Beginning: r.lane.Beginning,
		})
	}
	c.Add(entries, to, out)
}

func addUp(c *Counters, rows ...row) float64 { return addUpTo(c, 1<<62, rows...) }

func addUpTo(c *Counters, to int64, rows ...row) (sum float64) {
	c.addAll(rows, to, func(_ int, _ int64, d float64) { sum += d })
	return sum
}

func TestWhatACounterIsCountedFor(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]struct {
		entries []row
		want    float64
	}{
		"a release's pod counts from zero":              {[]row{sampled(rel, "p", 1, 1, sample{5000, 10}, sample{10000, 12})}, 12},
		"an old pod counts from its first scrape":       {[]row{sampled(stable, "p", 1, 1, sample{5000, 10}, sample{10000, 12})}, 2},
		"samples before the beginning only tell":        {[]row{sampled(rel, "p", 1, 1, sample{-5000, 10}, sample{10000, 12})}, 2},
		"a restart begins again at zero":                {[]row{sampled(stable, "p", 1, 1, sample{-5000, 10}, sample{10000, 3}, sample{15000, 4})}, 4},
		"NaN, infinity and negative values are skipped": {[]row{sampled(stable, "p", 1, 1, sample{-5000, 10}, sample{1000, nan}, sample{2000, inf}, sample{3000, -1}, sample{10000, 12})}, 2},
		"samples given twice count once":                {[]row{sampled(stable, "p", 1, 1, sample{-5000, 10}, sample{5000, 12}), sampled(stable, "p", 1, 1, sample{-5000, 10}, sample{5000, 12})}, 2},
		"a restart that one series shows is all series'": {[]row{
			sampled(stable, "p", 1, 1, sample{-5000, 10}, sample{5000, 1}),
			sampled(stable, "p", 1, 2, sample{-5000, 10}, sample{5000, 11}),
		}, 12},
		"a series born in a pod that is known counts from zero": {[]row{
			sampled(stable, "p", 1, 1, sample{-5000, 10}, sample{5000, 10}, sample{10000, 10}),
			sampled(stable, "p", 1, 2, sample{10000, 4}),
		}, 4},
		"a pod born after counting began counts from zero": {[]row{
			sampled(stable, "old", 1, 1, sample{-100_000, 10}, sample{5000, 10}),
			sampled(stable, "new", 1, 1, sample{10000, 4}),
		}, 4},
		"after an outage pods are not taken for new ones": {[]row{
			sampled(stable, "a", 1, 1, sample{10000, 1000}),
			sampled(stable, "b", 1, 1, sample{25000, 1000}),
		}, 0},
		"two scrapers of one process count once": {[]row{
			sampled(rel, "p", 1, 1, sample{5000, 10}, sample{10000, 12}),
			sampled(rel, "p", 2, 1, sample{5100, 10}, sample{10100, 13}),
		}, 12},
		"another scraper takes over when the first is silent": {[]row{
			sampled(rel, "p", 1, 1, sample{5000, 10}, sample{10000, 12}),
			sampled(rel, "p", 2, 1, sample{5100, 10}, sample{10100, 13}, sample{50000, 20}, sample{75000, 25}, sample{80000, 26}),
		}, 18},
		"a scraper that comes only when the first has gone has its own beginning": {[]row{
			sampled(rel, "p", 1, 1, sample{5000, 10}, sample{10000, 12}),
			sampled(rel, "p", 2, 1, sample{75000, 25}, sample{80000, 26}),
		}, 13},
	} {
		t.Run(name, func(t *testing.T) {
			if got := addUp(newCounters(), c.entries...); got != c.want {
				t.Errorf("counted %v, want %v", got, c.want)
			}
		})
	}
}

func TestACounterAskedForAfterAnOutageIsNotTakenForABirth(t *testing.T) {
	c := newCounters()
	addUp(c, sampled(stable, "p", 1, 1, sample{5000, 100}))
	// Nobody scraped the pod between; the second counter may be as old as it.
	later := &lane{false, Beginning{Since: 300_000, EmitFrom: 400_000}}
	if n := addUp(c, sampled(later, "p", 1, 2, sample{420_000, 1000}, sample{430_000, 1002})); n != 2 {
		t.Errorf("counted %v, want 2", n)
	}
}

func TestTheOrderOfSeriesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var entries []row
		for range rapid.IntRange(1, 8).Draw(t, "series") {
			l := rapid.SampledFrom([]*lane{rel, stable}).Draw(t, "arm")
			pod := map[*lane]string{rel: "new", stable: "old"}[l] + rapid.SampledFrom([]string{"a", "b"}).Draw(t, "pod")
			var list []sample
			at := int64(rapid.IntRange(-100_000, 50_000).Draw(t, "first"))
			for range rapid.IntRange(1, 6).Draw(t, "samples") {
				list = append(list, sample{at, float64(rapid.IntRange(0, 9).Draw(t, "value"))})
				at += int64(rapid.IntRange(1000, 40_000).Draw(t, "interval"))
			}
			scraper := uint64(rapid.IntRange(1, 2).Draw(t, "scraper"))
			entries = append(entries, sampled(l, pod, scraper, uint64(len(entries)), list...))
		}
		other := rapid.Permutation(entries).Draw(t, "another order")
		a := addUp(newCounters(), append([]row(nil), entries...)...)
		b := addUp(newCounters(), other...)
		if a != b {
			t.Fatalf("%v in one order, %v in another", a, b)
		}
	})
}

func TestPodsThatAreGoneAreForgottenAndNotTakenForNewWhenTheyReturn(t *testing.T) {
	c := newCounters()
	addUp(c, sampled(rel, "gone", 1, 1, sample{5000, 100}), sampled(rel, "stays", 1, 1, sample{5000, 100}))
	addUp(c, sampled(rel, "stays", 1, 1, sample{700_000, 100}))
	if s := c.pods["gone"].processes[1].streams[0]; len(s.series) > 0 || !s.lost {
		t.Error("the series of the pod that is gone are kept")
	}
	if s := c.pods["stays"].processes[1].streams[0]; len(s.series) != 1 {
		t.Error("the series of the pod that stays are not")
	}
	if n := addUp(c, sampled(rel, "gone", 1, 1, sample{710_000, 150}, sample{720_000, 153})); n != 3 {
		t.Errorf("counted %v when it returned, want what came after: 3", n)
	}
	if n := addUp(c, sampled(rel, "gone", 1, 2, sample{730_000, 5})); n != 5 {
		t.Errorf("counted %v for a series born afterwards, want 5", n)
	}
}

func TestAnOutageOfAllForgetsNothing(t *testing.T) {
	c := newCounters()
	addUp(c, sampled(rel, "p", 1, 1, sample{5000, 100}))
	if n := addUp(c, sampled(rel, "p", 1, 1, sample{5_000_000, 130})); n != 30 {
		t.Errorf("counted %v after the outage, want 30", n)
	}
}

func TestASeriesCostsLittleMemory(t *testing.T) {
	const series = 100_000
	c := newCounters()
	before := heap()
	for i := range uint64(series) {
		addUp(c, sampled(rel, "p", 1, i, sample{5000, 1}, sample{10_000, 2}))
	}
	if per := (heap() - before) / series; per > 200 {
		t.Errorf("%d bytes are kept per series", per)
	}
	runtime.KeepAlive(c)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestWhatComesLate(t *testing.T) {
	for name, c := range map[string]struct {
		before, late []sample
		want         float64
	}{
		"between two samples of a counter that only rose changes nothing":     {[]sample{{5000, 100}, {25_000, 300}}, []sample{{15_000, 200}}, 0},
		"shows how far the counter came before a restart":                     {[]sample{{5000, 100}, {25_000, 50}}, []sample{{15_000, 200}}, 100},
		"shows a restart that the counter had outgrown":                       {[]sample{{5000, 100}, {25_000, 250}}, []sample{{15_000, 20}}, 100},
		"and shows two restarts":                                              {[]sample{{5000, 100}, {25_000, 50}}, []sample{{10_000, 30}, {15_000, 70}, {20_000, 40}}, 70},
		"is ignored where it is older than all that could still come":         {[]sample{{-60_000, 100}, {-30_000, 300}, {25_000, 310}}, []sample{{-40_000, 400}}, 0},
		"is ignored where it is no number a counter can have":                 {[]sample{{5000, 100}, {25_000, 300}}, []sample{{15_000, -1}}, 0},
		"counts together with what is new":                                    {[]sample{{5000, 100}, {25_000, 50}}, []sample{{15_000, 200}, {35_000, 60}}, 110},
		"is the same sample that was given before, and counts no second time": {[]sample{{5000, 100}, {25_000, 50}}, []sample{{25_000, 50}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			counters := newCounters()
			addUpTo(counters, 15_000, sampled(stable, "p", 1, 1, c.before...))
			addUpTo(counters, 30_000, sampled(stable, "p", 1, 1, c.before...))
			if got := addUpTo(counters, 45_000, sampled(stable, "p", 1, 1, c.late...)); got != c.want {
				t.Errorf("counted %v more, want %v", got, c.want)
			}
		})
	}
}

// Whatever the order in which samples arrive, as long as they come while they may,
// what is counted in the end is what all of them together show.
func TestSamplesThatArriveOutOfOrderAreCountedAsIfTheyHadNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const late = 60_000
		type scrape struct {
			at, arrives int64
			values      [2]float64
		}
		var all []scrape
		var served [2]float64
		for at := int64(-60_000); at < 300_000; at += 15_000 {
			if rapid.IntRange(0, 7).Draw(t, "restart") == 0 {
				served = [2]float64{}
			}
			served[0] += float64(rapid.IntRange(0, 5).Draw(t, "a"))
			served[1] += float64(rapid.IntRange(0, 5).Draw(t, "b"))
			delay := int64(0)
			if at > 0 && rapid.IntRange(0, 2).Draw(t, "late") == 0 { // what stands before counting begins is known then
				delay = int64(rapid.IntRange(0, 3).Draw(t, "ticks")) * 15_000
			}
			all = append(all, scrape{at, at + delay, served})
		}
		rows := func(from, to int64, arrived func(scrape) bool) []row {
			var a, b []sample
			for _, s := range all {
				if s.at > from && s.at <= to && arrived(s) {
					a, b = append(a, sample{s.at, s.values[0]}), append(b, sample{s.at, s.values[1]})
				}
			}
			if a == nil {
				return nil
			}
			return []row{sampled(stable, "p", 1, 1, a...), sampled(stable, "p", 1, 2, b...)}
		}
		options := Options{GraceMillis: 60_000, KeepMillis: 600_000, LateMillis: late}
		whole := New(options)
		want := addUpTo(whole, 400_000, rows(-100_000, 400_000, func(scrape) bool { return true })...)
		live, got := New(options), 0.0
		for now := int64(15_000); now <= 400_000; now += 15_000 {
			got += addUpTo(live, now, rows(now-late-15_000, now, func(s scrape) bool { return s.arrives <= now })...)
		}
		if got != want {
			t.Fatalf("counted %v as the samples arrived, %v of them together", got, want)
		}
	})
}

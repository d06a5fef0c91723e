package signal

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// exponential makes a native histogram of a schema from observations in seconds.
func exponential(at time.Time, schema int, observed ...float64) samples.Histogram {
	h := samples.Histogram{Millis: at.UnixMilli(), Count: float64(len(observed))}
	byIndex := map[int]float64{}
	least, most := math.MaxInt, math.MinInt
	for _, x := range observed {
		h.Sum += x
		i := int(math.Ceil(math.Log2(x)*math.Exp2(float64(schema)) - 1e-9))
		byIndex[i]++
		least, most = min(least, i), max(most, i)
	}
	for i := least; i <= most && len(observed) > 0; i++ {
		if n := byIndex[i]; n > 0 {
			width := math.Exp2(-float64(schema))
			h.Buckets = append(h.Buckets, samples.Bucket{Lower: math.Exp2(float64(i-1) * width), Upper: math.Exp2(float64(i) * width), Count: n})
		}
	}
	return h
}

// natively scrapes both pods' native histogram of latencies: at each scrape each
// pod has observed the same latencies once more.
func (s *store) natively(schema func(pod string, at time.Time) int, perScrape ...float64) {
	for _, pod := range []string{oldPod, newPod} {
		var seen []float64
		for at := epoch.Add(-3 * time.Minute); !at.After(epoch.Add(2 * time.Minute)); at = at.Add(5 * time.Second) {
			if pod == newPod && at.Before(epoch.Add(20*time.Second)) {
				continue
			}
			if at.After(epoch) {
				seen = append(seen, perScrape...)
			}
			s.putHistogram(exponential(at, schema(pod, at), seen...), labels.FromStrings("__name__", "http_server_request_duration_seconds",
				"http_response_status_code", "200", "pod", pod, "namespace", "shop", "instance", pod, "job", "pods"))
		}
	}
}

func nativeTotals(t *testing.T, res Result) (rel, stable map[float64]float64) {
	t.Helper()
	rel, stable = map[float64]float64{}, map[float64]float64{}
	for _, rd := range res.Readings {
		if rd.Latency == nil {
			continue
		}
		for i, b := range rd.Latency.Release.Bounds {
			rel[b] += rd.Latency.Release.Counts[i]
			stable[b] += rd.Latency.Stable.Counts[i]
		}
		if last := rd.Latency.Stable.Bounds[len(rd.Latency.Stable.Bounds)-1]; !math.IsInf(last, 1) {
			t.Fatalf("the last bound is %v", last)
		}
	}
	return rel, stable
}

func TestNativeHistogramsCountRequestsAndLatencies(t *testing.T) {
	for name, schema := range map[string]func(string, time.Time) int{
		"at the resolution that is compared": func(string, time.Time) int { return 3 },
		"finer ones are merged down":         func(string, time.Time) int { return 6 },
		"coarser ones take the others down":  func(pod string, _ time.Time) int { return map[string]int{oldPod: 5, newPod: 1}[pod] },
		"one that becomes coarser while it is read": func(_ string, at time.Time) int {
			return map[bool]int{true: 4, false: 2}[at.Before(epoch.Add(65*time.Second))]
		},
		"one that becomes coarser than others, late": func(pod string, at time.Time) int {
			return map[bool]int{true: 3, false: 0}[pod == oldPod || at.Before(epoch.Add(70*time.Second))]
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			s.natively(schema, 0.01, 0.02, 0.02, 0.7)
			r := newTestReader(t, s)
			var res Result
			for at := epoch.Add(testTick); !at.After(epoch.Add(2 * time.Minute)); at = at.Add(testTick) {
				one := r.Read(t.Context(), at, []Subject{worldSubject()})["r1"]
				if one.Err != nil {
					t.Fatal(one.Err)
				}
				res.Readings = append(res.Readings, one.Readings...)
			}
			a, b := totals(res)
			if a != (release.Count{Total: 4 * 21}) || b != (release.Count{Total: 4 * 24}) {
				t.Errorf("requests %+v and %+v", a, b)
			}
			rel, stable := nativeTotals(t, res)
			for arm, c := range map[string]struct {
				got     map[float64]float64
				scrapes float64
			}{"release": {rel, 21}, "stable": {stable, 24}} {
				total, fast := 0.0, 0.0
				for bound, n := range c.got {
					total += n
					if bound <= 0.25 {
						fast += n
					}
				}
				if total != 4*c.scrapes || fast != 3*c.scrapes {
					t.Errorf("%s: %v latencies, %v of them below 250 ms, want %v and %v", arm, total, fast, 4*c.scrapes, 3*c.scrapes)
				}
			}
		})
	}
}

func TestNativeAndClassicHistogramsAreNotCompared(t *testing.T) {
	s := newStore()
	s.natively(func(string, time.Time) int { return 3 }, 0.01)
	for key, ser := range s.series {
		if ser.Labels.Get("pod") == newPod {
			delete(s.series, key)
		}
	}
	common := []string{"http_response_status_code=200", "pod=" + newPod, "namespace=shop"}
	s.scrapes(newPod, 1, append(common, "__name__=http_server_request_duration_seconds_count")...)
	s.scrapes(newPod, 1, append(common, "__name__=http_server_request_duration_seconds_bucket", "le=+Inf")...)
	res := readAll(t, s, worldSubject())
	for _, rd := range res.Readings {
		if rd.Latency != nil {
			t.Fatal("they were")
		}
	}
	if rel, stable := totals(res); rel.Total != 21 || stable.Total == 0 {
		t.Errorf("requests %+v and %+v", rel, stable)
	}
	if !strings.Contains(strings.Join(res.Notes, "\n"), "different forms") {
		t.Errorf("notes %q", res.Notes)
	}
}

func TestTheSchemaOfBucketsIsToldFromTheirBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schema := rapid.IntRange(-4, 8).Draw(t, "schema")
		var observed []float64
		for range rapid.IntRange(1, 5).Draw(t, "observations") {
			observed = append(observed, math.Exp2(float64(rapid.IntRange(-400, 400).Draw(t, "log"))/40))
		}
		h := exponential(epoch, schema, observed...)
		if got := schemaOf(h.Buckets); got != int8(min(schema, maxSchema)) {
			t.Fatalf("schema %d is taken for %d: %+v", schema, got, h.Buckets)
		}
		// Merged down, each observation stays at or below its bucket's bound.
		lower := int8(rapid.IntRange(-4, min(schema, maxSchema)).Draw(t, "merged to"))
		for _, b := range h.Buckets {
			upper := mergedUpper(b, lower)
			width := math.Exp2(-float64(lower))
			if upper < b.Upper*(1-1e-9) || upper/math.Exp2(width) > b.Lower*(1+1e-9) {
				t.Fatalf("bucket (%g, %g] merged to schema %d ends at %g", b.Lower, b.Upper, lower, upper)
			}
		}
	})
}

func TestCustomBucketsAreNoPowersOfOneBase(t *testing.T) {
	for name, c := range map[string]struct {
		buckets []samples.Bucket
		want    int8
	}{
		"the usual bounds":           {[]samples.Bucket{{Lower: .1, Upper: .25, Count: 1}, {Lower: .25, Upper: .5, Count: 1}}, customLayout},
		"from zero":                  {[]samples.Bucket{{Lower: 0, Upper: .1, Count: 1}}, customLayout},
		"nothing but a zero bucket":  {[]samples.Bucket{{Lower: -1e-128, Upper: 1e-128, Count: 1}}, maxSchema},
		"a zero bucket and powers":   {[]samples.Bucket{{Lower: -1e-128, Upper: 1e-128, Count: 1}, {Lower: 1, Upper: 2, Count: 1}}, 0},
		"two that do not fit at all": {[]samples.Bucket{{Lower: 1, Upper: 2, Count: 1}, {Lower: 2, Upper: 2 * math.Sqrt2, Count: 1}}, customLayout},
		"none":                       {nil, maxSchema},
	} {
		t.Run(name, func(t *testing.T) {
			if got := schemaOf(c.buckets); got != c.want {
				t.Errorf("schema %d, want %d", got, c.want)
			}
		})
	}
}

package signal

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bucket puts the cumulative bucket series of one route of a pod.
func (s *store) bucket(pod, metric, route string, steps map[string]float64) {
	for le, step := range steps {
		s.scrapes(pod, step, "__name__="+metric, "le="+le, "route="+route, "code=200")
	}
}

func latencyOf(t *testing.T, res Result) (rel, stable Histogram) {
	t.Helper()
	sum := func(into *Histogram, h Histogram) {
		if into.Counts == nil {
			into.Bounds, into.Counts, into.Pods = h.Bounds, make([]float64, len(h.Counts)), map[string][]float64{}
		}
		if diff := cmp.Diff(into.Bounds, h.Bounds); diff != "" {
			t.Fatalf("bounds change between ticks: %s", diff)
		}
		all := make([]float64, len(h.Counts))
		for _, counts := range h.Pods {
			for i, n := range counts {
				all[i] += n
			}
		}
		if diff := cmp.Diff(h.Counts, all); diff != "" {
			t.Fatalf("the pods do not add up to the arm: %s", diff)
		}
		for i, n := range h.Counts {
			into.Counts[i] += n
		}
	}
	for _, rd := range res.Readings {
		if rd.Latency == nil {
			t.Fatal("no histogram")
		}
		sum(&rel, rd.Latency.Release)
		sum(&stable, rd.Latency.Stable)
	}
	return rel, stable
}

func TestLatencyIsRequestsPerBucketSummedOverRoutes(t *testing.T) {
	s := newStore()
	for _, pod := range []string{oldPod, newPod} {
		s.scrapes(pod, 6, "__name__=http_requests_total", "code=200", "route=/")
		s.bucket(pod, "http_request_duration_seconds_bucket", "/", map[string]float64{"0.1": 1, "0.5": 3, "+Inf": 4})
		s.bucket(pod, "http_request_duration_seconds_bucket", "/cart", map[string]float64{"1e-1": 0, "5e-1": 1, "+Inf": 2})
		s.bucket(pod, "http_request_duration_seconds_bucket", "/healthz", map[string]float64{"0.1": 50, "0.5": 50, "+Inf": 50})
	}
	rel, stable := latencyOf(t, readAll(t, s, worldSubject()))
	want := func(n float64) Histogram {
		return Histogram{Bounds: []float64{0.1, 0.5, math.Inf(1)}, Counts: []float64{1 * n, 3 * n, 2 * n}, Pods: map[string][]float64{}}
	}
	if diff := cmp.Diff([]Histogram{want(21), want(24)}, []Histogram{rel, stable}); diff != "" {
		t.Error(diff)
	}
}

func TestMillisecondsBecomeSeconds(t *testing.T) {
	s := newStore()
	s.scrapes(oldPod, 2, "__name__=http_server_duration_milliseconds_count", "http_status_code=200")
	s.bucket(oldPod, "http_server_duration_milliseconds_bucket", "/", map[string]float64{"5": 1, "2500": 2, "+Inf": 2})
	_, stable := latencyOf(t, readAll(t, s, worldSubject()))
	if diff := cmp.Diff([]float64{0.005, 2.5, math.Inf(1)}, stable.Bounds); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]float64{24, 24, 0}, stable.Counts); diff != "" {
		t.Error(diff)
	}
}

func TestWhereBucketsDifferBetweenTheArmsTheCommonOnesAreCompared(t *testing.T) {
	s := newStore()
	for _, pod := range []string{oldPod, newPod} {
		s.scrapes(pod, 6, "__name__=http_requests_total", "code=200")
	}
	m := "http_request_duration_seconds_bucket"
	s.bucket(oldPod, m, "/", map[string]float64{"0.1": 1, "0.25": 2, "0.5": 3, "+Inf": 4})
	s.bucket(newPod, m, "/", map[string]float64{"0.1": 1, "0.5": 3, "2": 3, "+Inf": 4})
	res := readAll(t, s, worldSubject())
	rel, stable := latencyOf(t, res)
	for _, h := range []Histogram{rel, stable} {
		if diff := cmp.Diff([]float64{0.1, 0.5, math.Inf(1)}, h.Bounds); diff != "" {
			t.Error(diff)
		}
	}
	if diff := cmp.Diff([]float64{24, 48, 24}, stable.Counts); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(strings.Join(res.Notes, "\n"), "the 3 bounds they have in common are compared") {
		t.Errorf("notes %q", res.Notes)
	}
}

func TestAHistogramWithoutInfIsNotMeasuredAndThatIsSaid(t *testing.T) {
	s := newStore()
	s.scrapes(oldPod, 6, "__name__=http_requests_total", "code=200")
	s.bucket(oldPod, "http_request_duration_seconds_bucket", "/", map[string]float64{"0.1": 1, "0.5": 3, "nonsense": 3, "NaN": 1})
	res := readAll(t, s, worldSubject())
	if res.Readings[3].Latency != nil || res.Readings[3].Errors == nil {
		t.Errorf("%+v", res.Readings[3])
	}
	if !strings.Contains(strings.Join(res.Notes, "\n"), "latency is not measured") {
		t.Errorf("notes %q", res.Notes)
	}
}

func TestArmsWithoutABucketInCommonHaveNoLatency(t *testing.T) {
	s := newStore()
	for _, pod := range []string{oldPod, newPod} {
		s.scrapes(pod, 6, "__name__=http_requests_total", "code=200")
	}
	s.bucket(oldPod, "http_request_duration_seconds_bucket", "/", map[string]float64{"0.1": 1, "+Inf": 4})
	s.bucket(newPod, "http_request_duration_seconds_bucket", "/", map[string]float64{"0.2": 1, "+Inf": 4})
	res := readAll(t, s, worldSubject())
	if last := res.Readings[len(res.Readings)-1]; last.Latency != nil || last.Errors == nil {
		t.Errorf("%+v", last)
	}
	if !strings.Contains(strings.Join(res.Notes, "\n"), "latency is not measured") {
		t.Errorf("notes %q", res.Notes)
	}
}

func TestAfterAChangeOfDialectOnlyItsOwnBucketsCount(t *testing.T) {
	s := newStore()
	requests := map[string]string{"http_requests_total": "code=200", "http_server_request_duration_seconds_count": "http_response_status_code=200"}
	for name, status := range requests {
		s.scrapes(oldPod, 6, "__name__="+name, status)
	}
	s.scrapes(newPod, 6, "__name__=http_requests_total", "code=200")
	s.bucket(oldPod, "http_server_request_duration_seconds_bucket", "/", map[string]float64{"0.3": 1, "+Inf": 4})
	for _, pod := range []string{oldPod, newPod} {
		s.bucket(pod, "http_request_duration_seconds_bucket", "/", map[string]float64{"0.1": 1, "+Inf": 4})
	}
	r := newTestReader(t, s)
	var last Reading
	for i := 1; i <= 6; i++ {
		res := r.Read(context.Background(), epoch.Add(time.Duration(i)*testTick), []Subject{worldSubject()})["r1"]
		last = res.Readings[0]
		if i == 1 && (res.Dialect != "opentelemetry" || last.Latency.Stable.Bounds[0] != 0.3) {
			t.Fatalf("first %s %+v", res.Dialect, last.Latency)
		}
	}
	if last.Latency == nil || last.Latency.Stable.Bounds[0] != 0.1 || last.Latency.Stable.Counts[0] != 3 {
		t.Errorf("%+v", last.Latency)
	}
}

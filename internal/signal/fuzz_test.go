package signal

import (
	"context"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// mess answers every question with series made of the bytes of a fuzzer: label
// values of any bytes, le of any form, values of any kind, in any order.
type mess struct{ data []byte }

func (m mess) series(at time.Time) []samples.Series {
	names := []string{
		"http_requests_total", "http_request_duration_seconds_bucket", "http_request_duration_seconds_sum", "http_request_duration_seconds",
		"http_server_request_duration_seconds", "container_cpu_usage_seconds_total", "container_memory_working_set_bytes",
		"kube_pod_container_status_restarts_total", "kube_pod_status_ready", "istio_requests_total", "queue_length",
	}
	var out []samples.Series
	rest := m.data
	take := func(n int) []byte {
		n = min(n, len(rest))
		b := rest[:n]
		rest = rest[n:]
		return b
	}
	number := func() float64 {
		b := take(8)
		if len(b) < 8 {
			return float64(len(b))
		}
		if b[0]&1 == 0 {
			return float64(b[1]) // mostly something sensible
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	for len(rest) > 4 {
		head := take(4)
		set := labels.FromStrings(
			"__name__", names[int(head[0])%len(names)], "namespace", "shop", "pod", []string{oldPod, newPod, string(take(3))}[int(head[1])%3],
			"code", []string{"200", "500", string(take(2))}[int(head[2])%3], "le", []string{"0.1", "1e-1", "+Inf", "NaN", "", string(take(2))}[int(head[2])%6],
			"handler", string(take(int(head[3])%4)), "instance", string(take(1)), "container", "web", "reporter", "source", "condition", "true",
			"destination_workload", "web", "destination_workload_namespace", "shop")
		s := samples.Series{Labels: set}
		for range int(head[3]) % 5 {
			ms := at.UnixMilli() - int64(number())*1000
			if head[1]&4 == 0 {
				s.Floats = append(s.Floats, samples.Float{Millis: ms, Value: number()})
				continue
			}
			s.Histograms = append(s.Histograms, samples.Histogram{Millis: ms, Count: number(), Sum: number(), Buckets: []samples.Bucket{{Lower: number(), Upper: number(), Count: number()}, {Lower: number(), Upper: number(), Count: number()}}})
		}
		out = append(out, s)
	}
	return out
}

func (m mess) Raw(_ context.Context, _ string, _ time.Duration, at time.Time) ([]samples.Series, error) {
	return m.series(at), nil
}

func (m mess) Range(_ context.Context, _ string, _, to time.Time, _ time.Duration) ([]samples.Series, error) {
	return m.series(to), nil
}

func (m mess) Series(_ context.Context, _ []string, _, to time.Time) ([]labels.Labels, error) {
	var out []labels.Labels
	for _, s := range m.series(to) {
		out = append(out, s.Labels)
	}
	return out, nil
}

func (m mess) Types(context.Context, string) ([]string, error) { return nil, nil }

func FuzzAnswersOfAnyKindAreCountedWithoutAPanicAndWithoutNonsense(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x03abcdefghijklmnopqrstuvwxyz0123456789"))
	f.Add([]byte("\x01\x00\x02\x04\x02\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\xf8\x7f\x00\x05\x04\x04________________"))
	f.Add([]byte("\x04\x05\x00\x04\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08aaaaaaaa"))
	cat := builtin(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		sub := worldSubject()
		sub.Custom = []release.CustomSignal{{Name: "queue", Gauge: "queue_length"}, {Name: "own", Bad: `http_requests_total{code="500"}`, Total: "http_requests_total"}}
		r := NewReader(cat, mess{data}, Options{Tick: testTick})
		for i := 1; i <= 3; i++ {
			res := r.Read(t.Context(), epoch.Add(time.Duration(i)*testTick), []Subject{sub})["r1"]
			for _, rd := range res.Readings {
				for name, p := range map[string]*Pair{"errors": rd.Errors, "callers": rd.Callers, "restarts": rd.Restarts} {
					if p == nil {
						continue
					}
					for _, c := range []release.Count{p.Release.Count, p.Stable.Count} {
						if c.Bad < 0 || c.Total < 0 || (name != "restarts" && c.Bad > c.Total) {
							t.Fatalf("%s: %+v", name, c)
						}
					}
				}
				for name, q := range rd.Quantities {
					for _, m := range []release.Measure{q.Release.Measure, q.Stable.Measure} {
						if math.IsNaN(m.Sum) || math.IsNaN(m.Weight) || m.Weight < 0 {
							t.Fatalf("%s: %+v", name, m)
						}
					}
				}
				if rd.Latency != nil {
					for _, n := range rd.Latency.Release.Counts {
						if math.IsNaN(n) || n < 0 {
							t.Fatalf("latency: %v", rd.Latency.Release.Counts)
						}
					}
				}
			}
		}
		_, _ = r.Survey(t.Context(), sub, epoch.Add(time.Minute), time.Minute)
	})
}

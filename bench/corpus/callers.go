package corpus

import (
	"math"
	"time"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// caller is a pod that calls a workload, and what it counts of that.
type caller struct {
	ok, failed float64
	series     []*Series
}

func (c *caller) served(n float64) { c.ok += n }
func (c *caller) lost(n float64)   { c.failed += n }

// watched has a workload's caller, a pod, export what it sees.
func (s *sim) watched(w *workload, pod string) {
	w.seen = &caller{}
	for i, code := range []string{"200", "503"} {
		w.seen.series = append(w.seen.series, s.add(func() float64 { return []float64{w.seen.ok, w.seen.failed}[i] },
			"http_client_request_duration_seconds_count", "server_address", w.name+"."+s.namespace, "http_response_status_code", code,
			"namespace", s.namespace, "pod", pod, "job", "pods"))
	}
}

func (c *caller) scrape(_ *sim, at time.Time) {
	for _, series := range c.series {
		series.Samples = append(series.Samples, samples.Float{Millis: at.UnixMilli(), Value: series.value()})
	}
}

func callersOnly(s *sim, w *workload) {
	w.rate = pick(s, 10.0, 50, 200)
	level := pick(s, 0.05, 0.1, 0.3)
	w.regressed, w.kind, w.effect, w.onset = true, "errors", "callers only", w.start
	w.refused = func(p *pod, _ time.Time) float64 {
		if p.isNew() {
			return level
		}
		return 0
	}
	s.watched(w, "caller-7d9f8c6b5-x2x4z")
}

// pair is a workload and another that calls it. Both roll out within two minutes;
// the one that is called is at fault.
func (s *sim) pair() {
	callee, calling := s.draw(), s.draw()
	callee.rate, calling.rate = pick(s, 10.0, 50, 200), pick(s, 10.0, 50, 200)
	callee.base, calling.base = pick(s, 0.001, 0.005), pick(s, 0.001, 0.005)
	level := pick(s, 0.03, 0.08)
	callee.regressed, callee.kind, callee.effect, callee.onset = true, "errors", "overlap", callee.start
	callee.failing = func(p *pod, _ int, _ time.Time) float64 {
		if p.isNew() {
			return level
		}
		return callee.base
	}
	calling.affectedBy = s.namespace + "/" + callee.sets[fresh]
	calling.failing = func(_ *pod, _ int, at time.Time) float64 {
		bad, all := callee.taking(fresh, at), callee.taking(stable, at)+callee.taking(fresh, at)
		return calling.base + level*bad/math.Max(all, 1)
	}
	s.watched(callee, calling.pods[0].name)
	s.workloads = []*workload{callee, calling}
}

package corpus

import (
	"math"
	"time"
)

// peersOf adds three other workloads of the namespace, which roll nothing out. change
// says what happens to each.
func (s *sim) peersOf(w *workload, change func(i int, peer *workload)) {
	for i := range 3 {
		peer := s.draw()
		peer.bystander, peer.start, peer.replicas = true, s.end.Add(time.Hour), 2
		peer.dialect = w.dialect
		peer.pods = nil
		for k := range peer.replicas {
			begin := s.origin()
			peer.pods = append(peer.pods, s.newPod(peer, stable, k, begin, begin, s.end.Add(time.Hour)))
		}
		change(i, peer)
		s.workloads = append(s.workloads, peer)
	}
}

// shared lets three in four peers suffer of what fails between two times too: what
// they depend on is theirs as well.
func (s *sim) shared(w *workload, from, to time.Time) {
	s.peersOf(w, func(_ int, peer *workload) {
		if s.rand.IntN(4) == 0 {
			return
		}
		level := math.Max(0.05, 4*peer.base) * (1 + s.rand.Float64())
		peer.failing = func(_ *pod, _ int, at time.Time) float64 {
			if at.After(from) && at.Before(to) {
				return level
			}
			return peer.base
		}
	})
}

// called gives a release that fails three peers, the first of which calls it in one
// case of four, and nobody sees that but by its failures.
func (s *sim) called(w *workload) {
	s.peersOf(w, func(i int, peer *workload) {
		if i > 0 || s.rand.IntN(4) > 0 {
			return
		}
		peer.failing = func(_ *pod, r int, at time.Time) float64 {
			var bad, all float64
			for _, p := range w.pods {
				if p.takes(at) {
					bad, all = bad+w.failure(p, min(r, len(w.routes)-1), at), all+1
				}
			}
			// It calls as often as the release is called, at most.
			return peer.base + bad/math.Max(all, 1)*math.Min(1, w.demand(at)/math.Max(peer.demand(at), 1e-9))
		}
	})
}

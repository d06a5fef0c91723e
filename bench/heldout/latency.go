package heldout

import "math"

// bounds are the buckets of Prometheus' client libraries, in seconds; one without
// bound follows.
var bounds = [...]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// histogram has counts by bucket, not yet cumulated.
type histogram struct {
	buckets    [len(bounds) + 1]float64
	sum, count float64
}

// tally is what a pod's container has counted since it began.
type tally struct {
	counts     []float64 // by route and outcome, as the dialect has them
	histograms []histogram
	cpu        float64
}

func newTally(w *workload) tally {
	d := w.dialect
	return tally{counts: make([]float64, d.cells(len(w.routes))), histograms: make([]histogram, d.histogramCells(len(w.routes)))}
}

func (t *tally) reset() {
	clear(t.counts)
	clear(t.histograms)
	t.cpu = 0
}

// finish counts requests by their outcome, and draws how long they took.
func (p *pod) finish(r int, by [outcomes]float64, at float64, c *caller) {
	w, s := p.of, p.of.scene
	median := w.medianAt(p, r, at) * math.Exp(w.noise[s.second(at)/int(step)])
	long := w.long(p)
	for outcome, n := range by {
		if n <= 0 {
			continue
		}
		p.counts[w.dialect.cell(r, outcome)] += n
		into := []*histogram{&p.histograms[w.dialect.histogramCell(r, outcome)]}
		if c != nil {
			into = append(into, &c.seen[outcome])
		}
		slow := s.binomial(n, long)
		s.spread(n-slow, median, w.sigma, into)
		s.spread(slow, 5*median, w.sigma, into)
	}
}

// spread puts n requests of a lognormal law into buckets.
func (s *scene) spread(n, median, sigma float64, into []*histogram) {
	if n <= 0 {
		return
	}
	var h histogram
	if n <= 12 {
		s.spreadFew(&h, int(n), median, sigma)
	} else {
		s.spreadMany(&h, n, median, sigma)
	}
	for _, to := range into {
		to.sum += h.sum
		to.count += n
		for i, k := range h.buckets {
			to.buckets[i] += k
		}
	}
}

func (s *scene) spreadFew(h *histogram, n int, median, sigma float64) {
	for range n {
		x := median * math.Exp(sigma*s.NormFloat64())
		h.sum += x
		i := 0
		for i < len(bounds) && x > bounds[i] {
			i++
		}
		h.buckets[i]++
	}
}

func (s *scene) spreadMany(h *histogram, n, median, sigma float64) {
	left, below := n, 0.0
	for i := range h.buckets {
		k := left
		if i < len(bounds) {
			upTo := 1 - above(bounds[i], median, sigma)
			if below < 1 {
				k = s.binomial(left, (upTo-below)/(1-below))
			}
			below = upTo
		}
		h.buckets[i] += k
		if left -= k; left <= 0 {
			break
		}
	}
	mean := median * math.Exp(sigma*sigma/2)
	spread := mean * math.Sqrt(math.Exp(sigma*sigma)-1)
	h.sum += math.Max(n*mean/2, n*mean+math.Sqrt(n)*spread*s.NormFloat64())
}

// above is the share of a lognormal law that is more than x.
func above(x, median, sigma float64) float64 {
	return 0.5 * math.Erfc(math.Log(x/median)/(sigma*math.Sqrt2))
}

package corpus

import (
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// bounds are the buckets of Prometheus' client libraries, in seconds.
var bounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, math.Inf(1)}

// run plays the world, and before it earlier rollouts, or the same time of earlier days.
func (s *sim) run() {
	for n := s.family.Earlier; n > 0; n-- {
		s.playEarlier(s.workloads[0], n)
	}
	for day := s.family.Days; day >= 0; day-- {
		ago := time.Duration(day) * 24 * time.Hour
		s.play(s.begin.Add(-ago), s.end.Add(-ago))
	}
}

// between is how long rollouts of a workload lie apart: not at the same time of the day.
const between = 29 * time.Hour

// playEarlier plays the rollout of a workload so many before, with the pods of that time.
// The version it brought is the stable one of the next.
func (s *sim) playEarlier(w *workload, n int) {
	ago := time.Duration(n) * between
	begin, end, workloads := s.begin, s.end, s.workloads
	before := *w
	before.pods, before.minutes, before.start = nil, nil, w.start.Add(-ago)
	before.sets[fresh] = w.sets[stable]
	if n > 1 {
		before.sets[fresh] = s.earlierSet(w, n-1)
	}
	before.sets[stable], before.since = s.earlierSet(w, n), before.start.Add(-between)
	s.sound = append(s.sound, s.namespace+"/"+before.sets[fresh])
	s.begin, s.end, s.workloads = begin.Add(-ago), end.Add(-ago), []*workload{&before}
	s.schedule(&before)
	s.play(s.begin, s.end)
	s.begin, s.end, s.workloads = begin, end, workloads
	w.since = before.start
}

// earlierSet names the ReplicaSet that was stable in the rollout so many before.
func (s *sim) earlierSet(w *workload, n int) string {
	for len(s.sets) <= n {
		s.sets = append(s.sets, w.name+"-"+s.letters(9))
	}
	return s.sets[n]
}

// play plays a part of it, one scrape interval after the other.
func (s *sim) play(begin, end time.Time) {
	for _, w := range s.workloads {
		for _, p := range w.pods {
			if p.counted.Before(begin) { // what it served since is not asked for
				p.counted = begin
			}
		}
	}
	for at := begin; at.Before(end); at = at.Add(s.opt.Scrape) {
		s.noise = 0.9*s.noise + 0.015*s.rand.NormFloat64()
		s.wave = 0.97*s.wave + 0.03*s.rand.NormFloat64()
		for _, w := range s.workloads {
			s.step(w, at)
		}
	}
}

// step scrapes everything of a workload once.
func (s *sim) step(w *workload, at time.Time) {
	kubeAt := at.Add(s.kubeAt)
	silent := func(at time.Time) bool { return w.silent != nil && w.silent(at) }
	if !silent(kubeAt) {
		s.kubeState(w, kubeAt)
	}
	for _, p := range w.pods {
		// A pod whose end falls into this interval serves until then, unseen.
		end := at.Add(p.scrapeAt)
		if !p.there(end) {
			continue
		}
		if p.takes(end) {
			s.serve(p, end)
		}
		if silent(end) || w.missed != nil && w.missed(end) || s.rand.IntN(200) == 0 {
			continue
		}
		s.scrape(p, end)
	}
	if w.seen != nil {
		w.seen.scrape(s, at.Add(7*time.Second))
	}
}

// serve draws what a pod did since it was last looked at.
func (s *sim) serve(p *pod, at time.Time) {
	w := p.of
	seconds := at.Sub(p.counted).Seconds()
	p.counted = at
	all := w.taking(stable, at) + w.taking(fresh, at)
	if seconds <= 0 || all == 0 {
		return
	}
	if p.total == nil {
		p.total, p.sum = make([][2]float64, len(w.routes)), make([]float64, len(w.routes))
		p.buckets = make([][]float64, len(w.routes))
		for r := range p.buckets {
			p.buckets[r] = make([]float64, len(bounds))
		}
	}
	mean := w.demand(at) * math.Exp(s.wave) * seconds / all
	for r, share := range w.shares(at) {
		n := s.poisson(mean * share)
		if w.refused != nil {
			lost := s.binomial(n, w.refused(p, at))
			w.seen.lost(lost)
			n -= lost
		}
		if w.seen != nil {
			w.seen.served(n)
		}
		if n == 0 || w.serves != nil && !w.serves(p, at) {
			continue
		}
		bad := s.bursts(n, w.failure(p, r, at), w.burst)
		p.total[r][0] += n - bad
		p.total[r][1] += bad
		p.cpu += n * 0.003
		before := slices.Clone(p.buckets[r])
		s.time(p, r, at, n)
		w.note(p.arm, at, n, bad, before, p.buckets[r])
	}
	p.cpu += 0.02 * seconds
}

// note adds to what an arm did in a minute.
func (w *workload) note(a arm, at time.Time, n, bad float64, before, after []float64) {
	m := w.minute(at.Sub(w.start.Add(-Past)))
	if m == nil {
		return
	}
	to := &m.Stable
	if a == fresh {
		to = &m.Release
	}
	to.Requests += n
	to.Failed += bad
	for i := range after {
		to.Slower[i] += after[i] - before[i]
	}
}

// minute is the one some time after the past begins; nil for one before it.
func (w *workload) minute(after time.Duration) *Minute {
	k := int(after / time.Minute)
	if after < 0 {
		return nil
	}
	for len(w.minutes) <= k {
		w.minutes = append(w.minutes, Minute{Arm{Slower: make([]float64, len(bounds))}, Arm{Slower: make([]float64, len(bounds))}})
	}
	return &w.minutes[k]
}

// time draws how long n requests of a route took.
func (s *sim) time(p *pod, r int, at time.Time, n float64) {
	w := p.of
	slow := s.binomial(n, w.tailShare(p, at))
	factor := w.factor(p, r, at)
	s.spread(p, r, n-slow, w.median*factor)
	s.spread(p, r, slow, 5*w.median*factor)
}

// spread puts n requests of a lognormal law into the buckets.
func (s *sim) spread(p *pod, r int, n, median float64) {
	if n <= 0 {
		return
	}
	sigma := p.of.sigma
	median *= math.Exp(s.noise)
	left, below := n, 0.0
	for i, b := range bounds {
		upTo := slowerCDF(b, median, sigma)
		k := left
		if below < 1 && !math.IsInf(b, 1) {
			k = s.binomial(left, (upTo-below)/(1-below))
		}
		p.buckets[r][i] += k
		left -= k
		below = upTo
		if left <= 0 {
			break
		}
	}
	p.sum[r] += n * median * math.Exp(sigma*sigma/2)
}

// slowerCDF is the share of requests that take up to x.
func slowerCDF(x, median, sigma float64) float64 {
	if math.IsInf(x, 1) {
		return 1
	}
	return 0.5 * math.Erfc(-math.Log(x/median)/(sigma*math.Sqrt2))
}

func (s *sim) poisson(mean float64) float64 {
	if mean <= 0 {
		return 0
	}
	return distuv.Poisson{Lambda: mean, Src: s.rand}.Rand()
}

func (s *sim) binomial(n, p float64) float64 {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	}
	return distuv.Binomial{N: n, P: p, Src: s.rand}.Rand()
}

// bursts draws how many of n requests fail: in bursts of geometric size.
func (s *sim) bursts(n, p, burst float64) float64 {
	if burst <= 1 || p > 0.3 {
		return s.binomial(n, p)
	}
	bad := 0.0
	for range int(s.poisson(n * p / burst)) {
		bad += 1 + math.Floor(math.Log(1-s.rand.Float64())/math.Log(1-1/burst))
	}
	return math.Min(bad, n)
}

// scrape stores what a pod shows.
func (s *sim) scrape(p *pod, at time.Time) {
	if p.series == nil {
		p.series = s.exports(p)
	}
	for _, series := range p.series {
		series.Samples = append(series.Samples, samples.Float{Millis: at.UnixMilli(), Value: series.value()})
	}
}

// add makes a series whose value is asked for at each scrape.
func (s *sim) add(value func() float64, metric string, pairs ...string) *Series {
	out := &Series{value: value, Labels: [][2]string{{"__name__", metric}}}
	for i := 0; i+1 < len(pairs); i += 2 {
		out.Labels = append(out.Labels, [2]string{pairs[i], pairs[i+1]})
	}
	s.series = append(s.series, out)
	return out
}

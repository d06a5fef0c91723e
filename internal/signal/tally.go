package signal

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/signal/count"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// apply counts what the round brought and makes the readings of the ticks since
// the last one.
func (t *tracked) apply(to int64) {
	t.round.to, t.round.ticks = to, int((to-t.pos)/t.tick)
	if !t.ranked {
		t.rank()
	}
	t.seen()
	for _, b := range []struct {
		batch *batch
		c     *count.Counters
	}{{&t.round.own, t.own}, {&t.round.called, t.called}, {&t.round.exported, t.exported}} {
		t.settleStrata(b.batch)
		b.c.Add(b.batch.entries, to, func(i int, millis int64, delta float64) {
			t.count(&b.batch.metas[i], t.tickOf(millis), delta)
		})
	}
	t.takeGauges()
	for _, b := range t.round.begun {
		b.feed.begun, b.feed.begin = true, b.begin
	}
	t.noteCounted()
	t.readings()
	t.pos = to
}

// seen notes when each pod was scraped, and when an exporter told of it.
func (t *tracked) seen() {
	for _, p := range t.pods {
		p.own.begin(t)
		p.told.begin(t)
		p.up.begin(t)
	}
	for _, b := range []*batch{&t.round.own, &t.round.called, &t.round.exported} {
		for i := range b.entries {
			p := b.metas[i].to
			if b.metas[i].feed.what == feedScrapes {
				p.up.saw(t, b.entries[i].Samples)
				continue // scraped, but it may tell nothing of what is measured
			}
			if b == &t.round.own || (b == &t.round.called && !t.dialectKnown()) {
				p.own.saw(t, b.entries[i].Samples)
			}
			if b == &t.round.exported {
				p.told.saw(t, b.entries[i].Samples)
			}
		}
	}
	for i := range t.round.gauges {
		if g := &t.round.gauges[i]; g.feed.exporter() {
			g.to.told.saw(t, g.samples)
		} else {
			g.to.own.saw(t, g.samples)
		}
	}
}

// presence is when samples of a pod were seen: the newest, and whether there was
// one within the look-back that ends with each tick of the round.
type presence struct {
	newest int64
	ticks  []bool
}

func (s *presence) begin(t *tracked) {
	s.ticks = make([]bool, t.round.ticks)
	s.mark(t, s.newest)
}

func (s *presence) saw(t *tracked, list []samples.Float) {
	if s.ticks == nil {
		s.begin(t)
	}
	for _, f := range list {
		if f.Millis > t.round.to {
			break
		}
		if t.round.ticks > 1 || f.Millis > s.newest {
			s.mark(t, f.Millis)
		}
		s.newest = max(s.newest, f.Millis)
	}
}

// mark notes a sample in the ticks that end with it or later, within the look-back.
func (s *presence) mark(t *tracked, millis int64) {
	if millis+t.look <= t.pos+t.tick { // too old for any; perhaps there was none yet
		return
	}
	first := max(0, int((millis-t.pos+t.tick-1)/t.tick)-1)
	for k := first; k < len(s.ticks) && t.pos+int64(k+1)*t.tick < millis+t.look; k++ {
		s.ticks[k] = true
	}
}

func (s *presence) in(k int) bool { return k < len(s.ticks) && s.ticks[k] }

// tickOf is the tick of the round that a sample belongs to. One that came late
// belongs to the first: its own was handed out already.
func (t *tracked) tickOf(millis int64) int {
	k := int((millis-t.pos+t.tick-1)/t.tick) - 1
	return min(max(k, 0), t.round.ticks-1)
}

// count adds to what a pod did in a tick.
func (t *tracked) count(m *meta, k int, delta float64) {
	if m.ignored {
		return
	}
	f, p := m.feed, m.to
	add := func(column int32) { *p.cell(t, column, k) += delta }
	switch f.what {
	case feedRequests, feedNative:
		if m.bound >= 0 {
			p.slower(t, f.view, m.stratum, m.bound, k, delta)
			return
		}
		column := columnOf(f.view, m.stratum)
		add(column)
		if m.bad {
			add(column + 1)
		}
	case feedBuckets:
		p.slower(t, f.view, m.stratum, m.bound, k, delta)
	case feedSum:
		add(columnSum)
	case feedCount:
		add(columnCount)
	case feedCPU:
		add(columnCPU)
	case feedRestarts:
		add(columnRestart)
	case feedTotal, feedCounter:
		add(columnCustom + 2*int32(f.custom))
	case feedBad:
		add(columnCustom + 2*int32(f.custom) + 1)
	}
}

// takeGauges keeps, for each pod and tick, the sum over series of their mean
// values. Where several scrapers tell of the same, the one that tells more is
// believed.
func (t *tracked) takeGauges() {
	type key struct {
		f   *feed
		to  *pod
		key uint64
	}
	best := map[key]int{}
	for i, g := range t.round.gauges {
		k := key{g.feed, g.to, g.Key}
		j, twice := best[k]
		if old := t.round.gauges[j]; !twice || len(g.samples) > len(old.samples) ||
			len(g.samples) == len(old.samples) && g.Scraper < old.Scraper {
			best[k] = i
		}
	}
	for i := range t.round.gauges {
		g := &t.round.gauges[i]
		if best[key{g.feed, g.to, g.Key}] == i {
			if g.feed.what == feedReady {
				g.to.ready.hear(t, g.samples)
			}
			g.to.take(t, g)
		}
	}
}

func (g *gauge) column() int {
	switch g.feed.what {
	case feedReady:
		return gaugeReady
	case feedOOM:
		return gaugeOOM
	case feedGauge:
		return gaugeCustom + g.feed.custom
	}
	return gaugeMemory
}

// take adds a series of values to the pod's.
func (p *pod) take(t *tracked, g *gauge) {
	column := g.column()
	for len(p.gauges) <= column {
		p.gauges = append(p.gauges, nil)
	}
	if p.gauges[column] == nil {
		p.gauges[column] = make([]float64, t.round.ticks)
		for k := range p.gauges[column] {
			p.gauges[column][k] = math.NaN()
		}
	}
	for k, mean := range t.means(g.samples) {
		if math.IsNaN(mean) {
			continue
		}
		if at := &p.gauges[column][k]; math.IsNaN(*at) {
			*at = mean
		} else {
			*at += mean
		}
	}
}

// means are the mean values of the round's ticks, NaN for one without samples.
func (t *tracked) means(list []samples.Float) []float64 {
	sums, n := make([]float64, t.round.ticks), make([]float64, t.round.ticks)
	for _, s := range list {
		if s.Millis <= t.pos || s.Millis > t.round.to || math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
			continue
		}
		k := t.tickOf(s.Millis)
		sums[k] += s.Value
		n[k]++
	}
	for k := range sums {
		sums[k] /= n[k] // 0/0 is NaN
	}
	return sums
}

// gauge is a pod's gauge in a tick, NaN for none.
func (p *pod) gauge(column, k int) float64 {
	if column >= len(p.gauges) || p.gauges[column] == nil {
		return math.NaN()
	}
	return p.gauges[column][k]
}

func (t *tracked) clearRound() {
	next := func(b batch) batch { return batch{expected: len(b.entries)} }
	t.round = roundOf{own: next(t.round.own), called: next(t.round.called), exported: next(t.round.exported)}
	for _, p := range t.pods {
		p.clear()
	}
}

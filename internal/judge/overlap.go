package judge

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	// overlapTicks is how finely the time in which both arms serve is remembered;
	// when it lasts longer neighbouring ticks are joined.
	overlapTicks = 32
	// outageEvery is how rare it is for an outage to begin just then: one that began in
	// so many seconds is as likely beforehand as harm of the release.
	outageEvery = 120
	// aloneTicks of the release after the stable arm has gone tell how bad it was.
	aloneTicks = 4
)

// overlap is what both arms did while both served: it tells harm that the release
// brought from trouble of both that began in that time, which the history cannot.
type overlap struct {
	ticks     [overlapTicks]bothArms
	n         int
	stride    int // ticks joined into one
	filled    int // of the last one
	alone     release.Count
	aloneHits uint32
	after     int     // ticks in alone
	tick      float64 // seconds
}

// bothArms are the counts of one or more ticks, small because a release has many.
type bothArms struct{ release, stable armTally }

// armTally is what one arm did in some ticks.
type armTally struct {
	tally
	hits uint32 // ticks with bad requests
}

func (a armTally) plus(c release.Count) armTally { return armTally{a.tally.plus(c), a.hits + hit(c)} }

func (a armTally) and(b armTally) armTally {
	return armTally{a.tally.plus(b.count()), a.hits + b.hits}
}

// hitting are the ticks with bad requests among all requests.
func (a armTally) hitting() release.Count { return tally{a.total, a.hits}.count() }

// tally is a release.Count of what one tick can hold.
type tally struct{ total, bad uint32 }

func (t tally) plus(c release.Count) tally {
	fit := func(n int64) uint32 { return uint32(min(n, math.MaxUint32)) }
	return tally{fit(int64(t.total) + c.Total), fit(int64(t.bad) + c.Bad)}
}

func (t tally) count() release.Count { return release.Count{Total: int64(t.total), Bad: int64(t.bad)} }

// add notes a tick; one without the stable arm is of the release alone.
func (o *overlap) add(c, s release.Count) {
	switch {
	case s.Total == 0 && o.n == 0 || c.Total == 0 && o.n == 0:
		return
	case s.Total == 0:
		if o.after < aloneTicks {
			o.alone = o.alone.Add(c)
			o.aloneHits += hit(c)
			o.after++
		}
		return
	}
	// The stable arm serves again.
	o.alone, o.aloneHits, o.after = release.Count{}, 0, 0
	o.stride = max(o.stride, 1)
	if o.n == 0 || o.filled == o.stride {
		if o.n == overlapTicks {
			o.halve()
		}
		o.n++
		o.filled = 0
		o.ticks[o.n-1] = bothArms{}
	}
	last := &o.ticks[o.n-1]
	last.release, last.stable = last.release.plus(c), last.stable.plus(s)
	o.filled++
}

func (o *overlap) halve() {
	for i := range overlapTicks / 2 {
		a, b := o.ticks[2*i], o.ticks[2*i+1]
		o.ticks[i] = bothArms{a.release.and(b.release), a.stable.and(b.stable)}
	}
	o.n, o.stride = overlapTicks/2, 2*o.stride
}

// stable is what the stable arm did in all that time.
func (o *overlap) stable(of func(armTally) release.Count) release.Count {
	var sum release.Count
	for i := range o.n {
		sum = sum.Add(of(o.ticks[i].stable))
	}
	return sum
}

// hit is 1 for a tick with bad requests.
func hit(c release.Count) uint32 {
	if c.Bad > 0 {
		return 1
	}
	return 0
}

// shared is how much likelier, in nats, all this is if both arms were in trouble
// from some tick on than if the release alone was, from some tick on; in either case
// they did as the history before. The shorter the time in which trouble of both would
// have to have begun the less likely it is. So many bad requests come together; where
// they seldom come, the ticks that have some tell more.
func (o *overlap) shared(b *baseline, bursts float64) float64 {
	if o.n == 0 || b.rate <= 0 {
		return math.Inf(-1) // there was no such time
	}
	out := o.likelier(b.rate, bursts, o.alone, func(t bothArms) (c, s release.Count) { return t.release.count(), t.stable.count() })
	if b.hits.rare(bursts) {
		rate := (float64(b.hits.ticks) + 0.5) / b.hits.requests
		alone := release.Count{Total: o.alone.Total, Bad: int64(o.aloneHits)}
		out = math.Max(out, o.likelier(rate, 1, alone, func(t bothArms) (c, s release.Count) {
			return t.release.hitting(), t.stable.hitting()
		}))
	}
	return out
}

// likelier is shared for one kind of counts.
func (o *overlap) likelier(rate, bursts float64, suffix release.Count, of func(bothArms) (c, s release.Count)) float64 {
	var both [overlapTicks]float64
	one := 0.0
	var stable release.Count
	gain := func(c release.Count) float64 { // of its own rate over the history's
		x, n := float64(c.Bad), float64(c.Total)
		if x <= n*rate {
			return 0
		}
		return x*math.Log(x/(n*rate)) - (x - n*rate)
	}
	for i := o.n - 1; i >= 0; i-- {
		c, s := of(o.ticks[i])
		suffix, stable = suffix.Add(c), stable.Add(s)
		one = math.Max(one, gain(suffix))
		both[i] = gain(suffix.Add(stable))
	}
	sum, seconds := math.Inf(-1), float64(o.stride)*o.tick
	for i := range o.n {
		sum = logAdd(sum, (both[i]-one)/bursts+math.Log(seconds/outageEvery))
	}
	return sum
}

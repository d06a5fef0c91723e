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
	ticks  [overlapTicks]bothArms
	n      int
	stride int // ticks joined into one
	filled int // of the last one
	alone  release.Count
	after  int     // ticks in alone
	tick   float64 // seconds
}

// bothArms are the counts of one or more ticks, small because a release has many.
type bothArms struct{ release, stable tally }

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
			o.after++
		}
		return
	}
	// The stable arm serves again.
	o.alone, o.after = release.Count{}, 0
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
		o.ticks[i] = bothArms{a.release.plus(b.release.count()), a.stable.plus(b.stable.count())}
	}
	o.n, o.stride = overlapTicks/2, 2*o.stride
}

// shared is how much likelier, in nats, all this is if both arms were in trouble
// from some tick on than if the release alone was, from some tick on; in either case
// they did as the history before. The shorter the time in which trouble of both would
// have to have begun the less likely it is. So many bad requests come together.
func (o *overlap) shared(rate, bursts float64) float64 {
	if o.n == 0 || rate <= 0 {
		return math.Inf(-1) // there was no such time
	}
	var both [overlapTicks]float64
	one := 0.0
	suffix, stable := o.alone, release.Count{}
	gain := func(c release.Count) float64 { // of its own rate over the history's
		x, n := float64(c.Bad), float64(c.Total)
		if x <= n*rate {
			return 0
		}
		return x*math.Log(x/(n*rate)) - (x - n*rate)
	}
	for i := o.n - 1; i >= 0; i-- {
		suffix, stable = suffix.Add(o.ticks[i].release.count()), stable.Add(o.ticks[i].stable.count())
		one = math.Max(one, gain(suffix))
		both[i] = gain(suffix.Add(stable))
	}
	sum, seconds := math.Inf(-1), float64(o.stride)*o.tick
	for i := range o.n {
		sum = logAdd(sum, (both[i]-one)/bursts+math.Log(seconds/outageEvery))
	}
	return sum
}

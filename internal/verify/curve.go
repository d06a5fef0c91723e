package verify

import (
	"math"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// maxPoints bounds a curve: when it is full, neighbours are joined, so that a
// long observation keeps its whole shape in the same memory.
const maxPoints = 64

// curve is what one signal did over the ticks.
type curve struct {
	begin  int64 // unix milliseconds
	points []point
	stride int // ticks in each point
	filled int // ticks in the last point
}

// point is small: a release has a thousand of them.
type point struct {
	after           uint32 // milliseconds since the curve began
	release, stable tally
	releaseValue    float32 // mean over the point's ticks with requests, weighted by them
	stableValue     float32
	e               float32
}

// tally is a release.Count of what one point can hold.
type tally struct{ total, bad uint32 }

func tallyOf(c release.Count) tally {
	fit := func(n int64) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }
	return tally{fit(c.Total), fit(c.Bad)}
}

func (t tally) count() release.Count { return release.Count{Total: int64(t.total), Bad: int64(t.bad)} }

func (t tally) add(u tally) tally { return tallyOf(t.count().Add(u.count())) }

func (c *curve) add(at time.Time, rel, stable release.Count, relValue, stableValue, e float64) {
	if len(c.points) == 0 {
		c.begin = at.UnixMilli()
	}
	p := point{
		after: uint32(at.UnixMilli() - c.begin), release: tallyOf(rel), stable: tallyOf(stable),
		releaseValue: float32(relValue), stableValue: float32(stableValue), e: float32(min(e, 1e30)),
	}
	if c.stride == 0 {
		c.stride = 1
	}
	if n := len(c.points); n > 0 && c.filled < c.stride {
		c.points[n-1] = join(c.points[n-1], p)
		c.filled++
		return
	}
	if len(c.points) == maxPoints {
		c.halve()
	}
	c.points = append(c.points, p)
	c.filled = 1
}

func (c *curve) halve() {
	half := c.points[:0]
	for i := 0; i+1 < len(c.points); i += 2 {
		half = append(half, join(c.points[i], c.points[i+1]))
	}
	c.points = half
	c.stride *= 2
}

func join(a, b point) point {
	return point{
		after: b.after, release: a.release.add(b.release), stable: a.stable.add(b.stable),
		releaseValue: weighted(a.releaseValue, a.release.total, b.releaseValue, b.release.total),
		stableValue:  weighted(a.stableValue, a.stable.total, b.stableValue, b.stable.total),
		e:            b.e,
	}
}

func weighted(x float32, n uint32, y float32, m uint32) float32 {
	all := float32(n) + float32(m)
	if all == 0 {
		return 0
	}
	return (x*float32(n) + y*float32(m)) / all
}

// export is the curve as evidence carries it.
func (c *curve) export() []release.Point {
	out := make([]release.Point, 0, len(c.points))
	for _, p := range c.points {
		e := release.Point{
			At: time.UnixMilli(c.begin + int64(p.after)).UTC(), Release: p.release.count(), Stable: p.stable.count(), EValue: float64(p.e),
		}
		if p.release.total > 0 {
			x := float64(p.releaseValue)
			e.ReleaseValue = &x
		}
		if p.stable.total > 0 {
			x := float64(p.stableValue)
			e.BaselineValue = &x
		}
		out = append(out, e)
	}
	return out
}

// means are the values of both arms over the whole curve, weighted by requests.
func (c *curve) means() (rel, stable float64) {
	var total point
	for _, p := range c.points {
		total = join(total, p)
	}
	return float64(total.releaseValue), float64(total.stableValue)
}

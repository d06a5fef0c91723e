package verify

import (
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// maxPoints bounds a curve: when it is full, neighbours are joined, so that a
// long observation keeps its whole shape in the same memory.
const maxPoints = 160

// curve is what one signal did over the ticks.
type curve struct {
	points []point
	stride int // ticks in each point
	filled int // ticks in the last point
}

type point struct {
	atMillis        int64
	release, stable release.Count
	releaseValue    float32 // mean over the point's ticks with requests, weighted by them
	stableValue     float32
	e               float32
}

func (c *curve) add(at time.Time, rel, stable release.Count, relValue, stableValue, e float64) {
	p := point{
		atMillis: at.UnixMilli(), release: rel, stable: stable,
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
		atMillis: b.atMillis, release: a.release.Add(b.release), stable: a.stable.Add(b.stable),
		releaseValue: weighted(a.releaseValue, a.release.Total, b.releaseValue, b.release.Total),
		stableValue:  weighted(a.stableValue, a.stable.Total, b.stableValue, b.stable.Total),
		e:            b.e,
	}
}

func weighted(x float32, n int64, y float32, m int64) float32 {
	if n+m == 0 {
		return 0
	}
	return (x*float32(n) + y*float32(m)) / float32(n+m)
}

// export is the curve as evidence carries it.
func (c *curve) export() []release.Point {
	out := make([]release.Point, 0, len(c.points))
	for _, p := range c.points {
		e := release.Point{
			At: time.UnixMilli(p.atMillis).UTC(), Release: p.release, Stable: p.stable, EValue: float64(p.e),
		}
		if p.release.Total > 0 {
			x := float64(p.releaseValue)
			e.ReleaseValue = &x
		}
		if p.stable.Total > 0 {
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

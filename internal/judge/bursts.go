package judge

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	// hitBlock ticks make one window in which it is seen whether ticks with bad
	// requests come together.
	hitBlock = 4
	// With more bursts a tick than this the ticks without one are too few to tell
	// how many there were.
	denseBursts = 1.5
	// No tick with bad requests tells more than so many nats: a few that follow one
	// another may be one event.
	hitGain = 1
)

// hits counts the ticks that have bad requests. Where those come in bursts and most
// ticks have none, it is nearly the number of bursts, whatever their sizes: as sharp
// as if each burst were one event, where the sum of bad requests, of which the
// largest bursts are the larger part, is half as sharp.
type hits struct {
	ticks, with int
	requests    float64
	spread      scatter // of hits in blocks of ticks
	block       release.Count
}

func (h *hits) add(c release.Count) {
	if c.Total == 0 {
		return
	}
	h.ticks++
	h.requests += float64(c.Total)
	h.block.Total++
	if c.Bad > 0 {
		h.with++
		h.block.Bad++
	}
	if h.block.Total == hitBlock {
		h.spread.add(h.block)
		h.block = release.Count{}
	}
}

// events is the likeliest number of bursts, by the law of Poisson, and how much one
// of them tells, less than 1 because ticks hide how many they have.
func (h *hits) events() (n, weight float64) {
	if h.with == 0 {
		return 0, 1
	}
	t := float64(h.ticks)
	perTick := -math.Log1p(-math.Min(float64(h.with), t-0.5) / t)
	return perTick * t, perTick / math.Expm1(perTick)
}

// logBursts is the evidence of the release's bursts against the history's, never more
// than what their bad requests say if all bursts were of the mean size: a release
// with more but smaller ones is not condemned.
func (b *baseline) logBursts(now *hits, bad, total float64) float64 {
	if now.ticks < hitBlock || b.hits.ticks < hitBlock {
		return math.Inf(-1)
	}
	before, weightBefore := b.hits.events()
	after, weight := now.events()
	if after == 0 || after > denseBursts*float64(now.ticks) || before > denseBursts*float64(b.hits.ticks) {
		return math.Inf(-1)
	}
	phi := measure(&b.hits.spread, &now.spread).middle()
	rate := (before + 0.5) / b.hits.requests
	wander := math.Sqrt(b.wander.between(total)) / b.rate * rate
	drift := driftFloor * rate
	variance := phi*rate/weightBefore/b.hits.requests + wander*wander + drift*drift
	g := gamma{a: rate * rate / variance, b: rate / variance}
	logE := b.logGammas(g, after*weight/phi, now.requests*weight/phi)

	size := math.Max(1, (float64(b.count.Bad)+bad)/(before+after))
	return math.Min(math.Min(logE, b.logAtOnce(bad, total, size)), hitGain*float64(now.with))
}

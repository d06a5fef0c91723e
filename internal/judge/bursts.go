package judge

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	// hitBlock ticks make one window in which it is seen whether ticks with bad
	// requests come together.
	hitBlock = 4
	// With more bursts a tick of a pod than this those without one are too few to tell
	// how many there were.
	denseBursts = 1.5
	// No tick with bad requests tells more than so many nats: a few that follow one
	// another may be one event.
	hitGain = 1
	// rareHits is the share of the ticks with bad requests up to which ticks tell of
	// bursts, and burstyFrom how many must come together.
	rareHits   = 0.3
	burstyFrom = 2
)

// Hits are how many pods had requests in a tick, and how many of them bad ones.
type Hits struct{ Pods, Bad int }

// hitsOf counts the pods; those of a tick that does not tell them apart are one.
func hitsOf(c release.Count, pods map[string]release.Count, apart bool) Hits {
	var h Hits
	if !apart {
		if c.Bad > 0 {
			h.Bad = 1
		}
		h.Pods = 1
		return h
	}
	for _, p := range pods {
		if p = sane(p); p.Total > 0 {
			h.Pods++
			if p.Bad > 0 {
				h.Bad++
			}
		}
	}
	return h
}

// hits counts the ticks that have bad requests, of each pod where pods are told apart.
// Where bad requests come in bursts and most ticks of most pods have none, it is nearly
// the number of bursts, whatever their sizes: as sharp as if each burst were one event,
// where the sum of bad requests, of which the largest bursts are the larger part, is
// half as sharp. Bursts that hit several pods at once show in how hits scatter.
type hits struct {
	places, with int // ticks of pods with requests; with bad ones
	ticks, of    int // that have bad ones, of all
	requests     float64
	spread       scatter // of hits in blocks of ticks
	block        release.Count
	joined       int // ticks in the block
}

func (h *hits) add(c release.Count, in Hits) {
	if c.Total == 0 {
		return
	}
	h.of++
	if c.Bad > 0 {
		h.ticks++
	}
	if in.Pods == 0 {
		return // they are told apart, and not in this tick
	}
	h.places += in.Pods
	h.with += in.Bad
	h.requests += float64(c.Total)
	h.block.Total += int64(in.Pods)
	h.block.Bad += int64(in.Bad)
	if h.joined++; h.joined == hitBlock {
		h.spread.add(h.block)
		h.block, h.joined = release.Count{}, 0
	}
}

// rare reports that ticks with bad requests tell more of what comes in such bursts than
// their sum does.
func (h *hits) rare(bursts float64) bool {
	return bursts >= burstyFrom && float64(h.ticks) < rareHits*float64(h.of)
}

// events is the likeliest number of bursts, by the law of Poisson, and how much one
// of them tells, less than 1 because a tick of a pod hides how many it has.
func (h *hits) events() (n, weight float64) {
	if h.with == 0 {
		return 0, 1
	}
	t := float64(h.places)
	each := -math.Log1p(-math.Min(float64(h.with), t-0.5) / t)
	return each * t, each / math.Expm1(each)
}

// comparison is of the release's bursts with the history's.
type comparison struct {
	prior            gamma   // of the rate of bursts
	events, requests float64 // of the release, as far as they tell, each of them one event
	before           float64 // events of the history
	bursts           float64 // of both
}

// compareBursts is false where bursts are too dense to be told apart.
func (b *baseline) compareBursts(now *hits) (comparison, bool) {
	if now.places < hitBlock || b.hits.places < hitBlock {
		return comparison{}, false
	}
	before, weightBefore := b.hits.events()
	after, weight := now.events()
	if after == 0 || after > denseBursts*float64(now.places) || before > denseBursts*float64(b.hits.places) {
		return comparison{}, false
	}
	phi := measure(&b.hits.spread, &now.spread).middle()
	rate := (before + 0.5) / b.hits.requests
	drift := driftFloor * rate
	variance := phi*rate/weightBefore/b.hits.requests + b.bursty.between(now.requests) + drift*drift
	return comparison{
		prior:  gamma{a: rate * rate / variance, b: rate / variance},
		events: after * weight / phi, requests: now.requests * weight / phi, before: before * weightBefore / phi,
		bursts: before + after,
	}, true
}

// size is the mean size of the bursts of both, given the release's bad requests.
func (k comparison) size(b *baseline, bad float64) float64 {
	return math.Max(1, (float64(b.count.Bad)+bad)/k.bursts)
}

// logBursts is the evidence of the release's bursts against the history's, never more
// than what their bad requests say if all bursts were of the mean size: a release
// with more but smaller ones is not condemned.
func (b *baseline) logBursts(now *hits, bad, total float64) float64 {
	k, ok := b.compareBursts(now)
	if !ok {
		return math.Inf(-1)
	}
	logE := b.logGammas(k.prior, k.events, k.requests)
	return math.Min(math.Min(logE, b.logAtOnce(bad, total, k.size(b, bad))), hitGain*float64(now.ticks))
}

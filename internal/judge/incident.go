package judge

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	// incidentOdds is how many nats it takes to believe that the workload was in trouble
	// before the rollout began.
	incidentOdds = 8
	// incidentRatio is how many times as many requests are bad in trouble: fewer are
	// drift.
	incidentRatio = 1.5
	// incidentEvery is how rare it is for trouble to begin by itself: what began in so
	// many seconds before the rollout is as likely beforehand as harm of the release.
	incidentEvery = 7200
	// incidentDoubt is how many times as likely harm of the release has to be.
	incidentDoubt = 7
	// latelyBlocks is how finely the later half of the history is remembered.
	latelyBlocks = 12
)

// incident is the first window of the trouble that the workload was in when the
// rollout began; 0 where it was in none. What went before is not what the release is
// to be held against. Bad requests come together as they do from window to window.
func incident(windows []release.Count) int {
	together := scatter{successive: true}
	var rest, late release.Count
	for _, c := range windows {
		c = sane(c)
		rest = rest.Add(c)
		together.add(c)
	}
	if rest.Bad == 0 {
		return 0
	}
	phi := measure(&together).upper()
	first, most := 0, incidentOdds*phi
	for i := len(windows) - 1; i > 0; i-- {
		c := sane(windows[i])
		late = late.Add(c)
		rest = release.Count{Total: rest.Total - c.Total, Bad: rest.Bad - c.Bad}
		if late.Total < minHistoryRequests || rest.Total == 0 || late.Ratio() <= incidentRatio*rest.Ratio() {
			continue
		}
		expected := float64(late.Total) * float64(rest.Bad) / float64(rest.Total)
		if gain := twoRates(asBursts(float64(late.Bad), expected, phi), float64(late.Total), rest); gain > most {
			first, most = i, gain
		}
	}
	if !goesOn(windows[first:]) {
		return 0
	}
	return first
}

// goesOn reports that the later half of the windows is not much better than all.
func goesOn(windows []release.Count) bool {
	var all, later release.Count
	for i, c := range windows {
		all = all.Add(sane(c))
		if i >= len(windows)/2 {
			later = later.Add(sane(c))
		}
	}
	return later.Ratio() >= all.Ratio()/2
}

// twoRates is how much likelier, in nats, x bad ones of n and those of others are at
// rates of their own than at one, by the law of Poisson.
func twoRates(x, n float64, others release.Count) float64 {
	one := (x + float64(others.Bad)) / (n + float64(others.Total))
	gain := func(x, n float64) float64 {
		if x <= 0 {
			return 0
		}
		return x * math.Log(x/n/one)
	}
	return gain(x, n) + gain(float64(others.Bad), float64(others.Total))
}

// lately is the later half of the history, the latest block first.
type lately struct {
	blocks  [latelyBlocks]armTally
	n       int
	windows int // joined into one block
}

func newLately(windows []release.Count) lately {
	half := len(windows) / 2
	l := lately{windows: max(1, (half+latelyBlocks-1)/latelyBlocks)}
	for i := range half {
		l.n = i/l.windows + 1
		l.blocks[l.n-1] = l.blocks[l.n-1].plus(sane(windows[len(windows)-1-i]))
	}
	return l
}

// before is how much likelier, in nats, all this is if trouble began some time before
// the rollout and goes on, for both arms, than if the release does harm and all else
// went on as ever, but for the stable arm while both served, whose trouble then is no
// sign of any before. bursts bad requests come together; where they seldom come, ticks
// that have some tell more.
func (b *baseline) before(h *past) float64 {
	if h.release.Total == 0 {
		return math.Inf(-1)
	}
	out := b.likelierBefore(b.count, h.release, h.overlap.stable(armTally.count), h.bursts, h.overlap.tick, armTally.count)
	if b.hits.rare(h.bursts) {
		all := release.Count{Total: b.count.Total, Bad: int64(b.hits.ticks)}
		alone := release.Count{Total: h.release.Total, Bad: int64(h.hits.ticks)}
		out = math.Max(out, b.likelierBefore(all, alone, h.overlap.stable(armTally.hitting), 1, h.overlap.tick, armTally.hitting))
	}
	return out
}

// likelierBefore is before for one kind of counts, by the law of Poisson.
func (b *baseline) likelierBefore(all, alone, stable release.Count, bursts, tick float64, of func(armTally) release.Count) float64 {
	gain := func(c release.Count) float64 {
		if c.Bad <= 0 || c.Total <= 0 {
			return 0
		}
		return float64(c.Bad) * math.Log(c.Ratio())
	}
	sum, late := math.Inf(-1), stable.Add(alone)
	rest, none := all, gain(all)+gain(stable)+gain(alone)
	for _, block := range b.lately.blocks[:b.lately.n] {
		c := of(block)
		late = late.Add(c)
		rest = release.Count{Total: rest.Total - c.Total, Bad: rest.Bad - c.Bad}
		sum = logAdd(sum, (gain(rest)+gain(late)-none)/bursts)
	}
	return sum + math.Log(float64(b.lately.windows)*tick/incidentEvery)
}

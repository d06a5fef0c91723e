package judge

import (
	"math"
	"time"

	"gonum.org/v1/gonum/mathext"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	// How fast the latest ticks are forgotten, per tick, and how fast the last
	// moments, in which an outage may just have begun.
	recentDecay = 0.9
	momentDecay = 0.5
	// The stable arm suffers from something outside when so many bad requests as it
	// had last would be this rare at the history's rate.
	outageTail = 0.001
	// Or when what it had is so many times as likely at the release's rate as at the
	// history's: what ails the one ails the other.
	outageOdds = 3
	// What both arms did while both served has to speak so many times as likely of harm
	// of the release.
	outageDoubt = 7
	// Where their requests were too few to tell, harm is the release's if it lasts so
	// long.
	outagePatience = 10 * time.Minute
	// Evidence of so many nats that is kept back is forgotten when the harm ends.
	heldBack = 2
	// An outage is over when what the release alone had lately is so many times as
	// likely at the history's rate; it raises the rate by so much at least.
	soundOdds   = 100
	leastOutage = 0.02
	// What an outage does next is known no better than from so many events: it
	// grows and wanes.
	outageEvents = 3
)

// fading is a count that forgets.
type fading struct{ x, n float64 }

func (f *fading) add(c release.Count, keep float64) {
	f.x = f.x*keep + float64(c.Bad)
	f.n = f.n*keep + float64(c.Total)
}

// remember notes a tick of the stable arm. Without one nothing fades: what the
// arm showed last stays the best word on what is wrong outside.
func (h *past) remember(c release.Count) {
	if c.Total == 0 {
		return
	}
	h.recent.add(c, recentDecay)
	h.moment.add(c, momentDecay)
}

// likelier is how much likelier, in nats, bad requests are at one rate than at
// another, when so many come together.
func likelier(f fading, rate, than, bursts float64) float64 {
	if rate <= 0 || than <= 0 {
		return 0
	}
	return (f.x*math.Log(rate/than) - f.n*(rate-than)) / bursts
}

// shared is how much likelier, in nats, bad requests of the stable arm were at the
// release's rate than at the history's.
func (h *past) shared(f fading, rate float64) float64 {
	if h.fresh.x == 0 || h.fresh.n == 0 {
		return 0
	}
	return likelier(f, h.fresh.x/h.fresh.n, rate, h.bursts)
}

// hold keeps evidence back while what both arms showed while both served cannot tell
// an outage that began then from harm of the release: as long as an outage may last,
// and then while the harm wanes. What was once kept back stays so, however the release's
// rate changes.
func (h *past) hold(b *baseline, at time.Time, logE float64) float64 {
	doubted := !h.doubted.IsZero()
	h.ended = (h.held || doubted) && h.ending(b)
	if doubted && (at.Sub(h.doubted) < outagePatience || h.ended) {
		h.held = h.held || logE > heldBack
		return math.Min(logE, 0)
	}
	if h.sound || h.since.IsZero() {
		return logE
	}
	if logE > 0 && b.before(h) > -math.Log(incidentDoubt) {
		return 0
	}
	if h.recent.n == 0 {
		return logE
	}
	if at.Sub(h.since) >= outagePatience {
		if h.ended {
			return math.Min(logE, 0)
		}
		return logE
	}
	if !h.held && h.overlap.shared(b, h.bursts) < -math.Log(outageDoubt) {
		return logE
	}
	h.held = h.held || logE > heldBack
	return math.Min(logE, 0)
}

// ending reports that the harm wanes or is gone: what the release alone had lately is
// likelier at the history's rate than at that of all its harm. Harm that did is back
// when what there was lately is outageOdds times as likely at the latter.
func (h *past) ending(b *baseline) bool {
	all := h.release.Add(h.suffered)
	least := 0.0
	if h.ended {
		least = math.Log(outageOdds)
	}
	return h.waning() || likelier(h.alone, math.Min(h.ill(b), all.Ratio()), b.rate, h.bursts) < least
}

// waning reports that the release alone does much better lately than it did.
func (h *past) waning() bool {
	return h.alone.x*float64(h.release.Total+h.suffered.Total) < float64(h.release.Bad+h.suffered.Bad)*h.alone.n/2
}

// ill is the least rate of bad requests that an outage is taken to have.
func (h *past) ill(b *baseline) float64 {
	ill := 3*b.rate + leastOutage
	if h.recent.n > 0 {
		ill = math.Max(ill, h.recent.x/h.recent.n)
	}
	return ill
}

// recover forgets what the stable arm suffered once the release alone is back at
// the history's rate: what was wrong outside is over, and no evidence.
func (h *past) recover(b *baseline, c release.Count) {
	h.alone.add(c, recentDecay)
	if h.alone.n < minHistoryRequests || likelier(h.alone, h.ill(b), b.rate, h.doubt) > -math.Log(soundOdds) {
		return
	}
	if h.held {
		h.held = false
		h.bet.giveAway()
		h.release, h.hits, h.routes = release.Count{}, hits{}, nil
	}
	h.sound = true
	h.recent, h.moment, h.suffered = fading{}, fading{}, release.Count{}
}

// prior is the baseline's, unless the stable arm did much worse while it still
// ran: then something outside hurts, and its last ticks are the baseline. They
// only ever soften the test, never sharpen it.
func (h *past) prior(b *baseline, phi float64) (prior gamma, softened bool) {
	g := b.prior(phi)
	out := g
	for _, f := range [...]fading{h.recent, h.moment} {
		// A burst is one event here too: it is no outage.
		events := f.x / h.bursts
		if f.x < 1.5*f.n*g.mean() || f.x < f.n*out.mean() {
			continue
		}
		plain := events >= 3 && mathext.RegIncBeta(events, g.a, f.n/(h.bursts*g.b+f.n)) <= outageTail
		// One failure is none: old pods fail some as they stop.
		if !plain && (f.x < 1.5 || h.shared(f, g.mean()) < math.Log(outageOdds) || h.long) {
			continue
		}
		out.a = math.Min(g.a, math.Min(events+0.5, outageEvents))
		out.b = out.a / math.Min(1, f.x/f.n)
		softened = true
	}
	return out, softened
}

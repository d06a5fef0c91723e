package judge

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	// Without history, so many requests of the stable arm fix the baseline.
	minStableRequests = 200
	// How far above what is needed the evidence of health may rise, in nats. It is
	// what a release that was fine for an hour has to lose before it is no longer
	// called healthy: about five unexpected failures.
	healthMargin = 10
	// Share of the absolute test. It knows the limit and is the faster one; the
	// relative test is for trouble of both arms, which shows in many requests.
	absoluteShare = 0.8
	// Requests that the baseline's rate is worth when the release's is guessed.
	guessWeight = 200
)

// healthSteps are the alternatives of the relative test of health, as factors
// on the odds of the border.
var healthSteps = [...]float64{0.85, 0.65, 0.45, 0.25}

// health is the reverse test: its null is that the release is worse than the
// policy tolerates. One part is absolute (against the limit p*), one relative
// (against the stable arm). Harm as the policy means it makes both nulls true, so
// their weighted mean is an e-value.
type health struct {
	ratio, increase float64
	known           bool    // the baseline's proportion is fixed
	base            float64 // p_b
	limit           float64 // p*

	relative, absolute wealth
	release, stable    release.Count
	bad, total         float64 // of the release since the absolute test began
}

func newHealth(cfg Config, b *baseline) health {
	h := health{
		ratio: cfg.HealthyRatio, increase: cfg.HealthyIncrease,
		relative: newWealth(len(healthSteps), firstShareHealth),
		absolute: newWealth(1, firstShareHealth),
	}
	h.absolute.cap = math.Log(1/(absoluteShare*cfg.Beta)) + healthMargin
	h.relative.cap = math.Log(1/((1-absoluteShare)*cfg.Beta)) + healthMargin
	if b.known {
		h.fix(b.whole.Ratio())
	}
	return h
}

// fix freezes the baseline's proportion and with it the limit.
func (h *health) fix(base float64) {
	h.known = true
	h.base = base
	// Where bad requests are the larger part the ratio bounds the good ones, so
	// that the limit stays below 1.
	h.limit = math.Max(planeFor(h.ratio, base).at(base), math.Min(base+h.increase, (1+base)/2))
}

// step plays one tick; exposed is the release's at the past's mix of routes.
func (h *health) step(c, exposed, s release.Count, guess, phi float64) {
	if !h.known {
		h.release, h.stable = h.release.Add(c), h.stable.Add(s)
		if h.stable.Total < minStableRequests {
			return
		}
		// These ticks of the stable arm make the limit and are used up by it; the
		// release's so far are tested against it at once.
		h.fix(h.stable.Ratio())
		h.playAbsolute(h.release, phi)
		return
	}
	if c.Total == 0 {
		return
	}
	h.playAbsolute(exposed, phi)
	if s.Total > 0 {
		h.playRelative(c, s, guess, phi)
	}
}

// playAbsolute multiplies by (q/p*)^f ((1−q)/(1−p*))^(n−f), q < p* guessed from
// the past.
func (h *health) playAbsolute(c release.Count, phi float64) {
	if c.Total == 0 || h.limit <= 0 || h.limit >= 1 {
		return
	}
	q := h.guess()
	var inc [maxExperts]float64
	inc[0] = logRatio(float64(c.Bad), float64(c.Total), q, h.limit) / phi
	h.absolute.step(&inc)
	h.bad += float64(c.Bad)
	h.total += float64(c.Total)
}

// guess is the release's proportion as its past has it, kept below the limit.
// It does not start at nothing: one failure would then cost too much.
func (h *health) guess() float64 {
	start := math.Max(h.base, 0.1*h.limit)
	q := (h.bad + guessWeight*start) / (h.total + guessWeight)
	return math.Min(math.Max(q, 0.05*h.limit), 0.8*h.limit)
}

func (h *health) playRelative(c, s release.Count, guess, phi float64) {
	nc, fc, ns, fs := float64(c.Total), float64(c.Bad), float64(s.Total), float64(s.Bad)
	var inc [maxExperts]float64
	if guess >= commonBad {
		proportionIncrements(&inc, planeFor(h.ratio, guess), healthSteps[:], nc, fc, ns, fs, guess, 1/phi)
	} else {
		rho := nc / (nc + ns)
		for j, step := range healthSteps {
			inc[j] = LogConditional(fc, fs, rho, h.ratio*step, h.ratio) / phi
		}
	}
	h.relative.step(&inc)
}

// logE is the weighted mean of both.
func (h *health) logE() float64 {
	return logAdd(h.absolute.logE()+math.Log(absoluteShare), h.relative.logE()+math.Log(1-absoluteShare))
}

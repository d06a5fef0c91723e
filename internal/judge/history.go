package judge

import (
	"math"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	// Fewer requests than this before the rollout are no history.
	minHistoryRequests = 100
	// Windows are joined to this many blocks to see how the rate drifts.
	historyBlocks = 8
	// The rate of the next half hour is never known better than this, however
	// long the history.
	driftFloor = 0.05
	// A release's tick may pay a bet at most this multiple of the expected rate.
	betLimit = 30
)

// LogGammaHistory is ln E of x bad ones among n requests after a rollout when
// the rate before it is known to be Gamma(a, b), against relative risk 1: the
// mean over rs of r^{−a} ((b+n)/(b/r+n))^{a+x}.
func LogGammaHistory(a, b, x, n float64, rs []float64) float64 {
	total := math.Inf(-1)
	for _, r := range rs {
		total = logAdd(total, logGammaHistory(a, b, x, n, r, 1))
	}
	return total - math.Log(float64(len(rs)))
}

// logGammaHistory is the log-likelihood ratio of relative risk r against r0.
func logGammaHistory(a, b, x, n, r, r0 float64) float64 {
	return -a*math.Log(r/r0) + (a+x)*math.Log((b/r0+n)/(b/r+n))
}

// gamma is what is known of a rate: Gamma(a, b).
type gamma struct{ a, b float64 }

func (g gamma) mean() float64 { return g.a / g.b }

// baseline is the workload before the rollout.
type baseline struct {
	known   bool
	count   release.Count
	scatter scatter
	rate    float64 // p̂

	wander float64 // variance of the rate between blocks, beyond noise
	// nullRatio is the tolerated relative risk at this rate, ratios the
	// alternatives; both stay within probabilities where bad requests are common.
	nullRatio float64
	ratios    [len(effectSteps)]float64
}

func newBaseline(windows []release.Count, r0 float64) baseline {
	var b baseline
	for _, c := range windows {
		c = sane(c)
		b.count = b.count.Add(c)
		b.scatter.add(c)
	}
	if b.count.Total < minHistoryRequests {
		return b
	}
	b.known = true
	n, x := float64(b.count.Total), float64(b.count.Bad)
	b.rate = (x + 0.5) / (n + 1)
	b.wander = blockVariance(windows, b.count, measure(&b.scatter).middle()*b.rate*(1-b.rate))

	null := planeFor(r0, b.rate).at(b.rate)
	b.nullRatio = null / b.rate
	odds := null / (1 - null)
	for j, step := range effectSteps {
		b.ratios[j] = odds * step / (1 + odds*step) / b.rate
	}
	return b
}

// prior is what the history says of the rate when phi bad requests come
// together: a burst is one event. Jeffreys' half of an event keeps a history
// without failures from claiming a rate of 0, the more so the larger a burst may
// be. The variance is that of the estimate, of the drift seen and of the drift
// that is always assumed.
func (b *baseline) prior(phi float64) gamma {
	n, x := float64(b.count.Total), float64(b.count.Bad)
	mean := (x + 0.5*phi) / (n + phi)
	noise := mean * (1 - mean)
	drift := driftFloor * noise
	variance := phi*noise/n + b.wander + drift*drift
	return gamma{a: mean * mean / variance, b: mean / variance}
}

// blockVariance is the variance of the rate between blocks of about as many
// requests each, beyond noise (the variance of one request's outcome, bursts
// included). It sees drifts that are slow against a tick.
func blockVariance(windows []release.Count, all release.Count, noise float64) float64 {
	n, x := float64(all.Total), float64(all.Bad)
	mean := x / n
	var blocks, squares, spread float64
	var block release.Count
	for i, c := range windows {
		block = block.Add(sane(c))
		if float64(block.Total) < n/historyBlocks && i < len(windows)-1 || block.Total == 0 {
			continue
		}
		size := float64(block.Total)
		d := float64(block.Bad)/size - mean
		blocks++
		squares += size * size
		spread += size * d * d
		block = release.Count{}
	}
	free := n - squares/n
	if blocks < 2 || free <= 0 {
		return 0
	}
	return math.Max(0, (spread-(blocks-1)*noise)/free)
}

// past is the test of the release against history: ticks in which the stable
// arm has no requests.
type past struct {
	bet, count wealth
	release    release.Count // in those ticks
	// suffered are those during an outage that the stable arm had too: they are not
	// held against history afterwards.
	suffered release.Count
	hits     int // of those ticks, with bad requests
	// Bad requests and requests of the latest ticks, fading: of the stable arm
	// while it ran, and of the release alone.
	recent, moment, alone fading
	fresh                 fading    // of the release in all ticks
	since                 time.Time // the first of those ticks
	held                  bool      // evidence was kept back
	bursts                float64   // φ, of the history and of the release from tick to tick
	sound                 bool      // the release alone was as the history at some time
}

func newPast() past {
	return past{bet: newWealth(len(betShares), firstShareHarm), count: newWealth(len(effectSteps), firstShareHarm)}
}

// step plays one tick of the release alone. phi is the dispersion as known
// before it; counts weigh 1/φ, as the prior's do.
func (h *past) step(b *baseline, at time.Time, c release.Count, phi float64) {
	if h.since.IsZero() {
		h.since = at
	}
	x, n := float64(c.Bad), float64(c.Total)
	g, softened := h.prior(b, phi)
	nullB := g.b / b.nullRatio
	seen := h.release
	if softened {
		seen = h.suffered
	}
	seenX, seenN := float64(seen.Bad)/phi, float64(seen.Total)/phi
	var inc [maxExperts]float64

	// The rate the null expects is learned upwards from the release itself, never
	// downwards: a release that did better at first owes nothing.
	expected := math.Max(g.a/nullB, (g.a+seenX)/(nullB+seenN))
	betIncrements(&inc, math.Min(x/n, betLimit*expected), expected)
	h.bet.step(&inc)

	// So for the counts: what was better than is tolerated is not learned, or the way
	// back to it would pass for harm.
	if seenX*nullB < g.a*seenN {
		seenX, seenN = 0, 0
	}
	// Where bad requests are common they scatter less than a Poisson count by
	// 1−p; by the inequality of means the ratio to that power is still fair.
	common := 1 / (1 - b.rate)
	xw, nw := x*common/phi, n*common/phi
	shape := g.a + seenX*common
	null0 := nullB + seenN*common
	for j, r := range b.ratios {
		alt := g.b/r + seenN*common
		inc[j] = shape*math.Log(alt/null0) - (shape+xw)*math.Log((alt+nw)/(null0+nw))
	}
	h.count.step(&inc)
	if softened {
		h.suffered = h.suffered.Add(c)
	} else {
		h.release = h.release.Add(c)
		if c.Bad > 0 {
			h.hits++
		}
	}
	h.recover(b, c)
}

// logE is the mean of three: the bet, the counts tick by tick, and all counts at
// once. The last is weighed by the dispersion as known now. Tick by tick, what a
// short history has to say is said in the first ticks, when nothing is known of
// bursts and a failure counts least; at once, it is said again with what was
// learned since. No tick is worth more there than elsewhere.
func (h *past) logE(b *baseline, phi float64) float64 {
	ticks := logAdd(h.bet.logE(), h.count.logE())
	if h.release.Total == 0 {
		return ticks - math.Ln2
	}
	g := b.prior(phi)
	weight := 1 / (phi * (1 - b.rate))
	x, n := float64(h.release.Bad), float64(h.release.Total)
	atOnce := b.logGammas(g, weight*x, weight*n)
	return logAdd(ticks, math.Min(atOnce, float64(h.hits)*maxTickGain)) - math.Log(3)
}

// logWithout is the evidence of x bad ones among n against history at once.
func (b *baseline) logWithout(x, n, phi float64) float64 {
	weight := 1 / (phi * (1 - b.rate))
	return b.logGammas(b.prior(phi), weight*x, weight*n)
}

// logGammas is the mean over the alternatives.
func (b *baseline) logGammas(g gamma, x, n float64) float64 {
	total := math.Inf(-1)
	for _, r := range b.ratios {
		total = logAdd(total, logGammaHistory(g.a, g.b, x, n, r, b.nullRatio))
	}
	return total - math.Log(float64(len(b.ratios)))
}

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
	// long the history. Drift of the size that a policy tolerates comes beside it.
	driftFloor = 0.03
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
	known    bool
	whole    release.Count // all windows
	count    release.Count // those since an incident began that goes on
	scatter  scatter
	hits     hits
	failures bool    // bad requests are failures
	apart    bool    // pods are told apart in hits
	rate     float64 // p̂
	lately   lately

	wander drift // of the rate between blocks
	bursty drift // of the rate of hits
	// nullRatio is the tolerated relative risk at this rate, ratios the
	// alternatives; both stay within probabilities where bad requests are common.
	nullRatio float64
	ratios    [len(effectSteps)]float64
}

func newBaseline(windows []release.Count, pods []Hits, r0 float64) baseline {
	b := baseline{apart: len(pods) == len(windows) && len(pods) > 0}
	for _, c := range windows {
		b.whole = b.whole.Add(sane(c))
	}
	first := incident(windows)
	windows = windows[first:]
	hit := make([]release.Count, len(windows)) // pods with bad ones, of the requests
	for i, c := range windows {
		c = sane(c)
		in := hitsOf(c, nil, false)
		if b.apart {
			in = pods[first+i]
		}
		b.count = b.count.Add(c)
		b.scatter.add(c)
		b.hits.add(c, in)
		hit[i] = release.Count{Total: c.Total, Bad: int64(in.Bad)}
	}
	if b.count.Total < minHistoryRequests {
		return b
	}
	b.known, b.lately = true, newLately(windows)
	n, x := float64(b.count.Total), float64(b.count.Bad)
	b.rate = (x + 0.5) / (n + 1)
	phi := measure(&b.scatter).middle()
	b.wander = driftOf(windows, b.count, phi*b.rate*(1-b.rate), phi)
	phi = measure(&b.hits.spread).middle()
	b.bursty = driftOf(hit, release.Count{Total: b.count.Total, Bad: int64(b.hits.with)}, phi*(float64(b.hits.with)+0.5)/(n+1), phi)

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
func (b *baseline) prior(phi float64) gamma { return b.priorOf(phi, b.wander.variance) }

// priorOver is the same for the mean rate over so many requests of the release: the
// longer that is the more of the drift evens out.
func (b *baseline) priorOver(phi, requests float64) gamma {
	return b.priorOf(phi, b.wander.between(requests))
}

func (b *baseline) priorOf(phi, wander float64) gamma {
	n, x := float64(b.count.Total), float64(b.count.Bad)
	mean := (x + 0.5*phi) / (n + phi)
	noise := mean * (1 - mean)
	drift := driftFloor * noise
	variance := phi*noise/n + wander + drift*drift
	return gamma{a: mean * mean / variance, b: mean / variance}
}

// drift is how the rate wanders, slowly against a tick.
type drift struct {
	variance float64 // of a block's rate, beyond noise
	size     float64 // requests of a block
	distinct float64 // the share of blocks that are news, given their neighbours
	blocks   float64
}

// driftOf measures it between blocks of about as many requests each. noise is the
// variance of one request's outcome, phi of it from bursts. What noise makes of the
// blocks nine times in ten is no drift: taken for one, a few bursts would make any
// later rate plausible. Blocks of few bursts scatter more than the chi-squared law
// says: sizes of bursts are taken to be geometric, by which a block of l of them has
// an excess kurtosis of 6/l.
func driftOf(windows []release.Count, all release.Count, noise, phi float64) drift {
	const tenth = 1.2816 // the normal law's upper 10 % quantile
	n, x := float64(all.Total), float64(all.Bad)
	mean := x / n
	out := drift{size: n / historyBlocks}
	var squares, spread, beside, last float64
	var block release.Count
	for i, c := range windows {
		block = block.Add(sane(c))
		if float64(block.Total) < out.size && i < len(windows)-1 || block.Total == 0 {
			continue
		}
		size := float64(block.Total)
		d := float64(block.Bad)/size - mean
		out.blocks++
		squares += size * size
		spread += size * d * d
		beside += size * d * last
		last, block = d, release.Count{}
	}
	free := n - squares/n
	if out.blocks < 2 || free <= 0 {
		return drift{}
	}
	bursts := math.Max(x/phi/out.blocks, 0.1)
	likely := out.blocks - 1 + tenth*math.Sqrt(2*(out.blocks-1)*(1+3/bursts))
	out.variance = math.Max(0, (spread-likely*noise)/free)
	// The correlation of neighbours, without the bias of so few.
	r := 1.0
	if spread > 0 {
		r = math.Min(math.Max(beside/spread+1/out.blocks, 0), 1)
	}
	out.distinct = (1 - r) / (1 + r)
	return out
}

// between is the variance of the difference of two means: that of the history, and
// that of so many requests after it.
func (d drift) between(requests float64) float64 {
	if d.variance == 0 {
		return 0
	}
	mean := func(blocks float64) float64 { return 1 / math.Max(1, blocks*d.distinct) }
	return d.variance * math.Min(1, mean(d.blocks)+mean(requests/d.size))
}

// past is the test of the release against history: ticks in which the stable
// arm has no requests.
type past struct {
	bet     wealth
	release release.Count // in those ticks
	// suffered are those during an outage that the stable arm had too: they are not
	// held against history afterwards.
	suffered release.Count
	hits     hits // of those ticks
	// Bad requests and requests of the latest ticks, fading: of the stable arm
	// while it ran, and of the release alone.
	recent, moment, alone fading
	fresh                 fading    // of the release in all ticks
	since                 time.Time // the first of those ticks
	overlap               overlap
	held, ended           bool      // evidence was kept back, of harm that then waned
	doubted               time.Time // since when others have trouble too
	long                  bool      // the release is alone for longer than an outage lasts
	routes                byRoute
	bursts, doubt         float64 // φ, of the history and of the release from tick to tick; its upper bound
	sound                 bool    // the release alone was as the history at some time
}

func newPast(tick time.Duration) past {
	return past{bet: newWealth(len(betShares), firstShareHarm), overlap: overlap{tick: tick.Seconds()}}
}

// step plays one tick of the release alone. phi is the dispersion as known
// before it.
func (h *past) step(b *baseline, at time.Time, c release.Count, in Hits, strata []Stratum, phi float64) {
	if h.since.IsZero() {
		h.since = at
	}
	h.long = at.Sub(h.since) >= outagePatience
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
	if softened {
		h.suffered = h.suffered.Add(c)
	} else {
		h.release = h.release.Add(c)
		h.hits.add(c, in)
		if b.failures && b.count == b.whole { // their pasts are not told from before an incident
			h.routes.add(strata)
		}
	}
	h.recover(b, c)
}

// logE is the mean of three: the bet tick by tick, all counts at once, and all bursts
// at once. The latter two are weighed by what is known now of how bad requests come
// together: tick by tick, what a short history has to say would be said in the first
// ticks, when nothing is known of that and a failure counts least. No tick is worth
// more there than it can be in the bet.
func (h *past) logE(b *baseline, phi float64) float64 {
	bet := h.bet.logE()
	if h.release.Total == 0 {
		return bet
	}
	x, n := float64(h.release.Bad), float64(h.release.Total)
	counts, bursts := b.logAtOnce(b.tempered(x, n, phi), n, phi), b.logBursts(&h.hits, x, n)
	if one, judged := h.routes.logE(b, phi); judged {
		counts = logAdd(counts+math.Log(1-routeShare), one+math.Log(routeShare))
	}
	if math.IsInf(bursts, -1) {
		bursts = counts
	}
	limit := float64(h.hits.ticks) * maxTickGain
	return logAdd(logAdd(bet, math.Min(counts, limit))-math.Ln2, math.Min(bursts, limit)) - math.Ln2
}

// logAtOnce is the evidence of x bad ones among n against the history, all at once,
// when phi of them come together.
func (b *baseline) logAtOnce(x, n, phi float64) float64 {
	weight := 1 / (phi * (1 - b.rate))
	return b.logGammas(b.priorOver(phi, n), weight*x, weight*n)
}

// logGammas is the weighted mean over the alternatives.
func (b *baseline) logGammas(g gamma, x, n float64) float64 {
	total := math.Inf(-1)
	for i, r := range b.ratios {
		total = logAdd(total, logGammaHistory(g.a, g.b, x, n, r, b.nullRatio)+logPastWeights[i])
	}
	return total
}

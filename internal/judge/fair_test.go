package judge

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"
)

// Each building block is an e-value: its expectation under every law of the null
// is at most 1. These tests sum the expectation exactly over all outcomes.

func binomial(n int, p float64) []float64 {
	out := make([]float64, n+1)
	d := distuv.Binomial{N: float64(n), P: p}
	for k := range out {
		out[k] = d.Prob(float64(k))
	}
	return out
}

func TestConditionalFactorsAreFairUpToTheToleratedRisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rho := rapid.Float64Range(0.02, 0.98).Draw(t, "rho")
		r0 := rapid.Float64Range(1, 1.5).Draw(t, "r0")
		r := rapid.Float64Range(0.2, 1).Draw(t, "of r0") * r0
		phi := rapid.Float64Range(1, 8).Draw(t, "phi")
		sum := rapid.IntRange(1, 40).Draw(t, "failures")
		law := binomial(sum, Share(rho, r))
		var inc [maxExperts]float64
		var count, bet [maxExperts]float64
		for f, p := range law {
			conditionalIncrements(&inc, float64(f), float64(sum-f), rho, r0, 1/phi)
			for j := range effectSteps {
				count[j] += p * math.Exp(inc[j])
			}
			betIncrements(&inc, float64(f)/float64(sum), Share(rho, r0))
			for j := range betShares {
				bet[j] += p * math.Exp(inc[j])
			}
		}
		for j := range effectSteps {
			if count[j] > 1+1e-9 {
				t.Fatalf("count expert %d has expectation %v", j, count[j])
			}
		}
		for j := range betShares {
			if bet[j] > 1+1e-9 {
				t.Fatalf("betting expert %d has expectation %v", j, bet[j])
			}
		}
	})
}

func TestABetIsFairAlsoWhenFailuresComeInBursts(t *testing.T) {
	// One burst takes all failures of the tick to one arm: the share of failures
	// is 1 with probability θ(r0), else 0. The independent form is not fair here.
	const rho, r0, size = 0.3, 1.1, 20
	theta := Share(rho, r0)
	var all, none [maxExperts]float64
	betIncrements(&all, 1, theta)
	betIncrements(&none, 0, theta)
	for j := range betShares {
		near(t, "bet", theta*math.Exp(all[j])+(1-theta)*math.Exp(none[j]), 1, 1e-12)
	}
	conditionalIncrements(&all, size, 0, rho, r0, 1)
	conditionalIncrements(&none, 0, size, rho, r0, 1)
	if e := theta*math.Exp(all[2]) + (1-theta)*math.Exp(none[2]); e < 100 {
		t.Errorf("untempered expectation %v: this case no longer shows why bursts matter", e)
	}
}

func TestTheRatioOfProportionsIsFairOnTheWholeNull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.Float64Range(1, 1.6).Draw(t, "r")
		guess := rapid.Float64Range(0.005, 0.9).Draw(t, "guess")
		nc := rapid.IntRange(1, 12).Draw(t, "nc")
		ns := rapid.IntRange(1, 12).Draw(t, "ns")
		harm := rapid.Bool().Draw(t, "harm")
		plane := planeFor(r, guess)
		ps := rapid.Float64Range(0.001, 0.999).Draw(t, "ps")
		var pc float64
		steps := effectSteps[:]
		if harm { // null: at most the border
			pc = rapid.Float64Range(0, 1).Draw(t, "u") * math.Min(1, plane.at(ps))
		} else { // null: at least the border
			low := math.Min(1, plane.at(ps))
			pc = low + (1-low)*rapid.Float64Range(0, 1).Draw(t, "u")
			if plane.at(ps) > 1 {
				t.Skip("no release is that bad")
			}
			steps = healthSteps[:]
		}
		lawC, lawS := binomial(nc, pc), binomial(ns, ps)
		var e, inc [maxExperts]float64
		for fc, p := range lawC {
			for fs, q := range lawS {
				proportionIncrements(&inc, plane, steps, float64(nc), float64(fc), float64(ns), float64(fs), guess, 1)
				for j := range steps {
					e[j] += p * q * math.Exp(inc[j])
				}
			}
		}
		for j := range steps {
			if e[j] > 1+1e-7 {
				t.Fatalf("expert %d has expectation %v at release %v, stable %v", j, e[j], pc, ps)
			}
		}
	})
}

func TestHistoryIsFairForAGammaRate(t *testing.T) {
	// x is negative binomial when the rate is Gamma(a, b): the expectation of the
	// published form is 1 exactly, for each alternative.
	const a, b, n = 3.5, 4000.0, 900.0
	for _, r := range effectSteps {
		sum, p := 0.0, n/(b+n)
		for x := 0.0; x < 3000; x++ {
			logP := logGamma(a+x) - logGamma(a) - logGamma(x+1) + a*math.Log1p(-p) + x*math.Log(p)
			sum += math.Exp(logP + logGammaHistory(a, b, x, n, r, 1))
		}
		near(t, "expectation", sum, 1, 1e-6)
	}
}

func TestHistoryOfCommonBadRequestsMayBeSharpenedByTheGoodShare(t *testing.T) {
	// A Poisson ratio to the power 1/(1−p) is fair for a binomial count of
	// proportion p (inequality of means), which is what past.step relies on.
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.Float64Range(0.01, 0.95).Draw(t, "p")
		r := rapid.Float64Range(1.001, 30).Draw(t, "r")
		n := rapid.IntRange(1, 30).Draw(t, "n")
		sum := 0.0
		for x, q := range binomial(n, p) {
			logRatio := (float64(x)*math.Log(r) - float64(n)*p*(r-1)) / (1 - p)
			sum += q * math.Exp(logRatio)
		}
		if sum > 1+1e-9 {
			t.Fatalf("expectation %v", sum)
		}
	})
}

func TestTheAbsoluteTestOfHealthIsFairAtAndAboveTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Float64Range(0.005, 0.9).Draw(t, "limit")
		q := limit * rapid.Float64Range(0.02, 0.8).Draw(t, "q")
		p := limit + (1-limit)*rapid.Float64Range(0, 1).Draw(t, "worse")
		n := rapid.IntRange(1, 60).Draw(t, "n")
		sum := 0.0
		for f, mass := range binomial(n, p) {
			sum += mass * math.Exp(logRatio(float64(f), float64(n), q, limit))
		}
		if sum > 1+1e-9 {
			t.Fatalf("expectation %v", sum)
		}
	})
}

func TestWealthOfFairBetsKeepsItsExpectation(t *testing.T) {
	// All 2^10 paths of two experts on a fair coin.
	var walk func(w wealth, depth int) float64
	up, down := math.Log(1.6), math.Log(0.4)
	walk = func(w wealth, depth int) float64 {
		if depth == 0 {
			return math.Exp(w.logE())
		}
		heads, tails := w, w
		heads.step(&[maxExperts]float64{up, down})
		tails.step(&[maxExperts]float64{down, up})
		return (walk(heads, depth-1) + walk(tails, depth-1)) / 2
	}
	near(t, "expectation", walk(newWealth(2, firstShareHarm), 10), 1, 1e-12)
	capped := newWealth(2, firstShareHealth)
	capped.cap = math.Log(2)
	if e := walk(capped, 10); e > 1 {
		t.Errorf("a cap raised the expectation to %v", e)
	}
}

func TestNoSingleTickGainsMoreThanItsLimit(t *testing.T) {
	w := newWealth(1, firstShareHarm)
	w.step(&[maxExperts]float64{1000})
	if got := w.logE(); got > maxTickGain {
		t.Errorf("one tick gained %v nats, the limit is %v", got, maxTickGain)
	}
}

// inLogs is a wealth kept in logarithms: slower, and never out of range.
type inLogs struct {
	first, reserve float64
	played         int
	log            []float64
}

func (w *inLogs) step(inc *[maxExperts]float64) {
	left := (1 - w.first) * reserveTicks / (reserveTicks + float64(w.played))
	stake := math.Log((w.reserve - left) / float64(len(w.log)))
	w.reserve = left
	w.played++
	for j := range w.log {
		w.log[j] = logAdd(w.log[j], stake) + math.Min(inc[j], maxTickGain)
	}
}

func (w *inLogs) logE() float64 {
	sum := math.Log(w.reserve)
	for _, l := range w.log {
		sum = logAdd(sum, l)
	}
	return sum
}

func TestCapitalIsTheSameAsInLogarithmsHoweverLongItIsPlayed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWealth(2, firstShareHarm)
		ref := inLogs{first: firstShareHarm, reserve: 1, log: []float64{math.Inf(-1), math.Inf(-1)}}
		for range rapid.IntRange(1, 8).Draw(t, "stretches") {
			gain := rapid.Float64Range(-8, 6).Draw(t, "gain")
			for range rapid.IntRange(1, 400).Draw(t, "ticks") {
				inc := [maxExperts]float64{gain, gain / 3}
				w.step(&inc)
				ref.step(&inc)
			}
			if rapid.Bool().Draw(t, "gives away") {
				over := math.Max(0, ref.logE())
				for j := range ref.log {
					ref.log[j] -= over
				}
				w.giveAway()
			}
			if got, want := w.logE(), ref.logE(); !(math.Abs(got-want) <= 1e-6*math.Max(1, math.Abs(want))) {
				t.Fatalf("%g, want %g", got, want)
			}
		}
	})
}

package judge

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mathext"
	"pgregory.net/rapid"
)

func near(t *testing.T, name string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %.14g, want %.14g", name, got, want)
	}
}

func TestPublishedValuesAreReproduced(t *testing.T) {
	steps := []float64{1.25, 1.5, 2, 3, 5, 10}
	near(t, "grid mixture", LogGridMixture(12, 8, 0.2, 1, steps), 6.45669340755, 5e-12)
	near(t, "closed form, two cells", math.Exp(-LogMultinomial([]float64{.8, .2}, []float64{148, 62}, 100)), .045579631759249686, 1e-14)
	near(t, "closed form, three cells", math.Exp(-LogMultinomial([]float64{.1, .4, .5}, []float64{40, 129, 233}, 100)), .04845591105969517, 1e-14)
	near(t, "two proportions", math.Exp(LogTwoProportions([2]float64{.3, .7}, [2]float64{2, 2}, [2]float64{1, 2})), 1.6464, 1e-12)
	near(t, "gamma history", LogGammaHistory(20, 1e4, 30, 5000, []float64{1.5, 2, 3, 5}), 6.52583562261, 5e-12)

	two := BestNormalMixture(100, .05, false)
	near(t, "two-sided rho", two.Rho, 12.60056, 5e-6)
	near(t, "two-sided lnM", two.LogM(10, 100), -.6510052, 5e-8)
	near(t, "two-sided bound", two.Bound(100, .05), 30.35209, 5e-6)
	one := BestNormalMixture(100, .05, true)
	near(t, "one-sided lnM", one.LogM(10, 100), -.06502391, 5e-9)
	near(t, "one-sided bound", one.Bound(100, .05), 27.66071, 5e-6)

	low, high := BernoulliInterval(700, 1000, .05, 100)
	near(t, "Bernoulli low", low, .651629, 1e-6) // published cut off, not rounded
	near(t, "Bernoulli high", high, .745949, 1e-6)
}

func TestTheIntervalOfManyIsThatOfTheExactLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := math.Exp(rapid.Float64Range(math.Log(25), math.Log(1e6)).Draw(t, "x"))
		y := math.Exp(rapid.Float64Range(math.Log(25), math.Log(1e6)).Draw(t, "y"))
		alpha := rapid.SampledFrom([]float64{0.05, 0.01, 0.001, 1e-5}).Draw(t, "alpha")
		low, high := shareInterval(x, y, alpha)
		for _, q := range []struct{ got, want float64 }{
			{low, mathext.InvRegIncBeta(x, y+1, alpha/2)}, {high, mathext.InvRegIncBeta(x+1, y, 1-alpha/2)},
		} {
			if math.Abs(q.got/(1-q.got)/(q.want/(1-q.want))-1) > 0.01 {
				t.Fatalf("%g of %g at %g: %g, exactly %g", x, x+y, alpha, q.got, q.want)
			}
		}
	})
}

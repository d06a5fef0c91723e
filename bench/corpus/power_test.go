package corpus

import (
	"math"
	"testing"
)

func TestTheBestTestFindsWhatTheLawsSay(t *testing.T) {
	for _, c := range []struct {
		says          string
		release, rest arrivals
		want, within  float64
	}{
		{"no harm is found as often as the level says at most", arrivals{1000, 11}, arrivals{1000, 10}, 0, 0.001},
		{"plain harm", arrivals{1e4, 500}, arrivals{1e5, 500}, 1, 1e-9},
		// The null expects 6.3 and 5.7 bursts. It has none in the rest in 0.33 % of all
		// cases, and then 8 or more of the release in 30 %: the level. With harm there are
		// so many in 91 %.
		{"a dozen where there were none", arrivals{1000, 12}, arrivals{1000, 0}, 0.91, 0.005},
		{"hardly any", arrivals{1000, 2}, arrivals{1000, 0.1}, 0.01, 0.02},
	} {
		t.Run(c.says, func(t *testing.T) {
			if got := bestTest(c.release, c.rest); math.Abs(got-c.want) > c.within {
				t.Errorf("power %.4f, want %.4f", got, c.want)
			}
		})
	}
}

func TestTheBestTestIsNeverWorseWithMoreData(t *testing.T) {
	last := 0.0
	for n := 1.0; n < 60; n++ {
		p := bestTest(arrivals{100 * n, 2 * n}, arrivals{200 * n, n})
		if p < last-1e-6 || p > 1+1e-9 || math.IsNaN(p) {
			t.Fatalf("at %g: %g after %g", n, p, last)
		}
		last = p
	}
	if last < 0.99 {
		t.Errorf("twice the rate over 120 bursts is found in %g only", last)
	}
}

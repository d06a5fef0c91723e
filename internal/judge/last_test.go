package judge

import (
	"math"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// slowly is a release on its own that fails every so many ticks, after a past without
// a failure; of eight requests a tick.
func slowly(every int) *Judge {
	s := Signal{Name: release.SignalErrorRatio, Weight: 1}
	for range 120 {
		s.History = append(s.History, of(0, 8))
	}
	j := New(standard(.001), []Signal{s})
	for k := range 120 {
		bad := int64(0)
		if k%every == every-1 {
			bad = 1
		}
		j.Step(epoch.Add(time.Duration(k+1)*tickLength), map[string]Tick{s.Name: {Release: of(bad, 8)}})
	}
	return j
}

func TestTheLastLookFindsWhatAnyLookWouldHaveToPayTooMuchFor(t *testing.T) {
	end := epoch.Add(time.Hour)
	for _, c := range []struct {
		name  string
		every int
		found bool
	}{
		{"two failures are none", 60, false},
		{"eight are too few", 15, false},
		{"thirteen after none in as long are", 9, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := slowly(c.every)
			if a := j.Assess(); a.Regressed {
				t.Fatalf("it was found before the end: %v", a.E)
			}
			j.Last(end)
			a := j.Assess()
			if a.Regressed != c.found || a.AtLast != c.found || a.Regressed && (!a.RegressedAt.Equal(end) || a.E < a.Threshold) {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestTheLastLookTakesNoNoticeOfWhatIsKeptBack(t *testing.T) {
	j := slowly(9)
	j.Doubt(epoch.Add(120*tickLength), epoch.Add(120*tickLength)) // others fail too now
	for k := range 3 {
		j.Step(epoch.Add(time.Duration(121+k)*tickLength), map[string]Tick{release.SignalErrorRatio: {Release: of(1, 8)}})
	}
	j.Last(epoch.Add(124 * tickLength))
	if a := j.Assess(); a.Regressed {
		t.Errorf("regressed: %+v", a)
	}
}

func TestDoubtTakesBackWhatTheLastLookFound(t *testing.T) {
	j := slowly(9)
	j.Last(epoch.Add(time.Hour))
	j.Doubt(epoch.Add(time.Hour), epoch.Add(time.Hour))
	if a := j.Assess(); a.Regressed || a.AtLast || a.E >= a.Threshold {
		t.Errorf("%+v", a)
	}
}

func TestARateThatIsKnownWellGivesThePoissonLawsTail(t *testing.T) {
	b := baseline{nullRatio: 1.1}
	for _, c := range []struct{ x, n float64 }{{3, 1000}, {20, 10000}, {90, 60000}} {
		got := b.pValue(gamma{a: 1e9, b: 1e12}, c.x, c.n) // one in a thousand
		want := 1 - distuv.Poisson{Lambda: 1.1e-3 * c.n}.CDF(c.x-1)
		if math.Abs(got-want) > 1e-4*want {
			t.Errorf("%v or more of %v: %v, want %v", c.x, c.n, got, want)
		}
	}
	// Gamma(1, 100) predicts a geometric law: (n/(n + 100/1.1))^x.
	if got, want := b.pValue(gamma{a: 1, b: 100}, 7, 100), math.Pow(1.1/2.1, 7); math.Abs(got-want) > 1e-9 {
		t.Errorf("%v, want %v", got, want)
	}
}

// A burst of geometric size has a tail of its own: the sum of many is no more likely to
// be large than Chernoff's bound says, and the law of Poisson would say it is rarer.
func TestManyBurstsCountAsTheyAreRare(t *testing.T) {
	const expected, size, x = 8, 8, 90.0
	phi := 2*size - 1.0
	y, mean := asBursts(x, expected, phi)/phi, expected/phi
	rarity := y*math.Log(y/mean) - y + mean
	// P(S ≥ x) of a Poisson number of geometric sizes, summed by Panjer's recursion.
	probability := panjer(expected/size, size, int(x))
	if rarity > -math.Log(probability) || rarity < -math.Log(probability)-4 {
		t.Errorf("rarity %v, but the probability is %v, e^-%v", rarity, probability, -math.Log(probability))
	}
	if plain := x/phi*math.Log(x/expected) - (x-expected)/phi; plain < -math.Log(probability) {
		t.Errorf("the law of Poisson alone says %v: nothing would have to be done", plain)
	}
}

// panjer is the probability of a sum of x or more over a Poisson number of geometric
// sizes.
func panjer(bursts, size float64, x int) float64 {
	p := make([]float64, x)
	p[0] = math.Exp(-bursts)
	below := p[0]
	for k := 1; k < x; k++ {
		for j := 1; j <= k; j++ {
			f := math.Pow(1-1/size, float64(j-1)) / size
			p[k] += bursts / float64(k) * float64(j) * f * p[k-j]
		}
		below += p[k]
	}
	return 1 - below
}

func TestBadRequestsInBurstsNeverCountMoreThanTheyAreNorLessThanIsExpected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expected := rapid.Float64Range(1e-6, 1e6).Draw(t, "expected")
		x := expected * rapid.Float64Range(0, 1e4).Draw(t, "times")
		phi := rapid.Float64Range(1, 1e3).Draw(t, "phi")
		got, more := asBursts(x, expected, phi), asBursts(x*1.1, expected, phi)
		switch {
		case math.IsNaN(got) || got > x || got < math.Min(x, expected)-1e-9*expected:
			t.Fatalf("%v of %v expected count as %v", x, expected, got)
		case more < got-1e-6*got:
			t.Fatalf("%v count as %v, but %v as %v", x, got, x*1.1, more)
		case phi == 1 && got != x:
			t.Fatalf("single ones count as %v", got)
		}
	})
}

package heldout

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// dice is where all chance comes from.
type dice struct{ *rand.Rand }

// diceOf are those of one scene. Numbers that follow one another are mixed first, so
// that their streams have nothing in common.
func diceOf(seed uint64, number int) dice {
	mixed := rand.NewPCG(seed, uint64(number))
	for range 8 {
		mixed.Uint64()
	}
	return dice{rand.New(rand.NewPCG(mixed.Uint64(), mixed.Uint64()))}
}

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

// between draws from a uniform law.
func (d dice) between(low, high float64) float64 { return low + (high-low)*d.Float64() }

func (d dice) letters(n int, of string) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = of[d.IntN(len(of))]
	}
	return string(out)
}

// kubeLetters are what Kubernetes makes suffixes of; hexLetters serve digests.
const (
	kubeLetters = "bcdfghjklmnpqrstvwxz2456789"
	hexLetters  = "0123456789abcdef"
)

func (d dice) uid() string {
	return d.letters(8, hexLetters) + "-" + d.letters(4, hexLetters) + "-4" + d.letters(3, hexLetters) + "-a" +
		d.letters(3, hexLetters) + "-" + d.letters(12, hexLetters)
}

func (d dice) poisson(mean float64) float64 {
	switch {
	case mean <= 0:
		return 0
	case mean < 8:
		// By products of uniform numbers: the quickest where few come.
		limit, n := math.Exp(-mean), -1.0
		for p := 1.0; p > limit || n < 0; n++ {
			p *= d.Float64()
		}
		return n
	}
	return distuv.Poisson{Lambda: mean, Src: d.Rand}.Rand()
}

func (d dice) binomial(n, p float64) float64 {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case n == 1:
		if d.Float64() < p {
			return 1
		}
		return 0
	}
	return distuv.Binomial{N: n, P: p, Src: d.Rand}.Rand()
}

// geometric draws the size of a burst with a mean of its own.
func (d dice) geometric(mean float64) float64 {
	if mean <= 1 {
		return 1
	}
	return 1 + math.Floor(math.Log(1-d.Float64())/math.Log(1-1/mean))
}

// bursts draws how many failures come in a number of bursts.
func (d dice) bursts(n, mean float64) float64 {
	if mean <= 1 {
		return n
	}
	if n > 200 {
		return math.Max(n, math.Round(n*mean+math.Sqrt(n*mean*(mean-1))*d.NormFloat64()))
	}
	sum := 0.0
	for range int(n) {
		sum += d.geometric(mean)
	}
	return sum
}

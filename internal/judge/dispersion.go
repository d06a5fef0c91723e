package judge

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// What is believed of the dispersion before anything was seen, as so many
// observed windows with that dispersion. It keeps a baseline with hardly any
// failure from passing for proof that failures never come in bursts.
const (
	priorWindows    = 2.0
	priorDispersion = 1.5
)

// scatter sums what the dispersion φ of an arm's windows is estimated from:
// Pearson's statistic Σ(f−np̂)²/(np̂(1−p̂)) over its degrees of freedom is 1 for
// independent requests and the mean size of a burst, weighted by size, for
// requests that fail together.
type scatter struct {
	// successive takes the differences of windows that follow one another instead
	// of those from the mean (von Neumann). A burst counts as before, but the
	// onset of lasting harm counts once: it must not pass for a burst.
	successive bool

	windows, hits int     // windows with requests; with bad ones
	n, f, square  float64 // Σn, Σf, Σf²/n
	last          release.Count
	steps         float64 // Σ (difference of ratios)² / (1/n + 1/n of the last)
}

func (s *scatter) add(c release.Count) {
	if c.Total == 0 {
		return
	}
	n, f := float64(c.Total), float64(c.Bad)
	s.windows++
	if f > 0 {
		s.hits++
	}
	s.n += n
	s.f += f
	s.square += f * f / n
	if s.last.Total > 0 {
		d := f/n - s.last.Ratio()
		s.steps += d * d / (1/n + 1/float64(s.last.Total))
	}
	s.last = c
}

// pearson returns the statistic, its degrees of freedom and its variance for
// independent requests; nothing without bad ones.
func (s *scatter) pearson() (sum, freedom, variance float64) {
	if s.windows < 2 || s.f <= 0 || s.f >= s.n {
		return 0, 0, 0
	}
	p := s.f / s.n
	freedom = float64(s.windows - 1)
	sum = math.Max(0, s.square-s.f*p)
	if s.successive {
		sum = s.steps
	}
	perWindow := s.f / float64(s.windows)
	return sum / (p * (1 - p)), freedom, freedom * (2 + 1/perWindow)
}

// dispersion is φ estimated over arms, each about its own mean.
type dispersion struct {
	estimate float64 // φ̂; 1 when nothing is known
	freedom  float64 // how many normal windows the estimate is worth
}

func measure(arms ...*scatter) dispersion {
	var sum, freedom, variance, hits float64
	for _, a := range arms {
		s, f, v := a.pearson()
		if f == 0 {
			continue
		}
		sum, freedom, variance, hits = sum+s, freedom+f, variance+v, hits+float64(a.hits)
	}
	if freedom == 0 {
		return dispersion{estimate: 1}
	}
	// Rare failures scatter more than the chi-squared law says (its moments give
	// the first bound), and windows without any say nothing of bursts.
	return dispersion{estimate: sum / freedom, freedom: math.Min(2*freedom*freedom/variance, hits)}
}

// upper is the upper 90 % bound of φ, at least 1.
func (d dispersion) upper() float64 {
	nu := d.freedom + priorWindows
	return math.Max(1, (d.freedom*d.estimate+priorWindows*priorDispersion)/chiSquaredTenth(nu))
}

// likely is the upper 85 % bound of φ, at least 1.
func (d dispersion) likely() float64 {
	nu := d.freedom + priorWindows
	const z = -1.0364333894937898
	h := 2 / (9 * nu)
	c := 1 - h + z*math.Sqrt(h)
	return math.Max(1, (d.freedom*d.estimate+priorWindows*priorDispersion)/(nu*c*c*c))
}

// middle is φ shrunk towards 1, at least 1: for what may err to both sides.
func (d dispersion) middle() float64 {
	return math.Max(1, (d.freedom*d.estimate+priorWindows)/(d.freedom+priorWindows))
}

// chiSquaredTenth is the 10 % quantile of the chi-squared law (Wilson & Hilferty).
func chiSquaredTenth(nu float64) float64 {
	const z = -1.2815515655446004
	h := 2 / (9 * nu)
	c := 1 - h + z*math.Sqrt(h)
	return nu * c * c * c
}

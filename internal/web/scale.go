package web

import (
	"math"
	"time"
)

// niceStep is the smallest of 1, 2, 2.5 or 5 times a power of ten that cuts
// span into at most n pieces.
func niceStep(span float64, n int) float64 {
	raw := span / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		// The tolerance keeps a span that is a whole number of steps from
		// rounding up to the next one.
		if m*power >= raw*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// timeSteps are distances between marks of a time axis that people read easily.
var timeSteps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// timeMarks are at most n+1 round moments in [from, to].
func timeMarks(from, to time.Time, n int) []time.Time {
	step := timeSteps[len(timeSteps)-1]
	for _, s := range timeSteps {
		if to.Sub(from) <= time.Duration(n)*s {
			step = s
			break
		}
	}
	for to.Sub(from) > time.Duration(n)*step {
		step *= 2
	}
	var marks []time.Time
	for t := from.Truncate(step); !t.After(to); t = t.Add(step) {
		if !t.Before(from) {
			marks = append(marks, t)
		}
	}
	return marks
}

// decadeMarks are at most n+1 whole exponents of ten in [lo, hi].
func decadeMarks(lo, hi float64, n int) []int {
	step := 1
	for math.Floor(hi)-math.Ceil(lo) > float64(n*step) {
		step++
	}
	var marks []int
	for e := int(math.Ceil(lo)); float64(e) <= hi; e++ {
		if e%step == 0 {
			marks = append(marks, e)
		}
	}
	return marks
}

// Package rivals has other ways to judge a rollout, re-implemented from their
// descriptions, to be measured on the same rollouts. Each is told what both arms did
// minute by minute, without an error, and uses the defaults or the examples of its
// documentation: what a team has that installs it and tunes nothing.
package rivals

import (
	"math"
	"slices"

	"github.com/watchtower-verify/watchtower/bench/corpus"
)

// Rival is one way to judge.
type Rival struct {
	Name, Says string
	// Judge looks at minutes, of which the release begins with the one at start. It
	// answers after how many minutes the release is rejected, below 0 for never.
	Judge func(minutes []corpus.Minute, start int) int
}

// All lists them.
func All() []Rival {
	return []Rival{
		{"Mann-Whitney (Kayenta)", "error ratio, p50 and p99 by minute against the stable arm or else the half hour before, 98 % confidence, tolerance 0.25, score below 75; every 10 minutes", kayenta},
		{"thresholds (Flagger)", "success rate of 99 % and p99 of 500 ms each minute, 5 failed checks", flagger},
		{"thresholds (Argo Rollouts)", "success rate of 95 % each 5 minutes, more than 3 failures", argo},
		{"burn rate (SLO 99.9 %)", "14.4 over 1 h and 5 min, or 6 over all and 30 min, of the whole workload", burnRate},
	}
}

// kayenta is the judge of Netflix' and Google's Kayenta: two-sided Mann-Whitney
// intervals of the shift between the series of both arms; "high" where the interval
// lies above a quarter of the estimated shift.
func kayenta(minutes []corpus.Minute, start int) int {
	for end := start + 10; end <= min(start+30, len(minutes)); end += 10 {
		var canary, control, before []corpus.Arm
		for _, m := range minutes[start:end] {
			canary, control = append(canary, m.Release), append(control, m.Stable)
		}
		for _, m := range minutes[max(0, start-30):start] {
			before = append(before, m.Stable)
		}
		if busy(control) < 5 {
			control = before
		}
		failed := 0
		metrics := []func(corpus.Arm) float64{errorRatio, quantile(0.5), quantile(0.99)}
		for _, of := range metrics {
			low, _, estimate, ok := Shift(values(canary, of), values(control, of), 0.98)
			if ok && low > 0.25*math.Abs(estimate) {
				failed++
			}
		}
		if score := 100 * (len(metrics) - failed) / len(metrics); score < 75 {
			return end - start
		}
	}
	return -1
}

func busy(arms []corpus.Arm) int {
	n := 0
	for _, a := range arms {
		if a.Requests > 0 {
			n++
		}
	}
	return n
}

func values(arms []corpus.Arm, of func(corpus.Arm) float64) []float64 {
	var out []float64
	for _, a := range arms {
		if a.Requests > 0 {
			out = append(out, of(a))
		}
	}
	return out
}

// Shift is the Hodges-Lehmann estimate of how much larger the values of an
// experiment are than a control's, with the interval of the Mann-Whitney test by its
// normal approximation; false where either has too few values.
func Shift(experiment, control []float64, confidence float64) (low, high, estimate float64, ok bool) {
	m, n := float64(len(experiment)), float64(len(control))
	if m < 4 || n < 4 {
		return 0, 0, 0, false
	}
	var d []float64
	for _, x := range experiment {
		for _, y := range control {
			d = append(d, x-y)
		}
	}
	slices.Sort(d)
	z := math.Sqrt2 * math.Erfinv(confidence)
	k := int(math.Max(1, math.Floor(m*n/2-z*math.Sqrt(m*n*(m+n+1)/12))))
	half := len(d) / 2
	estimate = d[half]
	if len(d)%2 == 0 {
		estimate = (d[half-1] + d[half]) / 2
	}
	return d[k-1], d[len(d)-k], estimate, true
}

func errorRatio(a corpus.Arm) float64 { return a.Failed / a.Requests }

// quantile reads a quantile off the buckets as PromQL does.
func quantile(q float64) func(corpus.Arm) float64 {
	bounds := corpus.Bounds()
	return func(a corpus.Arm) float64 {
		total := 0.0
		for _, n := range a.Slower {
			total += n
		}
		rank, low := q*total, 0.0
		for i, n := range a.Slower {
			if rank <= n && n > 0 {
				if math.IsInf(bounds[i], 1) {
					return low
				}
				return low + (bounds[i]-low)*rank/n
			}
			rank, low = rank-n, bounds[i]
		}
		return low
	}
}

func flagger(minutes []corpus.Minute, start int) int {
	failed := 0
	for k := start; k < min(start+30, len(minutes)); k++ {
		a := minutes[k].Release
		if a.Requests == 0 {
			continue
		}
		if errorRatio(a) > 0.01 || quantile(0.99)(a) > 0.5 {
			failed++
		}
		if failed >= 5 {
			return k - start + 1
		}
	}
	return -1
}

func argo(minutes []corpus.Minute, start int) int {
	failed := 0
	for end := start + 5; end <= min(start+30, len(minutes)); end += 5 {
		a := sum(minutes[end-5:end], true)
		if a.Requests > 0 && errorRatio(a) > 0.05 {
			failed++
		}
		if failed > 3 {
			return end - start
		}
	}
	return -1
}

func sum(minutes []corpus.Minute, releaseOnly bool) corpus.Arm {
	var out corpus.Arm
	for _, m := range minutes {
		out.Requests += m.Release.Requests
		out.Failed += m.Release.Failed
		if !releaseOnly {
			out.Requests += m.Stable.Requests
			out.Failed += m.Stable.Failed
		}
	}
	return out
}

// burnRate is the multi-window alert of the SRE workbook, on what there is of the
// longer windows. One that fired when the rollout began is not the release's.
func burnRate(minutes []corpus.Minute, start int) int {
	const budget = 0.001
	burns := func(end, window int) float64 {
		a := sum(minutes[max(0, end-window):end], false)
		if a.Requests == 0 {
			return 0
		}
		return errorRatio(a) / budget
	}
	fires := func(end int) bool {
		return burns(end, 60) > 14.4 && burns(end, 5) > 14.4 || burns(end, 360) > 6 && burns(end, 30) > 6
	}
	if fires(start) {
		return -1
	}
	for end := start + 1; end <= min(start+30, len(minutes)); end++ {
		if fires(end) {
			return end - start
		}
	}
	return -1
}

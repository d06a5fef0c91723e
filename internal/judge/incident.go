package judge

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// incidentOdds is how many nats it takes to believe that the workload was in trouble
// before the rollout began.
const incidentOdds = 5

// incident is the first window of the trouble that the workload was in when the
// rollout began; 0 where it was in none. What went before is not what the release is
// to be held against. Bad requests come together as they do from window to window.
func incident(windows []release.Count) int {
	together := scatter{successive: true}
	var rest, late release.Count
	for _, c := range windows {
		c = sane(c)
		rest = rest.Add(c)
		together.add(c)
	}
	if rest.Bad == 0 {
		return 0
	}
	phi := measure(&together).upper()
	first, most := 0, incidentOdds*phi
	for i := len(windows) - 1; i > 0; i-- {
		c := sane(windows[i])
		late = late.Add(c)
		rest = release.Count{Total: rest.Total - c.Total, Bad: rest.Bad - c.Bad}
		if late.Total < minHistoryRequests || rest.Total == 0 || late.Ratio() <= rest.Ratio() {
			continue
		}
		if gain := twoRates(late, rest); gain > most {
			first, most = i, gain
		}
	}
	if !goesOn(windows[first:]) {
		return 0
	}
	return first
}

// goesOn reports that the later half of the windows is not much better than all.
func goesOn(windows []release.Count) bool {
	var all, later release.Count
	for i, c := range windows {
		all = all.Add(sane(c))
		if i >= len(windows)/2 {
			later = later.Add(sane(c))
		}
	}
	return later.Ratio() >= all.Ratio()/2
}

// twoRates is how much likelier, in nats, both counts are at rates of their own than
// at one, by the law of Poisson.
func twoRates(a, b release.Count) float64 {
	one := float64(a.Bad+b.Bad) / float64(a.Total+b.Total)
	gain := func(c release.Count) float64 {
		if c.Bad == 0 {
			return 0
		}
		return float64(c.Bad) * math.Log(c.Ratio()/one)
	}
	return gain(a) + gain(b)
}

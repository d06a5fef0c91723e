package judge

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	// routeShare of the evidence of counts is that of single routes: harm of one is
	// found among the requests of many others.
	routeShare = 0.25
	// routeDrift is how well the rate of a route is ever known: it depends on who asks.
	routeDrift = 0.1
	// commonRoute is the share of failures from which on a route is no longer judged by
	// the law of Poisson.
	commonRoute = 0.2
)

// byRoute is what each route of the release did in the ticks without the stable arm,
// and what it did before the rollout, in the order of the ticks' strata.
type byRoute []oneRoute

type oneRoute struct{ release, past release.Count }

func (r *byRoute) add(strata []Stratum) {
	if len(strata) < 2 || len(strata) > maxStrata {
		return
	}
	for len(*r) < len(strata) {
		*r = append(*r, oneRoute{})
	}
	for i, k := range strata {
		(*r)[i].release = (*r)[i].release.Add(sane(k.Release))
		(*r)[i].past = sane(k.Past)
	}
}

// logE is the mean evidence of the routes against their own pasts when phi bad requests
// come together; judged is false where no route has a past to be held against.
func (r byRoute) logE(b *baseline, phi float64) (logE float64, judged bool) {
	total, n := math.Inf(-1), 0
	r.compare(b, phi, func(g gamma, x, requests float64) {
		n++
		total = logAdd(total, b.logGammas(g, x, requests))
	})
	return total - math.Log(math.Max(1, float64(n))), n > 0
}

// pValue is the least of the routes', of which there are n.
func (r byRoute) pValue(b *baseline, phi float64) (least float64, n int) {
	least = 1
	r.compare(b, phi, func(g gamma, x, requests float64) {
		n++
		least = math.Min(least, b.pValue(g, x, requests))
	})
	return least, n
}

// compare calls each with the bad requests of every route that has a past, the requests
// they are among, and what the past says of their rate.
func (r byRoute) compare(b *baseline, phi float64, each func(g gamma, x, n float64)) {
	for _, k := range r {
		if k.past.Total < minHistoryRequests || k.past.Ratio() >= commonRoute {
			continue
		}
		requests, n := float64(k.past.Total), float64(k.release.Total)
		mean := (float64(k.past.Bad) + 0.5*phi) / (requests + phi)
		wander := math.Sqrt(b.wander.between(n)) / b.rate
		variance := phi*mean*(1-mean)/requests + (wander*wander+routeDrift*routeDrift)*mean*mean
		weight := 1 / (phi * (1 - mean))
		x := asBursts(float64(k.release.Bad), mean*b.nullRatio*n, phi)
		each(gamma{a: mean * mean / variance, b: mean / variance}, weight*x, weight*n)
	}
}

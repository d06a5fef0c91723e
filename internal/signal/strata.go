package signal

import (
	"cmp"
	"slices"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

const (
	// A route is told apart that had so many requests in the moments before the
	// rollout, and such a share of them.
	stratumRequests = 20
	stratumShare    = 0.02
)

// rank settles which routes are told apart: the busiest ones of the stable arm in
// the moments before counting begins. These are the same whenever they are looked
// at, so that a restarted Watchtower counts by the same routes.
func (t *tracked) rank() {
	t.ranked = true
	byRoute := map[string]float64{}
	total := 0.0
	for i := range t.round.own.metas {
		m := &t.round.own.metas[i]
		if m.ignored || m.bound >= 0 || m.to.arm != armStable || (m.feed.what != feedRequests && m.feed.what != feedNative) {
			continue
		}
		n := risen(t.round.own.entries[i].Samples, t.start)
		byRoute[m.route] += n
		total += n
	}
	type route struct {
		name string
		n    float64
	}
	var busy []route
	for name, n := range byRoute {
		if n >= stratumRequests && n >= stratumShare*total {
			busy = append(busy, route{name, n})
		}
	}
	slices.SortFunc(busy, func(a, b route) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.name, b.name))
	})
	if len(busy) < 2 {
		return
	}
	t.routes = map[string]int32{}
	for i, r := range busy[:min(len(busy), maxStrata-1)] {
		t.strata = append(t.strata, r.name)
		t.routes[r.name] = int32(i)
	}
}

// settleStrata says of each series to which route it belongs. The routes of
// callers are theirs, and are not told apart.
func (t *tracked) settleStrata(b *batch) {
	for i := range b.metas {
		m := &b.metas[i]
		if t.routes == nil || m.feed.view != viewServer {
			continue
		}
		at, ok := t.routes[m.route]
		if !ok {
			at = int32(len(t.strata))
		}
		m.stratum = at
	}
}

// risen is how far a counter came by a time, restarts left aside.
func risen(list []samples.Float, until int64) float64 {
	n := 0.0
	for i := 1; i < len(list) && list[i].Millis <= until; i++ {
		if d := list[i].Value - list[i-1].Value; d > 0 {
			n += d
		}
	}
	return n
}

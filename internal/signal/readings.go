package signal

import (
	"maps"
	"math"
	"slices"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// readings makes the readings of a round and adds them to those that were not
// handed out yet.
func (t *tracked) readings() {
	pods := t.sortedPods()
	latency := [viewCount]layout{t.layout(viewServer), t.layout(viewCallers)}
	for k := range t.round.ticks {
		rd := Reading{
			From: fromMillis(t.pos + int64(k)*t.tick),
			To:   fromMillis(t.pos + int64(k+1)*t.tick),
		}
		for _, p := range pods {
			rd.Fresh = rd.Fresh || p.own.in(k)
			rd.Scraped[p.arm] = rd.Scraped[p.arm] || p.own.in(k) || p.up.in(k)
		}
		if t.dialectKnown() && t.readable(feedRequests, viewServer) {
			rd.Errors = t.pair(pods, viewServer, k)
		}
		if t.callers.dialect != nil && t.readable(feedRequests, viewCallers) {
			rd.Callers = t.pair(pods, viewCallers, k)
		}
		if latency[viewServer].ok {
			rd.Latency = t.latency(pods, viewServer, latency[viewServer], k)
		}
		if latency[viewCallers].ok {
			rd.CallerLatency = t.latency(pods, viewCallers, latency[viewCallers], k)
		}
		t.customs(pods, &rd, k)
		t.quantities(pods, &rd, k)
		t.restarts(pods, &rd, k)
		t.pending = append(t.pending, rd)
	}
}

// sortedPods are the pods in order of name, so that sums are the same each time.
func (t *tracked) sortedPods() []*pod {
	out := make([]*pod, 0, len(t.pods))
	for _, name := range slices.Sorted(maps.Keys(t.pods)) {
		out = append(out, t.pods[name])
	}
	return out
}

// readable reports whether no feed of a kind failed in this round.
func (t *tracked) readable(w what, v view) bool {
	return !slices.ContainsFunc(t.feeds, func(f *feed) bool {
		return f.view == v && f.err != nil && (f.what == w || (w == feedRequests && f.what == feedNative && f.requests))
	})
}

// pair is the requests of both arms in a tick.
func (t *tracked) pair(pods []*pod, v view, k int) *Pair {
	out := &Pair{Release: newArm(), Stable: newArm()}
	strata := 1
	if v == viewServer && t.routes != nil {
		strata = len(t.strata) + 1
		out.Strata = make([]Stratum, strata)
		for s, route := range t.strata {
			out.Strata[s].Route = route
		}
	}
	for _, p := range pods {
		var all release.Count
		for s := range strata {
			column := columnOf(v, int32(s))
			n := p.whole(int(column/2), p.at(t, column, k), p.at(t, column+1, k))
			all = all.Add(n)
			if out.Strata != nil {
				at := &out.Strata[s].Stable
				if p.arm == armRelease {
					at = &out.Strata[s].Release
				}
				*at = at.Add(n)
			}
		}
		out.arm(p.arm).add(p.name, all)
	}
	return out
}

func newArm() Arm { return Arm{Pods: map[string]release.Count{}} }

func (pr *Pair) arm(a armIndex) *Arm {
	if a == armRelease {
		return &pr.Release
	}
	return &pr.Stable
}

// add counts a pod that did something; a nameless one has no line of its own.
func (a *Arm) add(pod string, n release.Count) {
	if n == (release.Count{}) {
		return
	}
	a.Count = a.Add(n)
	if pod != "" {
		a.Pods[pod] = n
	}
}

// whole takes whole requests out of a pod's counts; at tells its carries apart.
func (p *pod) whole(at int, total, bad float64) release.Count {
	if total == 0 && bad == 0 && at >= len(p.carry) {
		return release.Count{}
	}
	for len(p.carry) <= at {
		p.carry = append(p.carry, carry{})
	}
	return p.carry[at].whole(total, bad)
}

// customs are the user's own ratios.
func (t *tracked) customs(pods []*pod, rd *Reading, k int) {
	for i := range t.custom {
		c := &t.custom[i]
		if !c.seen || c.Bad == "" || !t.customReadable(i) {
			continue
		}
		pair := Pair{Release: newArm(), Stable: newArm()}
		column := int32(columnCustom + 2*i)
		for _, p := range pods {
			// Its total is another selector, so what is bad is not part of it by itself.
			pair.arm(p.arm).add(p.name, p.whole(int(column/2), p.at(t, column, k), p.at(t, column+1, k)))
		}
		if rd.Custom == nil {
			rd.Custom = make(map[string]Pair, len(t.custom))
		}
		rd.Custom[c.Name] = pair
	}
}

func (t *tracked) customReadable(i int) bool {
	return !slices.ContainsFunc(t.feeds, func(f *feed) bool { return f.what >= feedBad && f.custom == i && f.err != nil })
}

// restarts are the restarts of containers over pod-seconds.
func (t *tracked) restarts(pods []*pod, rd *Reading, k int) {
	if !t.feeding(feedRestarts) {
		return
	}
	pair := &Pair{Release: newArm(), Stable: newArm()}
	seconds := int64(math.Max(1, float64(t.tick)/1000))
	for _, p := range pods {
		if p.name == "" || !p.present(k) {
			continue
		}
		pair.arm(p.arm).add(p.name, release.Count{Total: seconds, Bad: int64(math.Round(p.at(t, columnRestart, k)))})
		if p.gauge(gaugeOOM, k) > 0 {
			rd.OOMKilled[p.arm]++
		}
	}
	rd.Restarts = pair
}

// present reports whether a pod was there in a tick, by any sample of it.
func (p *pod) present(k int) bool { return p.own.in(k) || p.told.in(k) }

// feeding reports whether a kind of feed is there and was read.
func (t *tracked) feeding(w what) bool {
	found := false
	for _, f := range t.feeds {
		if f.what == w {
			if f.err != nil {
				return false
			}
			found = found || f.known
		}
	}
	return found
}

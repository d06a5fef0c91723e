package signal

import (
	"math"
	"strconv"
	"sync"
)

// podIndex finds whose a pod is.
type podIndex struct {
	prefixes  map[string]map[string][]int // namespace → prefix of the pods' names
	workloads map[string]map[string][]int // namespace → "workload-"
}

func indexPods(owners []owner) podIndex {
	ix := podIndex{map[string]map[string][]int{}, map[string]map[string][]int{}}
	add := func(m map[string]map[string][]int, namespace, name string, i int) {
		if name == "" {
			return
		}
		if m[namespace] == nil {
			m[namespace] = map[string][]int{}
		}
		m[namespace][name] = append(m[namespace][name], i)
	}
	for i, o := range owners {
		add(ix.prefixes, o.namespace, o.prefix, i)
		add(ix.workloads, o.namespace, o.workload, i)
	}
	return ix
}

// find returns the indexes of the owners of a pod.
func (ix podIndex) find(namespace, pod string) []int {
	prefix, ok := cutPod(pod)
	if !ok {
		return nil
	}
	if m := ix.workloads[namespace]; m != nil {
		if w, ok := workloadPrefix(prefix); ok {
			if found := m[w]; found != nil {
				return found
			}
		}
	}
	return ix.prefixes[namespace][prefix]
}

// stage keeps an answer's series with the subjects they belong to, until the
// round is known to be whole.
func (r *Reader) stage(a answer) {
	r.classes.mu.Lock()
	defer r.classes.mu.Unlock()
	index := indexPods(a.owners())
	lanes := make([]lane, len(a.targets))
	for i, target := range a.targets {
		lanes[i] = lane{target.arm, target.slot, target.arm == armRelease, target.begin}
		target.t.begins = append(target.t.begins, begin{target.arm, target.slot, target.begin})
	}
	for i := range a.series {
		s := &a.series[i]
		if len(s.Samples) == 0 {
			continue
		}
		form, namespace, pod := r.cat.identify(s.Labels)
		if form != a.form {
			continue
		}
		for _, at := range index.find(namespace, pod) {
			target := &a.targets[at]
			t := target.t
			if t.entries == nil {
				t.entries = make([]entry, 0, t.expect+t.expect/8)
			}
			t.entries = append(t.entries, entry{
				pod: pod, identity: identify(s.Labels, target.slot), class: r.classes.of(r.cat, target, s.Labels),
				samples: s.Samples, lane: &lanes[at],
			})
		}
	}
}

// classes remembers what label values mean, since the same few come again with
// every series.
type classes struct {
	mu       sync.Mutex
	failures map[failureKey]bool
	routes   map[string]bool
	bounds   map[string]float64
}

type failureKey struct {
	rule  *failureRule
	value string
}

// maxClasses bounds each of the memories; a workload may put anything into a
// route.
const maxClasses = 10_000

// of returns what a series means within its slot.
func (c *classes) of(cat *Catalogue, target *target, set map[string]string) int32 {
	t := target.t
	switch target.slot {
	case slotRequests, slotLatency:
		d := t.arms[target.arm].dialect
		if label, route := d.route(set); c.leftOut(cat, route) {
			if t.leftOut != label {
				t.leftOut, t.stale = label, true
			}
			return classIgnored
		}
		if target.slot == slotLatency {
			seconds, ok := c.bound(set["le"], d.Latency.Unit)
			if !ok {
				return classIgnored
			}
			return t.bound(seconds)
		}
		if c.failed(d, set) {
			return classBad
		}
		return classTotal
	}
	if (target.slot-slotCustom)%2 == 0 {
		return classBad
	}
	return classTotal
}

func (c *classes) leftOut(cat *Catalogue, route string) bool {
	if cat.leaveOut == nil || route == "" {
		return false
	}
	out, ok := c.routes[route]
	if !ok {
		out = cat.leaveOut.MatchString(route)
		c.routes = remember(c.routes, route, out)
	}
	return out
}

// failed applies the first rule whose label the series carries.
func (c *classes) failed(d *dialect, set map[string]string) bool {
	for i := range d.Requests.Failure {
		rule := &d.Requests.Failure[i]
		value := set[rule.Label]
		if value == "" {
			continue
		}
		key := failureKey{rule, value}
		out, ok := c.failures[key]
		if !ok {
			out = rule.pattern.MatchString(value)
			c.failures = remember(c.failures, key, out)
		}
		return out
	}
	return false
}

// bound reads le, which may be written in several ways, as seconds.
func (c *classes) bound(le string, unit bucketsUnit) (float64, bool) {
	v, ok := c.bounds[le]
	if !ok {
		var err error
		if v, err = strconv.ParseFloat(le, 64); err != nil {
			v = math.NaN()
		}
		c.bounds = remember(c.bounds, le, v)
	}
	return v / perSecond[unit], !math.IsNaN(v)
}

func remember[K comparable, V any](m map[K]V, key K, value V) map[K]V {
	if m == nil || len(m) >= maxClasses {
		m = map[K]V{}
	}
	m[key] = value
	return m
}

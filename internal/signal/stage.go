package signal

import (
	"slices"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/internal/signal/count"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// roundOf is what a round of questions brought for one subject, until it is known
// to be whole.
type roundOf struct {
	to                    int64
	ticks                 int
	own, called, exported batch
	gauges                []gauge
	begun                 []begun
}

// batch is the series of counters with what each means.
type batch struct {
	entries  []count.Entry
	metas    []meta
	expected int
}

// meta is what a series means.
type meta struct {
	feed    *feed
	to      *pod
	route   string
	bound   int32 // of a bucket; -1 for others
	stratum int32
	bad     bool
	// ignored: it is not counted, but shows when the pod was scraped.
	ignored bool
}

// gauge is a series of values that are taken as they are.
type gauge struct {
	feed *feed
	to   *pod
	count.Identity
	samples []samples.Float
}

// begun is the beginning of a feed that comes into force when the round succeeds.
type begun struct {
	feed  *feed
	begin count.Beginning
}

// batchOf is where the series of a feed are counted: what pods tell of
// themselves, what callers tell and what exporters tell come from different
// scrapes, and a gap of one must not be taken for one of another.
func (t *tracked) batchOf(f *feed) *batch {
	switch {
	case f.exporter():
		return &t.round.exported
	case f.view == viewCallers:
		return &t.round.called
	}
	return &t.round.own
}

func (t *tracked) countersOf(f *feed) *count.Counters {
	switch {
	case f.exporter():
		return t.exported
	case f.view == viewCallers:
		return t.called
	}
	return t.own
}

// stage keeps an answer's series with the subjects they belong to, until the
// round is known to be whole.
func (r *Reader) stage(a answer) {
	r.meanings.mu.Lock()
	defer r.meanings.mu.Unlock()
	for i := range a.targets {
		target := &a.targets[i]
		target.t.round.begun = append(target.t.round.begun, begun{target.feed, target.begin})
		target.found = 0
	}
	find := a.finder(r.cat)
	if a.targets[0].feed.what == feedNative {
		a.mergeDown(find)
	}
	for i := range a.series {
		s := &a.series[i]
		if len(s.Floats)+len(s.Histograms) == 0 {
			continue
		}
		find(s.Labels, func(target *target, p *pod) {
			target.found++
			if a.form == formCallers && (!target.feed.begun || target.t.callers.sets == nil) {
				_, namespace, name := r.cat.Identify(s.Labels)
				target.t.callers.calledBy(namespace, name)
			}
			r.stageSeries(target, p, s)
		})
	}
	for i := range a.targets {
		a.targets[i].feed.series = a.targets[i].found
	}
}

// finder returns what finds the targets that a series is for, with the pod.
func (a answer) finder(cat *catalogue.Catalogue) func(labels.Labels, func(*target, *pod)) {
	if a.form == formCallers {
		return a.calleeFinder()
	}
	owners := make([]*owner, len(a.targets))
	for i, target := range a.targets {
		owners[i] = &target.t.arms[target.feed.arm].owner
	}
	index := indexPods(owners)
	address := cat.Pods[a.form].Address
	return func(set labels.Labels, found func(*target, *pod)) {
		if address != "" {
			ip := host(set.Get(address))
			for _, at := range index.ips[ip] {
				found(&a.targets[at], a.targets[at].pod(owners[at].ips[ip]))
			}
			return
		}
		form, namespace, name := cat.Identify(set)
		if form != a.form {
			return
		}
		for _, at := range index.find(namespace, name) {
			found(&a.targets[at], a.targets[at].pod(name))
		}
	}
}

// calleeFinder finds the subjects that series of callers are about.
func (a answer) calleeFinder() func(labels.Labels, func(*target, *pod)) {
	d := a.callers
	type about func(labels.Labels) bool
	tests := make([]about, len(a.targets))
	for i, target := range a.targets {
		tests[i] = d.Describes(target.t.workload())
	}
	// The same few callees come again with every series.
	known := map[string][]int{}
	return func(set labels.Labels, found func(*target, *pod)) {
		key := ""
		for _, about := range d.About {
			key += set.Get(about.Label) + "\xff"
			for _, label := range about.From {
				key += set.Get(label) + "\xff"
			}
		}
		subjects, ok := known[key]
		if !ok {
			for i, test := range tests {
				if test(set) {
					subjects = append(subjects, i)
				}
			}
			known = remember(known, key, subjects)
		}
		for _, at := range subjects {
			target := &a.targets[at]
			if p := target.t.callee(d, set); p != nil {
				found(target, p)
			}
		}
	}
}

// callee is the pod that a caller's series is about: a real one where the series
// tells, else a nameless one; nil for a series that does not tell where others
// do, or that is about a pod of neither arm.
func (t *tracked) callee(d *catalogue.Dialect, set labels.Labels) *pod {
	nameless := armRelease
	if t.wholeOf {
		nameless = armStable
	}
	if t.wholeOf || !t.callers.byPods[d] {
		return t.pod("", nameless)
	}
	a, name, ok := t.calleeOf(d, set)
	if !ok {
		return nil
	}
	return t.pod(name, a)
}

// calleeOf reads which pod, or at least which arm, a caller's series is about.
func (t *tracked) calleeOf(d *catalogue.Dialect, set labels.Labels) (armIndex, string, bool) {
	if d.Callee == nil {
		return 0, "", false
	}
	value := set.Get(d.Callee.Label)
	for a := range armCount {
		o := &t.arms[a].owner
		if !t.arms[a].exists {
			continue
		}
		switch d.Callee.Names {
		case catalogue.NamesPodTemplateHash:
			if value != "" && o.prefix == podPrefix(t.subject.Workload+"-"+value) {
				return a, "replicaset " + value, true
			}
		case catalogue.NamesAddress:
			if name := o.ips[host(value)]; name != "" {
				return a, name, true
			}
		default:
			if t.has(a, Pod{Name: value}) || o.named[value] {
				return a, value, true
			}
		}
	}
	return 0, "", false
}

// pod is the pod of the target's arm; it is known by name from now on.
func (target *target) pod(name string) *pod {
	target.t.arms[target.feed.arm].owner.named[name] = true
	return target.t.pod(name, target.feed.arm)
}

// stageSeries keeps one series.
func (r *Reader) stageSeries(target *target, p *pod, s *samples.Series) {
	f, t := target.feed, target.t
	if r.cat.Pods[max(f.form, 0)].Address != "" && f.form >= 0 {
		s = t.since(p, s)
	}
	f.known = true
	if f.gauge() {
		t.round.gauges = append(t.round.gauges, gauge{f, p, identityOf(f, s.Labels), s.Floats})
		return
	}
	m, counted := r.meanings.of(r.cat, target, s.Labels)
	if !counted {
		return
	}
	m.feed, m.to = f, p
	if m.ignored {
		t.add(target, m, identityOf(f, s.Labels), scrapesOf(f, s), false)
		return
	}
	if f.what == feedNative {
		t.stageNative(target, m, s)
		return
	}
	if f.what == feedBuckets {
		if m.to.bounds[f.view] == nil || int(m.bound) >= len(m.to.bounds[f.view]) || !m.to.bounds[f.view][m.bound] {
			p.exports(f.view, m.bound)
		}
	}
	t.add(target, m, identityOf(f, s.Labels), s.Floats, false)
}

// since is a series without what was scraped at the pod's address before the pod
// was there: it was another's.
func (t *tracked) since(p *pod, s *samples.Series) *samples.Series {
	born := millis(t.known[p.name].CreatedAt)
	old := func(at int64) bool { return at <= born }
	return &samples.Series{
		Labels:     s.Labels,
		Floats:     slices.DeleteFunc(slices.Clone(s.Floats), func(f samples.Float) bool { return old(f.Millis) }),
		Histograms: slices.DeleteFunc(slices.Clone(s.Histograms), func(h samples.Histogram) bool { return old(h.Millis) }),
	}
}

// add keeps the samples of one counter.
func (t *tracked) add(target *target, m meta, id count.Identity, floats []samples.Float, rebased bool) {
	if len(floats) == 0 {
		return
	}
	f := target.feed
	b := t.batchOf(f)
	if b.entries == nil { // as many as last time, and some
		n := b.expected + b.expected/8 + 4
		b.entries, b.metas = make([]count.Entry, 0, n), make([]meta, 0, n)
	}
	name := m.to.name
	if f.view == viewCallers {
		name = "" // the processes are the callers'
	}
	b.entries = append(b.entries, count.Entry{
		Pod: t.countersOf(f).Pod(name), Identity: id, Samples: floats,
		Newborn: m.to.arm == armRelease && m.to.name != "", Rebased: rebased,
		Beginning: target.begin, Stats: &t.findings.stats[f.view],
	})
	b.metas = append(b.metas, m)
	if f.what != feedRequests {
		b.entries[len(b.entries)-1].Stats = nil
	}
}

// scrapesOf are the samples of a series as a counter that rests. Where it tells
// whether a scrape succeeded, only of those that did.
func scrapesOf(f *feed, s *samples.Series) []samples.Float {
	out := make([]samples.Float, 0, len(s.Floats)+len(s.Histograms))
	for _, v := range s.Floats {
		if f.what != feedScrapes || v.Value == 1 {
			out = append(out, samples.Float{Millis: v.Millis})
		}
	}
	for _, h := range s.Histograms {
		out = append(out, samples.Float{Millis: h.Millis})
	}
	return out
}

func identityOf(f *feed, set labels.Labels) count.Identity {
	if f.exporter() {
		return count.Exported(set, f.salt())
	}
	return count.Own(set, f.salt())
}

// meaning reads what a series of a feed means; false for one that does not
// count.
func (c *meanings) of(cat *catalogue.Catalogue, target *target, set labels.Labels) (meta, bool) {
	m := meta{bound: -1}
	f, t := target.feed, target.t
	if d := f.dialect; d != nil {
		label, route := d.Route(set)
		if c.leftOut(cat, route) {
			t.findings.leaveOut(label)
			m.ignored = true
			return m, f.what == feedRequests || f.what == feedNative
		}
		m.route = route
	}
	switch f.what {
	case feedBuckets:
		seconds, ok := c.bound(set.Get("le"), f.dialect.Latency.Unit)
		if !ok {
			t.findings.badBound()
			return m, false
		}
		m.bound = t.bound(seconds)
	case feedRequests, feedNative:
		m.bad = f.requests && c.failed(f.dialect, set)
	case feedBad:
		m.bad = true
	case feedScrapes:
		m.ignored = true
	}
	return m, true
}

// bound reads le, which may be written in several ways, as seconds.
func (c *meanings) bound(le string, unit catalogue.Unit) (float64, bool) {
	v, ok := c.bounds[le]
	if !ok {
		var err error
		if v, err = strconv.ParseFloat(le, 64); err != nil {
			v = notANumber
		}
		c.bounds = remember(c.bounds, le, v)
	}
	return v / unit.PerSecond(), v == v
}

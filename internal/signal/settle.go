package signal

import (
	"slices"

	"github.com/watchtower-verify/watchtower/internal/promql"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
)

// settle makes the feeds of what was found. Feeds that stay the same go on where
// they were.
func (t *tracked) settle(cat *catalogue.Catalogue) {
	before := t.feeds
	t.feeds = nil
	latency := t.latencyForm()
	for a := range armCount {
		if d, o := t.arms[a].dialect, t.offerOf(a); d != nil && o != nil {
			t.feedDialect(feed{view: viewServer, arm: a, form: o.form}, d, o, latency)
			t.feeds = append(t.feeds, &feed{what: feedScrapes, arm: a, form: o.form, custom: -1, sel: promql.Metric("up")})
		}
	}
	if d := t.callers.dialect; d != nil {
		o := t.callers.offers[d]
		t.feedDialect(feed{view: viewCallers, arm: t.anyArm(), form: formCallers}, d, o, o.latencyForm())
	}
	for _, res := range cat.Resources {
		if o, ok := t.resources[res.Signal]; ok && o.resource == res {
			for _, a := range t.existing() {
				t.feeds = append(t.feeds, &feed{
					what: resourceFeeds[res.Signal], arm: a, resource: res, form: o.form, custom: -1,
					sel: promql.Metric(res.Metric, catalogue.Matchers(res.Where)...),
				})
			}
		}
	}
	t.feedCustom()
	for i, f := range t.feeds {
		if at := slices.IndexFunc(before, f.same); at >= 0 {
			t.feeds[i] = before[at]
		}
	}
}

func (t *tracked) existing() []armIndex {
	var out []armIndex
	for a := range armCount {
		if t.arms[a].exists {
			out = append(out, a)
		}
	}
	return out
}

// anyArm is the arm that stands for both where the arms are not told apart.
func (t *tracked) anyArm() armIndex {
	if t.arms[armRelease].exists {
		return armRelease
	}
	return armStable
}

// form is how latencies stand: as native or classic histograms, as a sum alone.
type form int

const (
	formNone form = iota
	formSum
	formClassic
	formNative
)

// latencyForm is the best form in which latencies are offered.
func (o *offer) latencyForm() form {
	switch {
	case o == nil:
		return formNone
	case o.native:
		return formNative
	case o.classic:
		return formClassic
	case o.sum:
		return formSum
	}
	return formNone
}

// latencyForm is the best form that both arms have in common; each arm's own,
// which cannot be compared, where they have none.
func (t *tracked) latencyForm() form {
	r, s := t.offerOf(armRelease), t.offerOf(armStable)
	switch {
	case r == nil || t.arms[armRelease].dialect == nil:
		return s.latencyForm()
	case s == nil || t.arms[armStable].dialect == nil:
		return r.latencyForm()
	case r.native && s.native:
		return formNative
	case r.classic && s.classic:
		return formClassic
	case r.sum && s.sum:
		return formSum
	}
	return formNone
}

// feedDialect adds the feeds of a dialect.
func (t *tracked) feedDialect(base feed, d *catalogue.Dialect, o *offer, latency form) {
	base.dialect, base.custom = d, -1
	add := func(w what, metric string, where []catalogue.Where, change func(*feed)) {
		f := base
		f.what, f.sel = w, promql.Metric(metric, catalogue.Matchers(where)...)
		f.requests = w == feedRequests
		if change != nil {
			change(&f)
		}
		t.feeds = append(t.feeds, &f)
	}
	switch {
	case d.Requests.Metric != "":
		add(feedRequests, d.Requests.Metric, d.Requests.Where, nil)
	case o.requests:
		add(feedRequests, d.Requests.Histogram+"_count", d.Requests.Where, nil)
	default:
		both := latency == formNative && d.Latency != nil && d.Latency.Histogram == d.Requests.Histogram
		add(feedNative, d.Requests.Histogram, d.Requests.Where, func(f *feed) { f.requests, f.latency = true, both })
		if both {
			return
		}
	}
	if d.Latency == nil {
		return
	}
	switch h := d.Latency.Histogram; latency {
	case formNative:
		add(feedNative, h, d.Latency.Where, func(f *feed) { f.latency = true })
	case formClassic:
		add(feedBuckets, h+"_bucket", d.Latency.Where, nil)
	case formSum:
		if base.view == viewServer {
			add(feedSum, h+"_sum", d.Latency.Where, nil)
			add(feedCount, h+"_count", d.Latency.Where, nil)
		}
	}
}

// feedCustom adds the feeds of the user's own signals. Where it is not known yet
// which label names the pod, that of the dialect is tried.
func (t *tracked) feedCustom() {
	for i := range t.custom {
		c := &t.custom[i]
		at := c.form
		if at < 0 {
			at = t.dialectForm()
		}
		if c.broken != nil || at < 0 {
			continue
		}
		for _, a := range t.existing() {
			f := feed{arm: a, form: at, custom: i}
			switch {
			case c.Gauge != "":
				f.what, f.expr = feedGauge, c.expr
				t.feeds = append(t.feeds, &f)
			case c.Counter != "":
				f.what, f.sel = feedCounter, c.selectors[0]
				t.feeds = append(t.feeds, &f)
			default:
				bad, total := f, f
				bad.what, bad.sel = feedBad, c.selectors[0]
				total.what, total.sel = feedTotal, c.selectors[1]
				t.feeds = append(t.feeds, &bad, &total)
			}
		}
	}
}

func (t *tracked) dialectForm() int {
	for a := range armCount {
		if o := t.offerOf(a); o != nil && t.arms[a].dialect != nil {
			return o.form
		}
	}
	return -1
}

package signal

import (
	"context"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/promql"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
)

// offered takes note of a series that an arm's pods export, or that an exporter
// tells of them.
func (r *Reader) offered(t *tracked, a armIndex, form int, set labels.Labels) {
	name := set.Get(model.MetricNameLabel)
	for _, d := range r.cat.Dialects {
		if d.Side == catalogue.SideServer && mayBe(d, name) {
			t.offer(&t.arms[a].offers, d, name, form, set)
		}
	}
	for _, res := range r.cat.Resources {
		if res.Metric != name || !all(catalogue.Matchers(res.Where), set) || r.cat.Pods[form].Address != "" {
			continue
		}
		if old, known := t.resources[res.Signal]; !known || form < old.form && old.resource == res {
			t.resources[res.Signal] = resourceOffer{res, form}
		}
	}
}

// offeredByCaller takes note of a series that a caller exports.
func (t *tracked) offeredByCaller(d *catalogue.Dialect, set labels.Labels) {
	t.offer(&t.callers.offers, d, set.Get(model.MetricNameLabel), formCallers, set)
	if _, _, ok := t.calleeOf(d, set); ok && t.callers.offers[d] != nil {
		t.callers.byPods[d] = true
	}
}

// mayBe reports whether a metric is one of a dialect's.
func mayBe(d *catalogue.Dialect, name string) bool {
	if slices.Contains(d.Requests.Names(), name) {
		return true
	}
	return d.Latency != nil && strings.HasPrefix(name, d.Latency.Histogram)
}

// offer takes note of what a series shows of a dialect: that its requests are
// there, and in which forms its latencies are.
func (t *tracked) offer(offers *map[*catalogue.Dialect]*offer, d *catalogue.Dialect, name string, form int, set labels.Labels) {
	o := (*offers)[d]
	if o == nil {
		o = &offer{form: form}
	}
	seen := false
	if slices.Contains(d.Requests.Names(), name) && all(catalogue.Matchers(d.Requests.Where), set) {
		if !d.Fits(set) {
			t.findings.noStatus(d)
			return
		}
		seen = true
		native := d.Requests.Histogram == name
		o.requests, o.requestsNative = o.requests || !native, o.requestsNative || native
		o.form = min(o.form, form)
	}
	if d.Latency != nil && all(catalogue.Matchers(d.Latency.Where), set) {
		switch strings.TrimPrefix(name, d.Latency.Histogram) {
		case "_bucket":
			o.classic, seen = true, true
		case "_sum":
			o.sum, seen = true, true
		case "":
			if set.Get(model.QuantileLabel) == "" { // a summary has its quantiles there
				o.native, seen = true, true
			}
		}
	}
	if seen {
		(*offers)[d] = o
	}
}

func all(ms []*labels.Matcher, set labels.Labels) bool {
	return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(set.Get(m.Name)) })
}

// counts reports whether requests can be counted by what is offered.
func (o *offer) counts() bool { return o != nil && (o.requests || o.requestsNative) }

// offeredCustom takes note of a series that may be of a user's own signal.
func (t *tracked) offeredCustom(form int, set labels.Labels) {
	for i := range t.custom {
		c := &t.custom[i]
		if c.broken != nil || (c.form >= 0 && c.form <= form) {
			continue
		}
		selectors := c.selectors
		if c.Gauge != "" {
			selectors = c.expr.Selectors()
		}
		if slices.ContainsFunc(selectors, func(s promql.Selector) bool { return s.Matches(set) }) {
			c.form = form
		}
	}
}

// refuseGauges withdraws the dialects whose requests the targets declare to be no
// counter: their falls would be taken for restarts.
func (r *Reader) refuseGauges(ctx context.Context, t *tracked) {
	for a := range t.arms {
		for d, o := range t.arms[a].offers {
			name := d.Requests.Metric
			if name == "" || !o.requests {
				continue
			}
			types, err := r.q.Types(ctx, name)
			if err == nil && len(types) == 1 && types[0] == "gauge" {
				delete(t.arms[a].offers, d)
				t.findings.noCounter(name)
			}
		}
	}
}

// choose settles which dialect is read of each arm: the first in the
// catalogue's order that both export; each arm's own first where they have
// none in common. An arm that showed nothing yet is taken to be like the other.
func (t *tracked) choose(cat *catalogue.Catalogue) {
	t.findings.stale = true
	rel, stable := &t.arms[armRelease], &t.arms[armStable]
	pick := func(from ...map[*catalogue.Dialect]*offer) *catalogue.Dialect {
		for _, d := range cat.Dialects {
			if !slices.ContainsFunc(from, func(o map[*catalogue.Dialect]*offer) bool { return !o[d].counts() }) {
				return d
			}
		}
		return nil
	}
	r, s := pick(rel.offers), pick(stable.offers)
	switch {
	case r != nil && s != nil:
		if both := pick(rel.offers, stable.offers); both != nil {
			r, s = both, both
		}
	case r != nil:
		s = r
	default:
		r = s
	}
	t.use(armRelease, r)
	t.use(armStable, s)
	if t.callers.dialect == nil {
		t.callers.dialect = pick(t.callers.offers)
	}
}

// use reads an arm in a dialect from now on.
func (t *tracked) use(a armIndex, d *catalogue.Dialect) {
	arm := &t.arms[a]
	if d == nil || !arm.exists || arm.dialect == d {
		return
	}
	if arm.counted {
		arm.switched = true
		for _, p := range t.pods {
			if p.arm == a {
				p.bounds[viewServer] = nil
			}
		}
	}
	arm.dialect, arm.counted = d, false
}

// offerOf is what an arm offers of its dialect, or the other arm does where this
// one has shown nothing.
func (t *tracked) offerOf(a armIndex) *offer {
	d := t.arms[a].dialect
	if o := t.arms[a].offers[d]; o.counts() {
		return o
	}
	return t.arms[armCount-1-a].offers[d]
}

package signal

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
)

// signal is the name of the signal that a feed serves.
func (f *feed) signal() string {
	switch f.what {
	case feedRequests:
		return release.SignalErrorRatio
	case feedNative:
		if f.requests {
			return release.SignalErrorRatio
		}
		return release.SignalLatency
	case feedBuckets:
		return release.SignalLatency
	case feedSum, feedCount:
		return release.SignalLatencyMean
	case feedCPU:
		return release.SignalCPU
	case feedMemory:
		return release.SignalMemory
	case feedRestarts, feedOOM:
		return release.SignalRestarts
	case feedReady:
		return release.SignalThroughput
	}
	return ""
}

// queries are those of the subject alone, to be pasted and looked at.
func (t *tracked) queries(cat *catalogue.Catalogue, from, to time.Time) []release.Query {
	var out []release.Query
	add := func(signal string, f *feed, expr string) {
		q := release.Query{Source: "prometheus", Signal: signal, Expr: expr, From: from, To: to}
		if f.view == viewCallers {
			q.SeenBy = release.SeenByCallers
		}
		if !slices.Contains(out, q) {
			out = append(out, q)
		}
	}
	for _, f := range t.feeds {
		ms, ok := t.ownMatchers(cat, f)
		if !ok || f.what == feedScrapes {
			continue
		}
		expr := ""
		if f.what == feedGauge {
			expr = f.expr.With(ms)
		} else {
			expr = f.sel.With(ms)
		}
		name := f.signal()
		if f.custom >= 0 {
			name = t.custom[f.custom].Name
		}
		add(name, f, expr)
		if f.what == feedNative && f.requests && f.latency {
			add(release.SignalLatency, f, expr)
		}
		if f.what == feedRequests && f.view == viewServer && t.feeding(feedReady) {
			add(release.SignalThroughput, f, expr)
		}
	}
	return out
}

// ownMatchers select the series of a feed for this subject; those of both arms
// together, where both are read alike.
func (t *tracked) ownMatchers(cat *catalogue.Catalogue, f *feed) ([]*labels.Matcher, bool) {
	var routes []*labels.Matcher
	if f.dialect != nil && t.findings.leftOut != "" && slices.Contains(f.dialect.Routes, t.findings.leftOut) {
		routes = append(routes, textMatcher(labels.MatchNotRegexp, t.findings.leftOut, cat.LeaveOutPattern))
	}
	if f.form == formCallers {
		ms := f.dialect.AboutMatchers([]catalogue.Workload{t.workload()})
		return append(ms, routes...), len(ms) > 0
	}
	var owners []*owner
	for _, o := range t.feeds {
		twin := *o
		twin.arm = f.arm
		if twin.same(f) {
			owners = append(owners, &t.arms[o.arm].owner)
		}
	}
	exact := owners[0].byName
	ms, ok := matchers(cat.Pods[f.form], owners, exact)
	return append(ms, routes...), ok
}

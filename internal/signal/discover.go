package signal

import (
	"context"
	"math/bits"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/promql"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
)

// While nothing is found every read looks again, later every few reads: what
// is missing then is mostly an arm without pods or traffic. What callers and
// exporters tell may be told by nobody: it is looked for after twice as many
// reads each time, and no more in the end.
const (
	eagerAttempts = 8
	lazyEvery     = 4
	lastAttempt   = 64
)

// discover looks up what the pods of those export of which it is not known
// yet, and what others tell of them.
func (r *Reader) discover(ctx context.Context, all []*tracked) {
	var lacking []*tracked
	for _, t := range all {
		if !t.behind() || !t.lacking() {
			continue
		}
		t.attempts++
		if t.looksNow() {
			lacking = append(lacking, t)
		}
	}
	const bytesEach = 200 // of names, in a selector
	size := min(r.budget.size(discoveryBudget), max(1, r.opt.Limits.QueryBytes/bytesEach))
	for chunk := range slices.Chunk(lacking, size) {
		r.discoverChunk(ctx, chunk)
	}
}

// lacking reports whether something of the subject is still to be found.
func (t *tracked) lacking() bool {
	lacksOthers := t.callers.dialect == nil || len(t.resources) < len(resourceFeeds)
	return t.lacksOwn() || t.attempts < 2 || lacksOthers && t.attempts < lastAttempt
}

// looksNow reports whether this attempt of those that are due is made.
func (t *tracked) looksNow() bool {
	if t.lacksOwn() {
		return t.attempts <= eagerAttempts || t.attempts%lazyEvery == 0
	}
	return bits.OnesCount(uint(t.attempts)) == 1
}

// lacksOwn reports whether some arm showed nothing yet, or the user's own signals
// did not.
func (t *tracked) lacksOwn() bool {
	return t.lackingDialect() || slices.ContainsFunc(t.custom, func(c customSignal) bool { return c.broken == nil && c.form < 0 })
}

// lackingDialect reports whether some arm showed nothing yet.
func (t *tracked) lackingDialect() bool {
	return slices.ContainsFunc(t.arms[:], func(a arm) bool { return a.exists && len(a.offers) == 0 })
}

const discoveryBudget = "series"

func (r *Reader) discoverChunk(ctx context.Context, chunk []*tracked) {
	r.discoverPods(ctx, chunk)
	r.discoverCallers(ctx, chunk)
	r.discoverCustom(ctx, chunk)
	for _, t := range chunk {
		if t.err == nil {
			r.refuseGauges(ctx, t)
			t.choose(r.cat)
			t.settle(r.cat)
		}
	}
}

// discoverPods looks for the dialects that pods export, and for what exporters
// tell of them; for pods that no series names, by their addresses.
func (r *Reader) discoverPods(ctx context.Context, chunk []*tracked) {
	var whole, known []*tracked
	for _, t := range chunk {
		if t.lackingDialect() || t.attempts <= 2 {
			whole = append(whole, t)
		} else {
			known = append(known, t)
		}
	}
	r.discoverDialects(ctx, whole)
	var resources []string
	for _, res := range r.cat.Resources {
		resources = append(resources, res.Metric)
	}
	r.look(ctx, known, []promql.Selector{promql.Metrics(resources)}, named, r.offered, false)
}

// named are the labels that say a pod's name.
func named(p catalogue.PodLabels) bool { return p.Address == "" }

func (r *Reader) discoverDialects(ctx context.Context, chunk []*tracked) {
	names, buckets := podMetrics(r.cat)
	selectors := []promql.Selector{promql.Metrics(names), promql.Metrics(buckets, labels.MustNewMatcher(labels.MatchRegexp, model.BucketLabel, `\+Inf|inf|Inf`))}
	r.look(ctx, chunk, selectors, named, r.offered, false)
	var unnamed []*tracked
	for _, t := range chunk {
		if t.lackingDialect() && t.err == nil && len(t.subject.Pods) > 0 {
			unnamed = append(unnamed, t)
		}
	}
	r.look(ctx, unnamed, selectors, func(p catalogue.PodLabels) bool { return p.Address != "" }, r.offered, false)
	// Histograms without the bucket that all have: they are read all the same, so
	// that it can be said what is missing.
	var bare []*tracked
	for _, t := range chunk {
		if t.err == nil && t.attempts == 1 && t.offersNoLatency() {
			bare = append(bare, t)
		}
	}
	r.look(ctx, bare, []promql.Selector{promql.Metrics(buckets)}, named, r.offered, false)
}

// offersNoLatency reports whether some arm shows requests and no latencies.
func (t *tracked) offersNoLatency() bool {
	for a := range t.arms {
		for _, o := range t.arms[a].offers {
			if o.counts() && o.latencyForm() == formNone {
				return true
			}
		}
	}
	return false
}

// discoverCustom looks for the users' own signals, each by itself, so that one
// that the source refuses is in nobody's way.
func (r *Reader) discoverCustom(ctx context.Context, chunk []*tracked) {
	type wanting struct {
		selectors []promql.Selector
		by        []*tracked
	}
	var order []string
	wanted := map[string]*wanting{}
	for _, t := range chunk {
		for i := range t.custom {
			c := &t.custom[i]
			if c.broken != nil || c.form >= 0 || t.err != nil {
				continue
			}
			selectors := c.selectors
			if c.Gauge != "" {
				selectors = c.expr.Selectors()
			}
			key := ""
			for _, s := range selectors {
				key += s.Text() + "\n"
			}
			if wanted[key] == nil {
				wanted[key] = &wanting{selectors: selectors}
				order = append(order, key)
			}
			wanted[key].by = append(wanted[key].by, t)
		}
	}
	for _, key := range order {
		w := wanted[key]
		r.look(ctx, w.by, w.selectors, func(catalogue.PodLabels) bool { return true }, func(t *tracked, _ armIndex, form int, set labels.Labels) {
			t.offeredCustom(form, set)
		}, true)
	}
}

// look lists the series that any of the selectors selects of the chunk's pods,
// under every label that may name a pod. A fault that is the source's is the
// subjects' err where nothing else is known of them.
func (r *Reader) look(ctx context.Context, chunk []*tracked, selectors []promql.Selector, use func(catalogue.PodLabels) bool, found func(*tracked, armIndex, int, labels.Labels), users bool) {
	refs, owners := armsOf(chunk)
	if len(owners) == 0 {
		return
	}
	var texts []string
	for _, form := range r.cat.Pods {
		if !use(form) {
			continue
		}
		ms, ok := matchers(form, owners, false)
		for _, s := range selectors {
			if ok {
				texts = append(texts, s.With(ms))
			}
		}
	}
	if len(texts) == 0 {
		return
	}
	from, to := r.reach(chunk)
	sets, err := r.q.Series(ctx, texts, fromMillis(from), fromMillis(to))
	code := release.ErrorCode(err)
	if code == release.CodeTooExpensive && len(chunk) > 1 {
		half := (len(chunk) + 1) / 2
		r.budget.tooExpensive(discoveryBudget, half)
		r.look(ctx, chunk[:half], selectors, use, found, users)
		r.look(ctx, chunk[half:], selectors, use, found, users)
		return
	}
	if err != nil {
		if users && (code == release.CodeBadQuery || code == release.CodeTooExpensive) {
			return
		}
		for _, t := range chunk {
			if !t.dialectKnown() {
				t.err = typed(err)
			}
		}
		return
	}
	r.budget.affordable(discoveryBudget)
	index := indexPods(owners)
	for _, set := range sets {
		form, at := r.whose(index, set, use)
		for _, i := range at {
			found(refs[i].t, refs[i].arm, form, set)
		}
	}
}

// whose finds the owners of the pod that a series names, and how it does.
func (r *Reader) whose(index podIndex, set labels.Labels, use func(catalogue.PodLabels) bool) (int, []int) {
	if form, namespace, name := r.cat.Identify(set); form >= 0 && use(r.cat.Pods[form]) {
		if at := index.find(namespace, name); len(at) > 0 {
			return form, at
		}
	}
	for i, form := range r.cat.Pods {
		if form.Address != "" && use(form) {
			if at := index.ips[host(set.Get(form.Address))]; len(at) > 0 {
				return i, at
			}
		}
	}
	return -1, nil
}

// reach is the time in which series are looked for.
func (r *Reader) reach(chunk []*tracked) (from, to int64) {
	from, to = chunk[0].pos, chunk[0].until
	for _, t := range chunk {
		to = max(to, t.until)
		from = min(from, t.pos-max(2*t.look, firstReach))
	}
	return from, to
}

// armRef is one arm of a subject.
type armRef struct {
	t   *tracked
	arm armIndex
}

func armsOf(chunk []*tracked) ([]armRef, []*owner) {
	var refs []armRef
	var owners []*owner
	for _, t := range chunk {
		for a := range armCount {
			if t.arms[a].exists {
				refs = append(refs, armRef{t, a})
				owners = append(owners, &t.arms[a].owner)
			}
		}
	}
	return refs, owners
}

// podMetrics are the names of all that pods may export and exporters may tell of
// them, and those of classic histograms, of which one bucket is enough to know
// that they are there.
func podMetrics(cat *catalogue.Catalogue) (names, buckets []string) {
	for _, d := range cat.Dialects {
		if d.Side != catalogue.SideServer {
			continue
		}
		names = append(names, d.Requests.Names()...)
		if d.Latency != nil {
			names = append(names, d.Latency.Histogram, d.Latency.Histogram+"_sum")
			buckets = append(buckets, d.Latency.Histogram+"_bucket")
		}
	}
	for _, res := range cat.Resources {
		names = append(names, res.Metric)
	}
	return names, buckets
}

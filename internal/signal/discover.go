package signal

import (
	"context"
	"slices"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// While nothing is found every read looks again, later every few reads: what
// is missing then is mostly an arm without pods or traffic.
const (
	eagerAttempts = 8
	lazyEvery     = 4
)

// discover looks up what the pods of those export of which it is not known
// yet.
func (r *Reader) discover(ctx context.Context, all []*tracked) {
	var lacking []*tracked
	for _, t := range all {
		if !t.behind() || !t.lacking() {
			continue
		}
		t.attempts++
		if t.attempts <= eagerAttempts || t.attempts%lazyEvery == 0 {
			lacking = append(lacking, t)
		}
	}
	for chunk := range slices.Chunk(lacking, r.budget.size(discoveryBudget)) {
		r.discoverChunk(ctx, chunk)
	}
}

// lacking reports whether something of the subject is still to be found.
func (t *tracked) lacking() bool {
	return t.lackingDialect() || slices.ContainsFunc(t.custom, func(c customSignal) bool { return c.broken == nil && c.form < 0 })
}

// lackingDialect reports whether some arm showed nothing yet.
func (t *tracked) lackingDialect() bool {
	return slices.ContainsFunc(t.arms[:], func(a arm) bool { return a.exists && len(a.offers) == 0 })
}

const discoveryBudget = "series"

func (r *Reader) discoverChunk(ctx context.Context, chunk []*tracked) {
	var open []*tracked // whose dialects are to be settled
	for _, t := range chunk {
		if t.lackingDialect() {
			open = append(open, t)
		}
	}
	var requests []selector
	for _, d := range r.cat.dialects {
		requests = append(requests, d.Requests.selector)
	}
	r.look(ctx, open, requests, func(t *tracked, a armIndex, form int, set map[string]string) {
		t.offered(r.cat, a, form, set)
	})
	for _, t := range open {
		if t.err == nil {
			t.choose(r.cat)
		}
	}
	r.discoverCustom(ctx, chunk)
}

// discoverCustom looks for the users' own signals, each by itself, so that one
// that the source refuses is in nobody's way.
func (r *Reader) discoverCustom(ctx context.Context, chunk []*tracked) {
	type pair struct{ bad, total string }
	type wanting struct {
		bad, total selector
		by         []*tracked
	}
	var order []pair
	wanted := map[pair]*wanting{}
	for _, t := range chunk {
		for _, c := range t.custom {
			if c.broken != nil || c.form >= 0 || t.err != nil {
				continue
			}
			key := pair{c.bad.text, c.total.text}
			if wanted[key] == nil {
				wanted[key] = &wanting{bad: c.bad, total: c.total}
				order = append(order, key)
			}
			wanted[key].by = append(wanted[key].by, t)
		}
	}
	for _, key := range order {
		w := wanted[key]
		r.look(ctx, w.by, []selector{w.total, w.bad}, func(t *tracked, _ armIndex, form int, set map[string]string) {
			t.offeredCustom(form, set)
		})
	}
}

// look lists the series that any of the selectors selects of the chunk's pods,
// under every label that may name a pod. A fault that is the source's is the
// subjects' err where nothing else is known of them.
func (r *Reader) look(ctx context.Context, chunk []*tracked, selectors []selector, found func(*tracked, armIndex, int, map[string]string)) {
	if len(chunk) == 0 {
		return
	}
	from, to := chunk[0].pos, chunk[0].until
	for _, t := range chunk {
		to = max(to, t.until)
		from = min(from, t.pos-2*r.opt.ScrapeLookback.Milliseconds())
	}
	refs, owners := armsOf(chunk)
	if len(owners) == 0 {
		return
	}
	var texts []string
	for _, form := range r.cat.pods {
		m := matchers(form, owners)
		for _, s := range selectors {
			texts = append(texts, s.with(m))
		}
	}
	sets, err := r.q.Series(ctx, texts, fromMillis(from), fromMillis(to))
	code := release.ErrorCode(err)
	if code == release.CodeTooExpensive && len(chunk) > 1 {
		half := (len(chunk) + 1) / 2
		r.budget.tooExpensive(discoveryBudget, half)
		r.look(ctx, chunk[:half], selectors, found)
		r.look(ctx, chunk[half:], selectors, found)
		return
	}
	if err != nil {
		users := slices.ContainsFunc(selectors, func(s selector) bool { return !s.ours })
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
		form, namespace, pod := r.cat.identify(set)
		if form < 0 {
			continue
		}
		for _, i := range index.find(namespace, pod) {
			found(refs[i].t, refs[i].arm, form, set)
		}
	}
}

// armRef is one arm of a subject.
type armRef struct {
	t   *tracked
	arm armIndex
}

func armsOf(chunk []*tracked) ([]armRef, []owner) {
	var refs []armRef
	var owners []owner
	for _, t := range chunk {
		for a := range armCount {
			if t.arms[a].exists {
				refs = append(refs, armRef{t, a})
				owners = append(owners, t.arms[a].owner)
			}
		}
	}
	return refs, owners
}

// offered takes note of a series that an arm's pods export.
func (t *tracked) offered(cat *Catalogue, a armIndex, form int, set map[string]string) {
	for _, d := range cat.dialects {
		if set["__name__"] != d.Requests.Metric {
			continue
		}
		if !d.fits(set) {
			t.noStatus, t.stale = d, true
			continue
		}
		if known, ok := t.arms[a].offers[d]; !ok || form < known {
			t.arms[a].offers[d] = form
		}
	}
}

// offeredCustom takes note of a series that may be of a user's own signal.
func (t *tracked) offeredCustom(form int, set map[string]string) {
	for i := range t.custom {
		c := &t.custom[i]
		if c.broken != nil || (c.form >= 0 && c.form <= form) {
			continue
		}
		if c.total.matches(set) || c.bad.matches(set) {
			if inherited := t.customForm(c); inherited >= 0 && inherited != form {
				t.beginAgain(slotCustom+2*int32(i), slotCustom+2*int32(i)+1)
			}
			c.form = form
		}
	}
}

// beginAgain forgets that counters were asked for; nothing of them was seen.
func (t *tracked) beginAgain(slots ...int32) {
	for a := range t.arms {
		for _, slot := range slots {
			delete(t.arms[a].begun, slot)
		}
	}
}

// customForm is the labels that name the pod in a user's own signal: as found,
// or as in the dialect.
func (t *tracked) customForm(c *customSignal) int {
	if c.form >= 0 {
		return c.form
	}
	if f := t.arms[armRelease].form; f >= 0 {
		return f
	}
	return t.arms[armStable].form
}

// choose settles which dialect is read of each arm: the first in the
// catalogue's order that both export; each arm's own first where they have
// none in common. An arm that showed nothing yet is taken to be like the other.
func (t *tracked) choose(cat *Catalogue) {
	t.stale = true
	rel, stable := &t.arms[armRelease], &t.arms[armStable]
	pick := func(from ...*arm) *dialect {
		for _, d := range cat.dialects {
			if !slices.ContainsFunc(from, func(a *arm) bool { _, ok := a.offers[d]; return !ok }) {
				return d
			}
		}
		return nil
	}
	use := func(a *arm, d *dialect, form int) {
		if d != nil && a.exists {
			t.use(a, d, form)
		}
	}
	switch {
	case len(rel.offers) > 0 && len(stable.offers) > 0:
		r, s := pick(rel), pick(stable)
		if both := pick(rel, stable); both != nil {
			r, s = both, both
		}
		use(rel, r, rel.offers[r])
		use(stable, s, stable.offers[s])
	case len(rel.offers) > 0:
		d := pick(rel)
		use(rel, d, rel.offers[d])
		use(stable, d, rel.offers[d])
	case len(stable.offers) > 0:
		d := pick(stable)
		use(rel, d, stable.offers[d])
		use(stable, d, stable.offers[d])
	}
}

// use reads an arm in a dialect from now on.
func (t *tracked) use(a *arm, d *dialect, form int) {
	if a.dialect == d && a.form == form {
		return
	}
	if a.counted {
		a.switched = true
		for _, p := range t.counters.pods {
			if &t.arms[p.arm] == a {
				p.bounds = nil
			}
		}
	}
	delete(a.begun, slotRequests)
	delete(a.begun, slotLatency)
	a.dialect, a.form, a.counted = d, form, false
}

package backtest

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/promql"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// kubeState reads what kube-state-metrics told of Deployments, ReplicaSets and
// pods. Several instances of it tell the same once.
type kubeState struct{ store *store }

// candidate is a ReplicaSet that was created in the span of time: perhaps a
// release.
type candidate struct {
	namespace, deployment, replicaSet string
	created                           time.Time
	// exported says that the scrape renamed what conflicts with its own labels.
	exported bool
	// next is the ReplicaSet of the same Deployment that was created after it; before is how
	// many were created before it.
	next   *candidate
	before int
}

// findChunk is how long a time is searched for new ReplicaSets at once.
const findChunk = 6 * time.Hour

// find lists the ReplicaSets of Deployments that were created in [from, to), in
// the order of their creation.
func (k kubeState) find(ctx context.Context, from, to time.Time) ([]candidate, error) {
	created := map[[2]string]candidate{}
	for begin := from; begin.Before(to); begin = begin.Add(findChunk) {
		end := begin.Add(findChunk)
		if end.After(to) {
			end = to
		}
		err := halves(ctx, begin, end, func(begin, end time.Time) error { return k.createdIn(ctx, begin, end, created) })
		if err != nil {
			return nil, err
		}
	}
	var out []candidate
	for _, c := range created {
		if !c.created.Before(from) && c.created.Before(to) && c.deployment != "" {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b candidate) int {
		return cmp.Or(a.created.Compare(b.created), strings.Compare(a.namespace, b.namespace), strings.Compare(a.replicaSet, b.replicaSet))
	})
	count, newest := map[[2]string]int{}, map[[2]string]*candidate{}
	for i := range out {
		of := [2]string{out[i].namespace, out[i].deployment}
		out[i].before = count[of]
		count[of]++
	}
	for i := len(out) - 1; i >= 0; i-- {
		of := [2]string{out[i].namespace, out[i].deployment}
		out[i].next, newest[of] = newest[of], &out[i]
	}
	return out, nil
}

// createdIn adds the ReplicaSets that were told of in a span of time and created
// in it or just before.
func (k kubeState) createdIn(ctx context.Context, from, to time.Time, into map[[2]string]candidate) error {
	window := to.Sub(from)
	since := from.Add(-10 * time.Minute).Unix()
	young := fmt.Sprintf("max_over_time(kube_replicaset_created[%s]) >= %d", promDuration(window), since)
	series, err := k.store.at(ctx, young, to)
	if err != nil || len(series) == 0 {
		return err
	}
	owners, err := k.store.at(ctx, fmt.Sprintf(
		`last_over_time(kube_replicaset_owner{owner_kind="Deployment"}[%s]) and on(namespace, exported_namespace, replicaset) (%s)`,
		promDuration(window), young), to)
	if err != nil {
		return err
	}
	for i := range series {
		set := series[i].Labels
		v, ok := lastValue(&series[i])
		if !ok {
			continue
		}
		key := [2]string{labelOf(set, "namespace"), set.Get("replicaset")}
		c := into[key]
		c.namespace, c.replicaSet, c.created = key[0], key[1], time.Unix(int64(v), 0).UTC()
		c.exported = set.Get("exported_namespace") != ""
		into[key] = c
	}
	for i := range owners {
		set := owners[i].Labels
		key := [2]string{labelOf(set, "namespace"), set.Get("replicaset")}
		if c, ok := into[key]; ok {
			c.deployment = set.Get("owner_name")
			into[key] = c
		}
	}
	return nil
}

// deployments names those of a candidate's namespace that had ReplicaSets when it
// was created, in order.
func (k kubeState) deployments(ctx context.Context, c candidate) ([]string, error) {
	sel := promql.Metric("kube_replicaset_owner", c.within(equals("owner_kind", "Deployment"))...)
	series, err := k.last(ctx, sel, c.created.Add(-5*time.Minute), c.created)
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range series {
		out = append(out, series[i].Labels.Get("owner_name"))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func promDuration(d time.Duration) string { return fmt.Sprintf("%ds", max(1, int64(d.Seconds()))) }

func lastValue(s *samples.Series) (float64, bool) {
	if len(s.Floats) == 0 {
		return 0, false
	}
	return s.Floats[len(s.Floats)-1].Value, true
}

// labelOf reads a label that a scrape may have renamed because the target had one
// of that name.
func labelOf(set labels.Labels, name string) string {
	if v := set.Get("exported_" + name); v != "" {
		return v
	}
	return set.Get(name)
}

// within are matchers that keep a selector to a namespace.
func (c *candidate) within(more ...*labels.Matcher) []*labels.Matcher {
	return append([]*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, c.renamed("namespace"), c.namespace)}, more...)
}

// renamed is the name that a label of kube-state-metrics has for this candidate.
func (c *candidate) renamed(name string) string {
	if c.exported {
		return "exported_" + name
	}
	return name
}

func equals(label, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, label, value)
}

// oneOf matches any of the values.
func oneOf(label string, values []string) *labels.Matcher {
	if len(values) == 1 {
		return equals(label, values[0])
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	return labels.MustNewMatcher(labels.MatchRegexp, label, strings.Join(quoted, "|"))
}

// last is the newest sample of each series in a span of time.
func (k kubeState) last(ctx context.Context, s promql.Selector, from, to time.Time) ([]samples.Series, error) {
	var out []samples.Series
	err := halves(ctx, from, to, func(from, to time.Time) error {
		list, err := k.store.at(ctx, fmt.Sprintf("last_over_time(%s[%s])", s.Text(), promDuration(to.Sub(from))), to)
		out = append(out, list...)
		return err
	})
	return out, err
}

// raw are all samples in (from, to].
func (k kubeState) raw(ctx context.Context, s promql.Selector, from, to time.Time) ([]samples.Series, error) {
	var out []samples.Series
	err := halves(ctx, from, to, func(from, to time.Time) error {
		list, err := k.store.Raw(ctx, s.Text(), to.Sub(from), to)
		out = append(out, list...)
		return err
	})
	return out, err
}

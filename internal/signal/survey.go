package signal

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/promql"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
)

// Survey tells what would be measured of a subject and why, with what was counted
// in the length of time that ends at a time; or why nothing can be, and what to
// change. Without a Release in the subject all pods of the workload are its
// stable arm. Nothing of it is kept. The error is a *release.Error.
func (r *Reader) Survey(ctx context.Context, s Subject, at time.Time, length time.Duration) (release.SignalReport, error) {
	to := r.grid.floor(millis(at) - r.opt.Lag.Milliseconds())
	from := max(to-length.Milliseconds()/r.grid.tick*r.grid.tick, r.grid.first(s.StartedAt))
	whole := s.Release == ""
	if whole {
		from = to - length.Milliseconds()/r.grid.tick*r.grid.tick
	}
	t := r.newTracked(s, whole, min(from, to-r.grid.tick))
	t.until = to
	r.run(ctx, []*tracked{t})
	if t.err != nil {
		return release.SignalReport{}, t.err
	}
	v := &survey{t: t, cat: r.cat, sums: summarize(t.pending)}
	rep := release.SignalReport{
		Workload: release.Workload{Namespace: s.Namespace, Name: s.Workload},
		From:     fromMillis(t.start), To: fromMillis(t.pos), Release: s.Release, Stable: s.Stable,
		Notes: append([]string{}, t.noteList(r.cat)...),
	}
	if !t.dialectKnown() {
		near, err := r.nearMisses(ctx, t)
		if err != nil {
			return release.SignalReport{}, err
		}
		rep.Notes = append(rep.Notes, near...)
	}
	rep.Signals = v.signals()
	queries := t.queries(r.cat, rep.From, rep.To)
	for i := range rep.Signals {
		rep.Signals[i].Queries = queriesFor(queries, rep.Signals[i])
	}
	return rep, nil
}

// queriesFor are those behind one signal.
func queriesFor(all []release.Query, s release.SignalStatus) []release.Query {
	var out []release.Query
	for _, q := range all {
		seenBy := q.SeenBy == release.SeenByCallers
		if (q.Signal == s.Signal || q.Signal == release.SignalLatency && strings.HasPrefix(s.Signal, "latency_p")) && seenBy == (s.SeenBy == release.SeenByCallers) {
			out = append(out, q)
		}
	}
	return out
}

// nearMisses looks for series that would be read if only they named their pod, and
// says what to change.
func (r *Reader) nearMisses(ctx context.Context, t *tracked) ([]string, error) {
	if t.subject.Namespace == "" {
		return nil, nil
	}
	from, to := r.reach([]*tracked{t})
	names, _ := podMetrics(r.cat)
	var requests []string
	for _, d := range r.cat.Dialects {
		if d.Side == catalogue.SideServer {
			requests = append(requests, d.Requests.Names()...)
		}
	}
	var texts []string
	for _, label := range []string{"namespace", "exported_namespace", "kubernetes_namespace", "k8s_namespace_name"} {
		texts = append(texts, promql.Metrics(requests).With([]*labels.Matcher{textMatcher(labels.MatchEqual, label, t.subject.Namespace)}))
	}
	sets, err := r.q.Series(ctx, texts, fromMillis(from), fromMillis(to))
	if err != nil {
		return nil, typed(err)
	}
	_, owners := armsOf([]*tracked{t})
	index := indexPods(owners)
	unnamed := map[string]labels.Labels{}
	for _, set := range sets {
		if form, _ := r.whose(index, set, func(catalogue.PodLabels) bool { return true }); form >= 0 {
			continue
		}
		if form, _, pod := r.cat.Identify(set); form >= 0 && pod != "" {
			continue // another workload's
		}
		unnamed[set.Get(model.MetricNameLabel)] = set
	}
	if len(unnamed) > 0 {
		var out []string
		for _, name := range slices.Sorted(maps.Keys(unnamed)) {
			out = append(out, fmt.Sprintf("The namespace has series of %s, but none of the labels that would name the pod (%s); the first has %s. In the scrape configuration keep the pod's name: relabel __meta_kubernetes_pod_name to pod and __meta_kubernetes_namespace to namespace.",
				name, strings.Join(podLabelNames(r.cat), ", "), labelNames(unnamed[name])))
		}
		return out, nil
	}
	return r.scraped(ctx, t, names, from, to)
}

// scraped says whether the pods are scraped at all.
func (r *Reader) scraped(ctx context.Context, t *tracked, known []string, from, to int64) ([]string, error) {
	_, owners := armsOf([]*tracked{t})
	var texts []string
	for _, form := range r.cat.Pods {
		if ms, ok := matchers(form, owners, false); ok {
			texts = append(texts, promql.Metric("up").With(ms))
		}
	}
	if len(texts) == 0 {
		return nil, nil
	}
	sets, err := r.q.Series(ctx, texts, fromMillis(from), fromMillis(to))
	if err != nil {
		return nil, typed(err)
	}
	if len(sets) == 0 {
		return []string{"No target of the metric store is a pod of this workload: its pods are not scraped. Annotate the pod template, or add a PodMonitor or ServiceMonitor, and keep the labels pod and namespace."}, nil
	}
	if len(t.findings.noStatusOf)+len(t.findings.gauges) > 0 {
		return nil, nil // said already
	}
	return []string{fmt.Sprintf("The pods are scraped (job %s), but export none of the %d metrics that are known. Instrument the service with one of the libraries in docs/signals.md, add its metrics to the catalogue, or name a ratio of two of its counters under signals.",
		sets[0].Get("job"), len(known))}, nil
}

func podLabelNames(cat *catalogue.Catalogue) []string {
	var out []string
	for _, p := range cat.Pods {
		if name := p.Pod + p.Address; !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func labelNames(set labels.Labels) string {
	var out []string
	set.Range(func(l labels.Label) {
		if l.Name != model.MetricNameLabel && regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`).MatchString(l.Name) {
			out = append(out, l.Name)
		}
	})
	if len(out) == 0 {
		return "no labels"
	}
	return "the labels " + strings.Join(out, ", ")
}

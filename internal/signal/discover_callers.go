package signal

import (
	"context"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/promql"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
)

// discoverCallers looks for what callers tell of the workloads.
func (r *Reader) discoverCallers(ctx context.Context, chunk []*tracked) {
	var open []*tracked
	for _, t := range chunk {
		if t.err == nil && t.callers.dialect == nil && t.subject.Workload != "" {
			open = append(open, t)
		}
	}
	for some := range slices.Chunk(open, r.budget.size(callersBudget)) {
		r.lookForCallers(ctx, some)
	}
}

const callersBudget = "series of callers"

func (r *Reader) lookForCallers(ctx context.Context, open []*tracked) {
	var dialects []*catalogue.Dialect
	for _, d := range r.cat.Dialects {
		if d.Side == catalogue.SideCaller {
			dialects = append(dialects, d)
		}
	}
	// Latencies only of dialects whose requests are there: each question names
	// all workloads.
	for _, part := range [...]func(*catalogue.Dialect) []promql.Selector{callersRequests, callersLatencies} {
		var err error
		if dialects, err = r.lookForCallersIn(ctx, open, dialects, part); err != nil {
			if half := (len(open) + 1) / 2; release.ErrorCode(err) == release.CodeTooExpensive && len(open) > 1 {
				r.budget.tooExpensive(callersBudget, half)
				r.lookForCallers(ctx, open[:half])
				r.lookForCallers(ctx, open[half:])
			}
			return // what pods say of themselves is enough; it is looked for again
		}
	}
	r.budget.affordable(callersBudget)
}

func callersRequests(d *catalogue.Dialect) []promql.Selector {
	return []promql.Selector{promql.Metrics(d.Requests.Names(), catalogue.Matchers(d.Requests.Where)...)}
}

func callersLatencies(d *catalogue.Dialect) []promql.Selector {
	if d.Latency == nil {
		return nil
	}
	return []promql.Selector{promql.Metrics([]string{d.Latency.Histogram + "_bucket"},
		append(catalogue.Matchers(d.Latency.Where), labels.MustNewMatcher(labels.MatchEqual, model.BucketLabel, "+Inf"))...)}
}

// lookForCallersIn takes note of the series that callers export in one of the
// dialects, and returns the dialects of which there are any.
func (r *Reader) lookForCallersIn(ctx context.Context, open []*tracked, dialects []*catalogue.Dialect, selectors func(*catalogue.Dialect) []promql.Selector) ([]*catalogue.Dialect, error) {
	from, to := r.reach(open)
	about := make([]catalogue.Workload, len(open))
	for i, t := range open {
		about[i] = t.workload()
	}
	var texts []string
	for _, d := range dialects {
		if ms := d.AboutMatchers(about); len(ms) > 0 {
			for _, s := range selectors(d) {
				texts = append(texts, s.With(ms))
			}
		}
	}
	if len(texts) == 0 {
		return nil, nil
	}
	sets, err := r.q.Series(ctx, texts, fromMillis(from), fromMillis(to))
	if err != nil {
		return nil, err
	}
	var found []*catalogue.Dialect
	for _, d := range dialects {
		there := false
		tests := make([]func(labels.Labels) bool, len(open))
		for i := range open {
			tests[i] = d.Describes(about[i])
		}
		for _, set := range sets {
			if !mayBe(d, set.Get(model.MetricNameLabel)) {
				continue
			}
			there = true
			for i, t := range open {
				if tests[i](set) {
					t.offeredByCaller(d, set)
				}
			}
		}
		if there {
			found = append(found, d)
		}
	}
	return found, nil
}

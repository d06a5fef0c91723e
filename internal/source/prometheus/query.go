package prometheus

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
	"github.com/watchtower-verify/watchtower/internal/source/prometheus/wire"
)

// Raw implements signal.Querier by an instant query of a range selector, which
// answers with the samples as they were scraped. Samples at the edge of the
// window belong to it as in PromQL since version 3: (at-window, at].
func (s *Source) Raw(ctx context.Context, selector string, window time.Duration, at time.Time) ([]samples.Series, error) {
	form := url.Values{
		"query": {selector + "[" + model.Duration(window).String() + "]"},
		"time":  {seconds(at)},
	}
	to := at.UnixMilli()
	return s.matrix(ctx, "query", form, to-window.Milliseconds(), to, release.CodeUnavailable)
}

// Range implements signal.Querier.
func (s *Source) Range(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]samples.Series, error) {
	if step < time.Millisecond || to.Before(from) {
		return nil, release.E(release.CodeBadQuery, fmt.Sprintf("a query from %s to %s in steps of %s", from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339), step), nil)
	}
	form := url.Values{
		"query": {expr},
		"start": {seconds(from)},
		"end":   {seconds(to)},
		"step":  {strconv.FormatFloat(step.Seconds(), 'f', 3, 64)},
	}
	return s.matrix(ctx, "query_range", form, from.UnixMilli()-1, to.UnixMilli(), release.CodeBadQuery)
}

// matrix asks for series with samples in (from, to]. An answer of another type
// has the code otherwise.
func (s *Source) matrix(ctx context.Context, path string, form url.Values, from, to int64, otherwise release.Code) ([]samples.Series, error) {
	if n := len(form.Get("query")); n > s.limits.QueryBytes {
		return nil, s.done(release.E(release.CodeTooExpensive, fmt.Sprintf("a query of %d bytes is longer than the %d that %s is asked with (max_query_bytes)", n, s.limits.QueryBytes, s.name), nil))
	}
	// As a number of seconds, which every store reads; not all know 1.5s.
	form.Set("timeout", strconv.FormatFloat(s.timeout.Seconds(), 'f', -1, 64))
	whole(s.kind, form)
	data := &wire.Matrix{From: from, To: to, MaxSamples: s.limits.Samples}
	check := func() error { return s.isMatrix(data.ResultType, otherwise) }
	if err := s.ask(ctx, question{path: path, form: form, data: data, check: check}); err != nil {
		return nil, err
	}
	s.metrics.samples.Add(float64(data.Samples))
	return data.Series, nil
}

// isMatrix is the fault of an answer of another type. One that is unknown is not
// repeated: it may be anything.
func (s *Source) isMatrix(resultType string, otherwise release.Code) error {
	switch resultType {
	case "matrix":
		return nil
	case "":
		return release.E(release.CodeUnavailable, "samples were asked for, "+s.name+" answered with nothing", nil)
	case "vector", "scalar", "string":
		return release.E(otherwise, fmt.Sprintf("samples were asked for, %s answered with a %s", s.name, resultType), nil)
	}
	return release.E(release.CodeUnavailable, "samples were asked for, "+s.name+" answered with something unknown", nil)
}

// Series implements signal.Querier.
func (s *Source) Series(ctx context.Context, selectors []string, from, to time.Time) ([]labels.Labels, error) {
	form := url.Values{"match[]": selectors, "start": {seconds(from)}, "end": {seconds(to)}}
	whole(s.kind, form)
	data := &wire.LabelSets{}
	if err := s.ask(ctx, question{path: "series", form: form, data: data}); err != nil {
		return nil, err
	}
	return data.Sets, nil
}

// seconds is a time as the API reads it, exact to the millisecond.
func seconds(t time.Time) string {
	ms := t.UnixMilli()
	sign := ""
	if ms < 0 {
		sign, ms = "-", -ms
	}
	return fmt.Sprintf("%s%d.%03d", sign, ms/1000, ms%1000)
}

package promql

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Selector is a plain selector that can be narrowed to pods. It does not change;
// the zero Selector selects nothing.
type Selector struct {
	vector *parser.VectorSelector
	text   string
}

// ParseSelector reads a plain PromQL selector of one counter, such as
// http_requests_total{code=~"5.."}: no function, no range, no offset, no @, and a
// metric by its name. The error is a *SelectorError.
func ParseSelector(text string) (Selector, error) {
	expr, err := parse(text)
	if err != nil {
		return Selector{}, err
	}
	v, ok := expr.(*parser.VectorSelector)
	switch {
	case !ok:
		return Selector{}, faultAt(expr, "a plain selector is wanted, such as http_requests_total{code=~\"5..\"}, not %s; increases and sums are taken for you", describe(expr))
	case v.OriginalOffset != 0 || v.OriginalOffsetExpr != nil:
		return Selector{}, faultAt(v, "a selector with an offset would count another time than the release's: remove it")
	case v.Timestamp != nil || v.StartOrEnd != 0:
		return Selector{}, faultAt(v, "a selector with @ would count another time than the release's: remove it")
	case v.Anchored || v.Smoothed:
		return Selector{}, faultAt(v, "a selector takes no anchored or smoothed: remove that")
	case !named(v):
		return Selector{}, faultAt(v, "the selector names no metric: begin with the name of a counter, such as jobs_total")
	}
	return of(v), nil
}

func of(v *parser.VectorSelector) Selector { return Selector{vector: v, text: v.String()} }

// Metric selects the series of a metric for which all of where hold.
func Metric(name string, where ...*labels.Matcher) Selector {
	byName := labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)
	return of(&parser.VectorSelector{Name: name, LabelMatchers: append([]*labels.Matcher{byName}, where...)})
}

// Metrics selects the series of any of several metrics, at least one, for which
// all of where hold.
func Metrics(names []string, where ...*labels.Matcher) Selector {
	byName := labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, oneOf(names))
	return of(&parser.VectorSelector{LabelMatchers: append([]*labels.Matcher{byName}, where...)})
}

// Text is the selector as PromQL.
func (s Selector) Text() string { return s.text }

// Metric is the name of the metric; "" where it selects several.
func (s Selector) Metric() string {
	if s.vector == nil {
		return ""
	}
	return metricOf(s.vector)
}

// With is the selector as PromQL, narrowed by more matchers; "" for the zero
// Selector.
func (s Selector) With(more []*labels.Matcher) string {
	if s.vector == nil {
		return ""
	}
	v := parser.VectorSelector{Name: s.vector.Name, LabelMatchers: s.vector.LabelMatchers}
	narrow(&v, more)
	return v.String()
}

// Matches reports whether a series is one that the selector selects.
func (s Selector) Matches(set labels.Labels) bool {
	if s.vector == nil {
		return false
	}
	for _, m := range s.vector.LabelMatchers {
		if !m.Matches(set.Get(m.Name)) {
			return false
		}
	}
	return true
}

// Package promql parses what users write of series, and narrows it to the pods of
// a workload. It evaluates nothing.
package promql

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

var parse = parser.NewParser(parser.Options{})

// SelectorError is a fault in PromQL that a user wrote. Offset is where in the
// text it stands, in bytes from the beginning.
type SelectorError struct {
	Offset  int
	Message string
}

// Error returns the place, counted from 1, and the words.
func (e *SelectorError) Error() string {
	return fmt.Sprintf("character %d: %s", e.Offset+1, e.Message)
}

// Selector is a selector of series that can be narrowed.
type Selector struct {
	vector *parser.VectorSelector
	text   string
}

// ParseSelector reads a plain PromQL selector of a counter, such as
// http_requests_total{code=~"5.."}: one that names its metric, with no function, no
// range, no offset, no @. The error is a *SelectorError.
func ParseSelector(s string) (Selector, error) {
	expr, err := parse.ParseExpr(s)
	if err != nil {
		return Selector{}, selectorError(err)
	}
	v, ok := expr.(*parser.VectorSelector)
	if !ok {
		return Selector{}, &SelectorError{int(expr.PositionRange().Start), "a plain selector is wanted, such as http_requests_total{code=~\"5..\"}, not a " + describe(expr) + "; increases are taken for you"}
	}
	switch {
	case v.OriginalOffset != 0 || v.OriginalOffsetExpr != nil:
		return Selector{}, &SelectorError{int(v.PosRange.Start), "a selector with an offset would count another time than the release's"}
	case v.Timestamp != nil || v.StartOrEnd != 0:
		return Selector{}, &SelectorError{int(v.PosRange.Start), "a selector with @ would count another time than the release's"}
	case v.Anchored || v.Smoothed:
		return Selector{}, &SelectorError{int(v.PosRange.Start), "a selector takes no anchored or smoothed"}
	}
	if err := named(v); err != nil {
		return Selector{}, err
	}
	return Of(v), nil
}

// named refuses a selector that names no metric: it would select every series of
// a pod.
func named(v *parser.VectorSelector) error {
	if metricOf(v) == "" {
		return &SelectorError{int(v.PosRange.Start), "the selector names no metric, so it would select every series of a pod: write the metric's name before the braces"}
	}
	return nil
}

// metricOf is the metric that a selector names, "" for none or for a pattern.
func metricOf(v *parser.VectorSelector) string {
	for _, m := range v.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return v.Name
}

// Of is a selector of what a parser made.
func Of(v *parser.VectorSelector) Selector { return Selector{vector: v, text: v.String()} }

// Metric selects the series of a metric.
func Metric(name string, where ...*labels.Matcher) Selector {
	is := labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)
	return Of(&parser.VectorSelector{Name: name, LabelMatchers: append([]*labels.Matcher{is}, where...)})
}

// Metrics selects the series of several metrics at once.
func Metrics(names []string, where ...*labels.Matcher) Selector {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	slices.Sort(quoted)
	is := &labels.Matcher{Type: labels.MatchRegexp, Name: model.MetricNameLabel, Value: strings.Join(slices.Compact(quoted), "|")}
	return Of(&parser.VectorSelector{LabelMatchers: append([]*labels.Matcher{is}, where...)})
}

// Text is the selector as PromQL.
func (s Selector) Text() string { return s.text }

// Metric is the name of the metric it selects.
func (s Selector) Metric() string { return metricOf(s.vector) }

// With returns the text of the selector narrowed by more matchers.
func (s Selector) With(more []*labels.Matcher) string {
	v := parser.VectorSelector{Name: s.vector.Name}
	v.LabelMatchers = slices.Concat(s.vector.LabelMatchers, more)
	return v.String()
}

// Matches reports whether a label set is one the selector selects.
func (s Selector) Matches(set labels.Labels) bool {
	for _, m := range s.vector.LabelMatchers {
		if !m.Matches(set.Get(m.Name)) {
			return false
		}
	}
	return true
}

func selectorError(err error) error {
	var all parser.ParseErrors
	if errors.As(err, &all) && len(all) > 0 {
		msg := "syntax error"
		if all[0].Err != nil {
			msg = all[0].Err.Error()
		}
		return &SelectorError{max(0, int(all[0].PositionRange.Start)), msg}
	}
	return &SelectorError{0, err.Error()}
}

func describe(expr parser.Expr) string {
	switch e := expr.(type) {
	case *parser.Call:
		return "call of " + e.Func.Name + "()"
	case *parser.MatrixSelector:
		return "range"
	case *parser.SubqueryExpr:
		return "subquery"
	case *parser.AggregateExpr:
		return "sum or another aggregation"
	case *parser.BinaryExpr:
		return "calculation"
	case *parser.NumberLiteral, *parser.StringLiteral:
		return "constant"
	case *parser.ParenExpr:
		return "parenthesis"
	}
	return "compound expression"
}

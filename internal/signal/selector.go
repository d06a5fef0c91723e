package signal

import (
	"errors"
	"fmt"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

var promql = parser.NewParser(parser.Options{})

// SelectorError is a fault in a selector that a user wrote. Offset is where in
// the text it stands, in bytes from the beginning.
type SelectorError struct {
	Offset  int
	Message string
}

// Error returns the place, counted from 1, and the words.
func (e *SelectorError) Error() string {
	return fmt.Sprintf("character %d: %s", e.Offset+1, e.Message)
}

// ParseSelector checks that s is a plain PromQL selector of a counter, such as
// http_requests_total{code=~"5.."}: no function, no range, no offset, no @. The
// error is a *SelectorError.
func ParseSelector(s string) error {
	_, err := parseSelector(s)
	return err
}

// selector is a parsed selector that can be narrowed to pods.
type selector struct {
	vector *parser.VectorSelector
	text   string
	ours   bool // the catalogue's, not a user's
}

func parseSelector(s string) (selector, error) {
	expr, err := promql.ParseExpr(s)
	if err != nil {
		return selector{}, selectorError(err)
	}
	v, ok := expr.(*parser.VectorSelector)
	if !ok {
		return selector{}, &SelectorError{int(expr.PositionRange().Start), "a plain selector is wanted, such as http_requests_total{code=~\"5..\"}, not a " + describe(expr) + "; increases are taken for you"}
	}
	switch {
	case v.OriginalOffset != 0 || v.OriginalOffsetExpr != nil:
		return selector{}, &SelectorError{int(v.PosRange.Start), "a selector with an offset would count another time than the release's"}
	case v.Timestamp != nil || v.StartOrEnd != 0:
		return selector{}, &SelectorError{int(v.PosRange.Start), "a selector with @ would count another time than the release's"}
	case v.Anchored || v.Smoothed:
		return selector{}, &SelectorError{int(v.PosRange.Start), "a selector takes no anchored or smoothed"}
	}
	return selector{vector: v, text: v.String()}, nil
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

// metricSelector selects all series of a metric.
func metricSelector(name string) selector {
	v := &parser.VectorSelector{
		Name:          name,
		LabelMatchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)},
	}
	return selector{vector: v, text: name, ours: true}
}

// with returns the text of the selector narrowed by more matchers.
func (s selector) with(more []*labels.Matcher) string {
	v := parser.VectorSelector{Name: s.vector.Name}
	v.LabelMatchers = append(v.LabelMatchers, s.vector.LabelMatchers...)
	v.LabelMatchers = append(v.LabelMatchers, more...)
	return v.String()
}

// matches reports whether a label set is one the selector selects.
func (s selector) matches(set map[string]string) bool {
	for _, m := range s.vector.LabelMatchers {
		if !m.Matches(set[m.Name]) {
			return false
		}
	}
	return true
}

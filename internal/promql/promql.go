// Package promql reads what users write in PromQL, the selector of a counter or
// the expression of a gauge, and narrows it to pods. It asks no metric store.
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

// The parser knows the language that every server speaks: nothing experimental.
var language = parser.NewParser(parser.Options{})

// SelectorError is a fault in the PromQL that a user wrote. Offset is where in
// the text it stands, in bytes from the beginning; Message says what to do.
type SelectorError struct {
	Offset  int
	Message string
}

// Error returns the place, counted from 1, and the words.
func (e *SelectorError) Error() string {
	return fmt.Sprintf("character %d: %s", e.Offset+1, e.Message)
}

func faultAt(node parser.Node, format string, args ...any) error {
	return &SelectorError{int(node.PositionRange().Start), fmt.Sprintf(format, args...)}
}

// parse reads any PromQL. The error is a *SelectorError.
func parse(text string) (parser.Expr, error) {
	expr, err := language.ParseExpr(text)
	if err == nil {
		return expr, nil
	}
	out := &SelectorError{0, "this is no PromQL: " + err.Error()}
	var all parser.ParseErrors
	if errors.As(err, &all) && len(all) > 0 {
		out.Offset = min(max(0, int(all[0].PositionRange.Start)), len(text))
		out.Message = "this is no PromQL: syntax error"
		if all[0].Err != nil {
			out.Message = "this is no PromQL: " + all[0].Err.Error()
		}
	}
	return nil, out
}

// describe says in a few words what an expression is.
func describe(expr parser.Expr) string {
	switch e := expr.(type) {
	case *parser.Call:
		return "a call of " + e.Func.Name + "()"
	case *parser.MatrixSelector:
		return "a range"
	case *parser.SubqueryExpr:
		return "a subquery"
	case *parser.AggregateExpr:
		return e.Op.String() + "() or another aggregation"
	case *parser.BinaryExpr:
		return "a calculation with " + e.Op.String()
	case *parser.NumberLiteral, *parser.StringLiteral:
		return "a constant"
	case *parser.ParenExpr:
		return "an expression in parentheses"
	}
	return "a compound expression"
}

// named reports whether a selector is of one metric. One that names none, or
// many by a pattern, would select every series of a pod, or nearly.
func named(v *parser.VectorSelector) bool { return metricOf(v) != "" }

func metricOf(v *parser.VectorSelector) string {
	for _, m := range v.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// narrow adds matchers to a selector.
func narrow(v *parser.VectorSelector, more []*labels.Matcher) {
	own := v.LabelMatchers
	v.LabelMatchers = append(own[:len(own):len(own)], more...)
}

// oneOf is the pattern that matches one of the names and nothing else.
func oneOf(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = regexp.QuoteMeta(n)
	}
	slices.Sort(quoted)
	return strings.Join(slices.Compact(quoted), "|")
}

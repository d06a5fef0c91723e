package promql

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Expr is any PromQL that answers with a vector.
type Expr struct{ text string }

// ParseVector reads PromQL that answers with one value for each series, and in
// which every selector names its metric. The error is a *SelectorError.
func ParseVector(s string) (Expr, error) {
	expr, err := parse.ParseExpr(s)
	if err != nil {
		return Expr{}, selectorError(err)
	}
	start := int(expr.PositionRange().Start)
	if t := expr.Type(); t != parser.ValueTypeVector {
		return Expr{}, &SelectorError{start, "an expression that answers with one value for each pod is wanted, not a " + string(t) + " (a " + describe(expr) + ")"}
	}
	selectors := 0
	var fault error
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		v, ok := node.(*parser.VectorSelector)
		if !ok || fault != nil {
			return nil
		}
		selectors++
		switch {
		case v.Timestamp != nil || v.StartOrEnd != 0:
			fault = &SelectorError{int(v.PosRange.Start), "a selector with @ would look at another time than the release's"}
		default:
			fault = named(v)
		}
		return nil
	})
	switch {
	case fault != nil:
		return Expr{}, fault
	case selectors == 0:
		return Expr{}, &SelectorError{start, "the expression selects no series"}
	}
	return Expr{text: expr.String()}, nil
}

// Text is the expression as PromQL.
func (e Expr) Text() string { return e.text }

// With returns the text of the expression with more matchers in every selector.
func (e Expr) With(more []*labels.Matcher) string {
	expr := e.tree()
	if expr == nil {
		return e.text
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok {
			v.LabelMatchers = append(v.LabelMatchers, more...)
		}
		return nil
	})
	return expr.String()
}

// Selectors are all that the expression selects.
func (e Expr) Selectors() []Selector {
	var out []Selector
	if expr := e.tree(); expr != nil {
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			if v, ok := node.(*parser.VectorSelector); ok {
				out = append(out, Of(&parser.VectorSelector{Name: v.Name, LabelMatchers: v.LabelMatchers}))
			}
			return nil
		})
	}
	return out
}

// tree is the parsed expression, made anew each time since it is changed.
func (e Expr) tree() parser.Expr {
	expr, err := parse.ParseExpr(e.text)
	if err != nil {
		return nil // the zero Expr
	}
	return expr
}

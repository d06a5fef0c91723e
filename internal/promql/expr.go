package promql

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Expr is an expression of type vector that can be narrowed to pods. It does not
// change; the zero Expr asks for nothing.
type Expr struct {
	text      string
	selectors []Selector
}

// ParseVector reads a PromQL expression that gives a vector, such as
// max by (namespace, pod) (queue_length). Each of its selectors must name its
// metric, and none may be tied to a moment with @. The error is a *SelectorError.
func ParseVector(text string) (Expr, error) {
	expr, err := parse(text)
	if err != nil {
		return Expr{}, err
	}
	if err := wrongType(expr); err != nil {
		return Expr{}, err
	}
	if a, ok := inner(expr).(*parser.AggregateExpr); ok && mergesPods(a) {
		return Expr{}, faultAt(a, "%s() over everything leaves no label that names the pod: write %s by (namespace, pod) (…)", a.Op, a.Op)
	}
	out := Expr{text: expr.String()}
	var fault error
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.SubqueryExpr); ok && fault == nil && (s.Timestamp != nil || s.StartOrEnd != 0) {
			fault = faultAt(s, "a subquery with @ would measure another time than the release's: remove it")
		}
		v, ok := node.(*parser.VectorSelector)
		if !ok || fault != nil {
			return fault
		}
		switch {
		case v.Timestamp != nil || v.StartOrEnd != 0:
			fault = faultAt(v, "a selector with @ would measure another time than the release's: remove it")
		case !named(v):
			fault = faultAt(v, "the selector names no metric: begin with the name of one, such as queue_length")
		}
		out.selectors = append(out.selectors, of(&parser.VectorSelector{Name: v.Name, LabelMatchers: v.LabelMatchers}))
		return nil
	})
	if fault != nil {
		return Expr{}, fault
	}
	if len(out.selectors) == 0 {
		return Expr{}, faultAt(expr, "the expression asks for no metric, so it says nothing about the pods: name one, such as queue_length")
	}
	return out, nil
}

func wrongType(expr parser.Expr) error {
	switch expr.Type() {
	case parser.ValueTypeVector:
		return nil
	case parser.ValueTypeScalar:
		return faultAt(expr, "%s is a single number (a scalar), the same for every pod; a gauge gives one value per pod, such as queue_length", describe(expr))
	case parser.ValueTypeMatrix:
		return faultAt(expr, "%s gives many values at once (a range vector): take one of them, such as avg_over_time(queue_length[5m])", describe(expr))
	}
	return faultAt(expr, "%s is no measurement (type %s): a gauge gives one number per pod, such as queue_length", describe(expr), expr.Type())
}

// inner is what stands in parentheses and behind a sign.
func inner(expr parser.Expr) parser.Expr {
	for {
		switch e := expr.(type) {
		case *parser.ParenExpr:
			expr = e.Expr
		case *parser.UnaryExpr:
			expr = e.Expr
		default:
			return expr
		}
	}
}

// mergesPods reports whether an aggregation makes one number of all series.
// topk and its like keep the labels of the series that they pick.
func mergesPods(a *parser.AggregateExpr) bool {
	picks := a.Op == parser.TOPK || a.Op == parser.BOTTOMK || a.Op == parser.LIMITK || a.Op == parser.LIMIT_RATIO
	return !picks && !a.Without && len(a.Grouping) == 0
}

// Text is the expression as PromQL.
func (e Expr) Text() string { return e.text }

// Selectors are those of the expression, without their ranges and offsets.
func (e Expr) Selectors() []Selector { return e.selectors }

// With is the expression as PromQL with more matchers in every selector; "" for
// the zero Expr.
func (e Expr) With(more []*labels.Matcher) string {
	if e.text == "" {
		return ""
	}
	// The tree is read anew, because the parser's trees cannot be copied and one
	// Expr may serve several queries at a time.
	expr, err := language.ParseExpr(e.text)
	if err != nil {
		return "" // never: it was read before. An empty query is refused by every store.
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok {
			narrow(v, more)
		}
		return nil
	})
	return expr.String()
}

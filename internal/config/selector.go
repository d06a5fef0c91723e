package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
)

// selector checks that the value at path is a plain PromQL selector and puts
// what is wrong with it at its place in the file.
func (k *checker) selector(path, text string) {
	if strings.TrimSpace(text) == "" {
		k.at(path, "the PromQL selector of a counter is missing, such as jobs_total{state=\"failed\"}")
		return
	}
	offset, err := checkSelector(text)
	if err != nil && !k.failed[path] {
		k.add(k.inScalar(path, text, offset), "%s: %s", path, err)
	}
}

// checkSelector returns what is wrong with a selector and the byte at which.
func checkSelector(text string) (offset int, err error) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		var list parser.ParseErrors
		if errors.As(err, &list) && len(list) > 0 {
			return int(list[0].PositionRange.Start), fmt.Errorf("this is no PromQL: %w", list[0].Err)
		}
		return 0, fmt.Errorf("this is no PromQL: %w", err)
	}
	at := func(pos posrange.PositionRange) int { return int(pos.Start) }
	v, ok := expr.(*parser.VectorSelector)
	switch {
	case !ok:
		return at(expr.PositionRange()), fmt.Errorf("%s is no plain selector: give the counter itself, such as jobs_total{state=\"failed\"}; Watchtower takes the increase and the sum", exprKind(expr))
	case v.OriginalOffset != 0 || v.OriginalOffsetExpr != nil || v.Timestamp != nil || v.StartOrEnd != 0:
		return at(v.PosRange), errors.New("the selector has an offset or @: remove it")
	case v.Anchored || v.Smoothed:
		return at(v.PosRange), errors.New("the selector is anchored or smoothed: remove that")
	}
	for _, m := range v.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual && m.Value != "" {
			return 0, nil
		}
	}
	return at(v.PosRange), errors.New("the selector names no metric: begin with the name of a counter, such as jobs_total")
}

func exprKind(expr parser.Expr) string {
	switch e := expr.(type) {
	case *parser.Call:
		return e.Func.Name + "()"
	case *parser.AggregateExpr:
		return e.Op.String() + "()"
	case *parser.MatrixSelector:
		return "a range selector"
	case *parser.SubqueryExpr:
		return "a subquery"
	case *parser.BinaryExpr:
		return "an expression with " + e.Op.String()
	case *parser.ParenExpr:
		return "an expression in parentheses"
	}
	return "this expression"
}

// inScalar is where the byte at offset of the scalar at path stands in the
// file; the scalar's own place where that cannot be told (escapes, folding).
func (k *checker) inScalar(path, text string, offset int) place {
	start := k.placeOf(path)
	if !k.given(path) || start.line > len(k.lines) {
		return start
	}
	offset = min(max(offset, 0), len(text))
	before := text[:offset]
	row := strings.Count(before, "\n")
	lineOf := func(s string) string { l, _, _ := strings.Cut(s, "\n"); return l }
	within := before[strings.LastIndexByte(before, '\n')+1:]
	wholeLine := within + lineOf(text[offset:])

	line := []rune(k.lines[start.line-1])
	rest := string(line[min(max(start.column-1, 0), len(line)):])
	switch {
	case strings.HasPrefix(rest, "|"): // a literal block: its lines follow
		at := start.line + 1 + row
		if at > len(k.lines) {
			return start
		}
		indent := strings.Index(k.lines[at-1], wholeLine)
		if indent < 0 || strings.TrimSpace(k.lines[at-1][:indent]) != "" {
			return start
		}
		return place{at, indent + utf8.RuneCountInString(within) + 1}
	case row > 0:
		return start
	case strings.HasPrefix(rest, `"`), strings.HasPrefix(rest, `'`):
		rest = rest[1:]
		start.column++
		if !strings.HasPrefix(rest, wholeLine) {
			start.column--
			return start
		}
	case !strings.HasPrefix(rest, wholeLine):
		return start
	}
	return place{start.line, start.column + utf8.RuneCountInString(within)}
}

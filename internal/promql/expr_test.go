package promql

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"pgregory.net/rapid"
)

func TestOnlyAVectorIsTakenForAGauge(t *testing.T) {
	for text, want := range map[string]string{
		`queue_length`: "",
		`sum by (namespace, pod) (rate(jobs_total[5m]))`:                             "",
		`histogram_quantile(0.99, sum by (le, pod, namespace) (rate(x_bucket[5m])))`: "",
		`a / on (namespace, pod) b > 3`:                                              "",
		`max_over_time(queue_length[10m:1m])`:                                        "",
		`queue_length offset 5m`:                                                     "",
		`queue_length[5m]`:                                                           "character 1: a range gives many values at once (a range vector): take one of them",
		`1 + 1`:                                                                      "character 1: a calculation with + is a single number (a scalar)",
		`"text"`:                                                                     "a constant is no measurement (type string)",
		`scalar(queue_length)`:                                                       "a call of scalar() is a single number",
		`vector(1)`:                                                                  "asks for no metric",
		`queue_length @ 100`:                                                         "with @",
		`max_over_time(queue_length[10m:1m] @ end())`:                                "with @",
		`queue_length[10m:1m] `:                                                      "a subquery gives many values",
		`sum(queue_length)`:                                                          "character 1: sum() over everything leaves no label that names the pod: write sum by (namespace, pod)",
		`(-(avg by () (a)))`:                                                         "character 4: avg() over everything",
		`topk(3, queue_length)`:                                                      "",
		`sum without (le) (queue_length)`:                                            "",
		`max by (pod) ({job="web"})`:                                                 "character 15: the selector names no metric",
		`a + {__name__=~".+"}`:                                                       "names no metric",
		`sum(`:                                                                       "character 5: ",
		``:                                                                           "character 1: ",
	} {
		_, err := ParseVector(text)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		var e *SelectorError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// expressions draws PromQL of type vector with n selectors or fewer in it.
func expressions(t *rapid.T, depth int) string {
	leaf := rapid.SampledFrom([]string{`a`, `b{x="y"}`, `{"c.d", e!=""}`, `f offset 5m`, `g{namespace="mine"}`}).Draw(t, "selector")
	if depth == 0 {
		return leaf
	}
	one := func() string { return expressions(t, depth-1) }
	switch rapid.IntRange(0, 8).Draw(t, "form") {
	case 0:
		return "(" + one() + " + on (pod) " + one() + ")"
	case 1:
		return "sum by (pod) (" + one() + ")"
	case 2:
		return "max_over_time((" + one() + ")[10m:1m])"
	case 3:
		return "(" + one() + " unless " + one() + ")"
	case 4:
		return "-(" + one() + ")"
	case 5:
		return "topk(scalar(" + one() + "), " + one() + ")"
	case 6:
		return `label_replace(` + one() + `, "pod", "$1", "instance", "(.*)")`
	case 7:
		return "(" + one() + " * 2 > bool 1)"
	}
	return leaf
}

func TestEverySelectorOfANarrowedExpressionCarriesTheMatchers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := expressions(t, 4)
		e, err := ParseVector(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		narrowed, err := language.ParseExpr(e.With(inNamespace))
		if err != nil {
			t.Fatalf("%s narrowed is no PromQL: %v", text, err)
		}
		seen := parser.ExtractSelectors(narrowed)
		if len(seen) != len(e.Selectors()) {
			t.Fatalf("%s has %d selectors, narrowed %d", text, len(e.Selectors()), len(seen))
		}
		for _, own := range seen {
			if !slices.ContainsFunc(own, func(m *labels.Matcher) bool {
				return m.Type == labels.MatchEqual && m.Name == "namespace" && m.Value == "a"
			}) {
				t.Fatalf("a selector of %s is not narrowed in %s", text, e.With(inNamespace))
			}
		}
	})
}

func FuzzEverySelectorOfAnExpressionIsNarrowed(f *testing.F) {
	for _, s := range []string{
		`a`, `a + b`, `sum by (pod) (rate(a[5m]))`, `max_over_time(sum(a)[10m:1m])`, `a{x="y"} unless on (pod) b`,
		`label_replace(a, "pod", "$1", "instance", "(.*)")`, `absent(a)`, `topk(3, a) or -b`, `a offset 5m`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseVector(text)
		if err != nil {
			var fault *SelectorError
			if !errors.As(err, &fault) || fault.Offset < 0 || fault.Offset > len(text) {
				t.Fatalf("%q: %T %v", text, err, err)
			}
			return
		}
		narrow, err := ParseVector(e.With(inNamespace))
		if err != nil {
			t.Fatalf("%q became %q: %v", text, e.With(inNamespace), err)
		}
		before, after := e.Selectors(), narrow.Selectors()
		if len(before) != len(after) {
			t.Fatalf("%q has %d selectors, narrowed %d", text, len(before), len(after))
		}
		for i, s := range after {
			if len(s.vector.LabelMatchers) != len(before[i].vector.LabelMatchers)+1 || !strings.Contains(s.Text(), `namespace="a"`) {
				t.Fatalf("%q is not narrowed in %s", text, s.Text())
			}
		}
		if tree, err := language.ParseExpr(narrow.Text()); err != nil || tree.Type() != parser.ValueTypeVector {
			t.Fatalf("%q narrowed is no vector: %v", text, err)
		}
	})
}

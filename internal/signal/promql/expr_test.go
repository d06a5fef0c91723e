package promql

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

func TestOnlyAVectorIsTakenForAGauge(t *testing.T) {
	for text, want := range map[string]string{
		`queue_length`: "",
		`sum by (namespace, pod) (rate(jobs_total[5m]))`:                             "",
		`histogram_quantile(0.99, sum by (le, pod, namespace) (rate(x_bucket[5m])))`: "",
		`a / on (namespace, pod) b > 3`:                                              "",
		`max_over_time(queue_length[10m:1m])`:                                        "",
		`queue_length offset 5m`:                                                     "",
		`queue_length[5m]`:                                                           "not a matrix (a range)",
		`1 + 1`:                                                                      "not a scalar",
		`"text"`:                                                                     "not a string",
		`scalar(queue_length)`:                                                       "not a scalar",
		`vector(1)`:                                                                  "selects no series",
		`queue_length @ 100`:                                                         "with @",
		`sum({job="web"})`:                                                           "character 5: the selector names no metric",
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

func FuzzEverySelectorOfAnExpressionIsNarrowed(f *testing.F) {
	for _, s := range []string{
		`a`, `a + b`, `sum(rate(a[5m]))`, `max_over_time(sum(a)[10m:1m])`, `a{x="y"} unless on (pod) b`,
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
		if tree, err := parse.ParseExpr(narrow.Text()); err != nil || tree.Type() != parser.ValueTypeVector {
			t.Fatalf("%q narrowed is no vector: %v", text, err)
		}
	})
}

package promql

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

var inNamespace = []*labels.Matcher{{Type: labels.MatchEqual, Name: "namespace", Value: "a"}}

func TestOnlyAPlainSelectorIsTakenFromAUser(t *testing.T) {
	for text, want := range map[string]string{
		`http_requests_total`:                       "",
		`http_requests_total{code=~"5..",x!="y\n"}`: "",
		`{__name__="jobs_total"}`:                   "",
		`{"jobs.total", state="failed"}`:            "",
		`rate(x_total[5m])`:                         "character 1: a plain selector is wanted, such as http_requests_total{code=~\"5..\"}, not a call of rate()",
		`x_total[5m]`:                               "not a range",
		`x_total[5m:1m]`:                            "not a subquery",
		`x_total offset 5m`:                         "offset",
		`x_total @ 100`:                             "with @",
		`x_total @ start()`:                         "with @",
		`sum(x_total)`:                              "not sum() or another aggregation",
		`x_total + y_total`:                         "calculation",
		`(x_total)`:                                 "parentheses",
		`1`:                                         "constant",
		`-x_total`:                                  "compound",
		`x_total{`:                                  "character 9: ",
		`x_total{code="5}`:                          "character 14: ",
		`{code=~".*"}`:                              "character 1: ",
		`{job="web"}`:                               "names no metric",
		`{__name__=~".+"}`:                          "names no metric",
		`{__name__=~"x_.*"}`:                        "names no metric",
		``:                                          "character 1: ",
		`x_total{} extra`:                           "character 11: ",
	} {
		_, err := ParseSelector(text)
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

func TestASelectorIsNarrowedByMatchersAndKeepsItsOwn(t *testing.T) {
	for text, want := range map[string]string{
		`x_total`:                        `x_total{namespace="a"}`,
		`x_total{code="500"}`:            `x_total{code="500",namespace="a"}`,
		`x_total{namespace="mine"}`:      `x_total{namespace="a",namespace="mine"}`,
		`{"jobs.total", state="failed"}`: `{"jobs.total",namespace="a",state="failed"}`,
	} {
		s, err := ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		got := s.With(inNamespace)
		if got != want {
			// However it is written, it must mean the same.
			again, err := ParseSelector(got)
			if err != nil || len(again.vector.LabelMatchers) != len(s.vector.LabelMatchers)+1 {
				t.Errorf("%s: %s (%v), want %s", text, got, err, want)
			}
		}
	}
}

func FuzzASelectorThatIsTakenStaysOneWhenItIsNarrowed(f *testing.F) {
	for _, s := range []string{`x`, `x{a="b"}`, `{"a b"}`, `rate(x[5m])`, `x{a=~"(b|c)"}`, `x offset 1m`, "x{a='\\xff'}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSelector(text)
		if err != nil {
			var e *SelectorError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(text) {
				t.Fatalf("%q: %T %v", text, err, err)
			}
			return
		}
		narrow := s.With([]*labels.Matcher{
			{Type: labels.MatchEqual, Name: "namespace", Value: "a.b"}, {Type: labels.MatchRegexp, Name: "pod", Value: "web-1-[a-z0-9]{5}"},
		})
		again, err := ParseSelector(narrow)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, narrow, err)
		}
		if len(again.vector.LabelMatchers) != len(s.vector.LabelMatchers)+2 {
			t.Fatalf("%q became %q: matchers are lost", text, narrow)
		}
	})
}

func TestSeveralMetricsAreSelectedByTheirNamesAlone(t *testing.T) {
	s := Metrics([]string{"b.total", "a_total", "b.total"}, labels.MustNewMatcher(labels.MatchNotEqual, "le", ""))
	if want := `{__name__=~"a_total|b\\.total",le!=""}`; s.Text() != want || s.Metric() != "" {
		t.Errorf("%s of metric %q, want %s", s.Text(), s.Metric(), want)
	}
	for name, want := range map[string]bool{"a_total": true, "b.total": true, "bxtotal": false, "a_total2": false} {
		if got := s.Matches(labels.FromStrings("__name__", name, "le", "1")); got != want {
			t.Errorf("%s selected: %t", name, got)
		}
	}
}

func TestWhatWasNeverParsedSelectsNothing(t *testing.T) {
	if s, e := (Selector{}), (Expr{}); s.With(inNamespace) != "" || s.Matches(labels.FromStrings("a", "b")) || s.Metric() != "" || e.With(inNamespace) != "" {
		t.Error("a zero value selects something")
	}
}

package config

import (
	"strings"
	"testing"
)

func TestSelectors(t *testing.T) {
	for title, c := range map[string]struct {
		text   string
		offset int
		want   string // "": accepted
	}{
		"a metric":                      {"jobs_total", 0, ""},
		"a metric with matchers":        {`jobs_total{state=~"failed|lost",queue!=""}`, 0, ""},
		"a metric by its label":         {`{__name__="jobs_total"}`, 0, ""},
		"a metric in quotes":            {`{"jobs.total", state="failed"}`, 0, ""},
		"nothing that is named":         {`{job="x"}`, 0, "names no metric"},
		"a metric by pattern":           {`{__name__=~"jobs_.*"}`, 0, "names no metric"},
		"a rate":                        {"rate(jobs_total[5m])", 0, "rate() is no plain selector"},
		"a sum":                         {"sum(jobs_total)", 0, "sum() is no plain selector"},
		"a range":                       {"jobs_total[5m]", 0, "a range selector is no plain selector"},
		"a sum of two":                  {"a + b", 0, "an expression with + is no plain selector"},
		"parentheses":                   {"(jobs_total)", 0, "an expression in parentheses is no plain selector"},
		"a number":                      {"1", 0, "this expression is no plain selector"},
		"an offset":                     {"jobs_total offset 5m", 0, "has an offset or @"},
		"a moment":                      {"jobs_total @ 1", 0, "has an offset or @"},
		"a moment by name":              {"jobs_total @ end()", 0, "has an offset or @"},
		"a matcher that does not close": {`jobs_total{a="b"`, 16, "this is no PromQL: unexpected end of input"},
		"a bad pattern":                 {`jobs_total{a=~"("}`, 0, "this is no PromQL"},
		"words":                         {"how many jobs", 4, "this is no PromQL"},
	} {
		t.Run(title, func(t *testing.T) {
			offset, err := checkSelector(c.text)
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if c.want != "" && c.want != "this is no PromQL" && offset != c.offset {
				t.Errorf("at %d, want %d", offset, c.offset)
			}
		})
	}
}

// The fault is a second = within the matchers in each of them.
func TestPromQLFaultsArePlacedInTheFile(t *testing.T) {
	for title, c := range map[string]struct{ bad, place string }{
		"plain text":                {"bad: x{a==\"b\"}", "6:14"},
		"single quotes":             {"bad: 'x{a==\"b\"}'", "6:15"},
		"double quotes":             {`bad: "x{a=='b'}"`, "6:15"},
		"after a wide character":    {"bad: 'x{ä==\"b\"}'", "6:13"}, // the ä itself
		"a block of lines":          {"bad: |\n        x{\n          a==\"b\"}", "8:13"},
		"escapes: the text's start": {`bad: "x{\u0061==\"b\"}"`, "6:10"},
		"folding: the text's start": {"bad: >-\n        x{\n        a==\"b\"}", "6:10"},
		"lines without a block":     {"bad: x{\n        a==\"b\"}", "6:10"},
	} {
		t.Run(title, func(t *testing.T) {
			text := least + "policy:\n  signals:\n  -\n    name: a\n    " + c.bad + "\n    total: b\n"
			got := faultsOf(t, text)
			if len(got) != 1 || !strings.HasPrefix(got[0], c.place+": policy.signals[0].bad: this is no PromQL") {
				t.Errorf("got %q, want %s", got, c.place)
			}
		})
	}
}

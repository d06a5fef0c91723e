package config

import (
	"strings"
	"testing"
)

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

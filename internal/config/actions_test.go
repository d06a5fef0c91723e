package config

import (
	"strings"
	"testing"
)

func TestActionsAndTokensAreChecked(t *testing.T) {
	const base = "prometheus: {url: http://prometheus:9090}\n"
	for _, test := range []struct {
		name, text string
		says       []string // nothing: it is sound
	}{
		{"sound", "actions: {approve_within: 2h, breaker: {rollbacks: 3, regressions: 20}}\napi: {tokens: [{name: ann, role: approve, token_file: ann}]}\n", nil},
		{"limits of nothing", "actions: {approve_within: 1s, breaker: {rollbacks: 0, regressions: 1, within: 1s}}\n", []string{
			"2:27: actions.approve_within", "actions.breaker.rollbacks: 0 is out of range: use 1 to", "actions.breaker.regressions: 1 is out", "actions.breaker.within",
		}},
		{"a role there is not", "api: {tokens: [{name: ann, role: root, token_file: x}]}\n", []string{"root"}},
		{"a token without a file", "api: {tokens: [{name: ann, role: admin}]}\n", []string{"token_file"}},
		{"a name twice", "api: {tokens: [{name: ann, role: admin, token_file: x}, {name: ann, role: view, token_file: y}]}\n", []string{`api.tokens[1].name: "ann" is there twice`}},
		{"a name that forges lines", "api: {tokens: [{name: \"a\\nb\", role: admin, token_file: x}]}\n", []string{"is no name of a token"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Parse("/etc/w.yaml", []byte(base+test.text))
			if len(test.says) == 0 {
				if err != nil || c.API.Tokens[0].TokenFile != "/etc/ann" || c.Actions.Breaker.Rollbacks != 3 || c.Actions.Breaker.RollbacksPerNamespace != 5 {
					t.Fatalf("%+v, %v", c, err)
				}
				return
			}
			for _, words := range test.says {
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("%v does not say %q", err, words)
				}
			}
		})
	}
}

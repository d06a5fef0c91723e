package verify

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestTheRoutesOfThePastNeedNotBeThoseOfNow(t *testing.T) {
	var r routes
	for route, c := range map[string]release.Count{"/a": {Total: 100, Bad: 1}, "/b": {Total: 50, Bad: 5}, "": {Total: 30, Bad: 3}} {
		r.add(route, c)
	}
	for name, c := range map[string]struct {
		now  []string
		want []release.Count
	}{
		"the same":                           {[]string{"/a", "/b", ""}, []release.Count{{Total: 100, Bad: 1}, {Total: 50, Bad: 5}, {Total: 30, Bad: 3}}},
		"fewer: the rest is with all others": {[]string{"/a", ""}, []release.Count{{Total: 100, Bad: 1}, {Total: 80, Bad: 8}}},
		"one that was not told apart":        {[]string{"/b", "/c", ""}, []release.Count{{Total: 50, Bad: 5}, {}, {Total: 130, Bad: 4}}},
	} {
		if diff := cmp.Diff(c.want, r.past(c.now)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

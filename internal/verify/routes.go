package verify

import "github.com/watchtower-verify/watchtower/internal/release"

// routes is what each route did before the rollout, as far as it was told apart
// then, and all of them together. Which routes are told apart then and now may
// differ.
type routes struct {
	named map[string]release.Count
	all   release.Count
}

func (r *routes) add(route string, c release.Count) {
	if r.named == nil {
		r.named = map[string]release.Count{}
	}
	if route != "" {
		r.named[route] = r.named[route].Add(c)
	}
	r.all = r.all.Add(c)
}

// past is what each of the routes did that are told apart now; "" stands for all
// others.
func (r *routes) past(now []string) []release.Count {
	out := make([]release.Count, len(now))
	rest := r.all
	for i, route := range now {
		if route != "" {
			out[i] = r.named[route]
			rest.Total -= out[i].Total
			rest.Bad -= out[i].Bad
		}
	}
	for i, route := range now {
		if route == "" {
			out[i] = rest
		}
	}
	return out
}

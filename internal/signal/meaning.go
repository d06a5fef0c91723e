package signal

import (
	"math"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
)

var notANumber = math.NaN()

// meanings remembers what label values mean, since the same few come again with
// every series.
type meanings struct {
	mu       sync.Mutex
	failures map[failureKey]bool
	routes   map[string]bool
	bounds   map[string]float64
}

type failureKey struct {
	rule  *catalogue.FailureRule
	value string
}

// maxRemembered bounds each of the memories; a workload may put anything into a
// route.
const maxRemembered = 10_000

func (c *meanings) leftOut(cat *catalogue.Catalogue, route string) bool {
	if route == "" {
		return false
	}
	out, ok := c.routes[route]
	if !ok {
		out = cat.LeavesOut(route)
		c.routes = remember(c.routes, route, out)
	}
	return out
}

// failed applies the first rule whose label the series carries.
func (c *meanings) failed(d *catalogue.Dialect, set labels.Labels) bool {
	rule, value := d.FailureValue(set)
	if rule == nil {
		return false
	}
	key := failureKey{rule, value}
	out, ok := c.failures[key]
	if !ok {
		out = rule.Failed(value)
		c.failures = remember(c.failures, key, out)
	}
	return out
}

func remember[K comparable, V any](m map[K]V, key K, value V) map[K]V {
	if m == nil || len(m) >= maxRemembered {
		m = map[K]V{}
	}
	m[key] = value
	return m
}

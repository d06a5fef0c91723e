package prometheus

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/source/prometheus/wire"
)

const (
	keepTypes = 5 * time.Minute
	maxTypes  = 10_000 // metrics that are kept
)

// typeCache keeps what targets declare: it hardly ever changes.
type typeCache struct {
	mu    sync.Mutex
	known map[string]declared
}

type declared struct {
	types []string
	until time.Time
}

func (c *typeCache) get(metric string) ([]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.known[metric]
	return d.types, ok && time.Now().Before(d.until)
}

func (c *typeCache) put(metric string, types []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxTypes {
		c.known = map[string]declared{}
	}
	c.known[metric] = declared{types, time.Now().Add(keepTypes)}
}

// Types implements signal.Querier by the metadata API. A source without it knows
// no types. What it says is kept for some minutes.
func (s *Source) Types(ctx context.Context, metric string) ([]string, error) {
	if types, ok := s.types.get(metric); ok {
		return slices.Clone(types), nil
	}
	var types []string
	for _, name := range families(metric) {
		var err error
		if types, err = s.declared(ctx, name); err != nil {
			return nil, err
		}
		if len(types) > 0 {
			break
		}
	}
	s.types.put(metric, types)
	return slices.Clone(types), nil
}

// families are the names under which a metric may be declared. Where targets
// speak OpenMetrics its family has no suffix, and a series of a histogram or
// summary never is declared by itself.
func families(metric string) []string {
	for _, suffix := range []string{"_total", "_bucket", "_count", "_sum"} {
		if family, ok := strings.CutSuffix(metric, suffix); ok && family != "" {
			return []string{metric, family}
		}
	}
	return []string{metric}
}

func (s *Source) declared(ctx context.Context, metric string) ([]string, error) {
	data := &wire.Metadata{}
	form := url.Values{"metric": {metric}, "limit": {"1"}}
	if err := s.ask(ctx, question{path: "metadata", form: form, get: true, optional: true, data: data}); err != nil {
		return nil, err
	}
	var out []string
	for _, one := range data.Types[metric] {
		if one != "" && one != "unknown" && one != "untyped" && !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	slices.Sort(out)
	return out, nil
}

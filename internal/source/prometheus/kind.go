package prometheus

import (
	"net/url"
	"slices"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// The kinds of metric store.
const (
	KindPrometheus      = "prometheus"
	KindThanos          = "thanos"
	KindMimir           = "mimir"
	KindVictoriaMetrics = "victoriametrics"
)

var kinds = []string{KindPrometheus, KindThanos, KindMimir, KindVictoriaMetrics}

const (
	defaultQueryBytes = 64 << 10
	defaultSamples    = 10_000_000
	tenantHeader      = "X-Scope-OrgID"
)

// MaxQueryBytes is how long a query a store of a kind takes by default.
// Prometheus takes any that comes by POST, where the bound keeps the work of one
// query small; VictoriaMetrics refuses more than its -search.maxQueryLen, 16 KiB.
func MaxQueryBytes(kind string) int {
	if kind == KindVictoriaMetrics {
		return 16 << 10
	}
	return defaultQueryBytes
}

// whole adds to a form what makes a store of a kind answer with all it has, or
// refuse, and with nothing from before.
func whole(kind string, form url.Values) {
	switch kind {
	case KindThanos:
		form.Set("dedup", "true")
		form.Set("partial_response", "false")
		form.Set("max_source_resolution", "0s") // raw samples, not downsampled ones
	case KindVictoriaMetrics:
		form.Set("nocache", "1")
		form.Set("deny_partial_response", "1")
	}
}

func knownKind(kind string) bool { return slices.Contains(kinds, kind) }

// Limits are what one query of this source may be.
func (s *Source) Limits() samples.Limits { return s.limits }

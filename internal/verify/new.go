package verify

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Deps are the rooms and outsides the loop works with.
type Deps struct {
	Cluster  Cluster
	Source   Source
	Recorder Recorder
	Policies Policies
	Images   Images // may be nil
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// New makes a Verifier; Run starts it.
func New(cfg Config, d Deps) *Verifier {
	return &Verifier{
		cfg: cfg, cluster: d.Cluster, source: d.Source, recorder: d.Recorder,
		policies: d.Policies, images: d.Images, log: d.Log,
		metrics: newMetrics(d.Registry),
		queue:   newQueue(), toResolve: make(chan release.Release, 256),
		live:     map[release.ID]*verification{},
		settled:  map[string]string{},
		restarts: map[release.ID]release.Release{}, suspected: map[string]Suspect{},
	}
}

type metrics struct {
	live         prometheus.Gauge
	tickSeconds  prometheus.Histogram
	seenLag      prometheus.Histogram
	sourceErrors *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		live: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "watchtower_live_releases", Help: "Releases under observation now.",
		}),
		tickSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "watchtower_tick_duration_seconds", Help: "How long one look at all live releases took, queries included.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		seenLag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "watchtower_release_seen_delay_seconds", Help: "From the watch event of a rollout to the stored release.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		sourceErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchtower_release_reads_failed_total", Help: "Reads of a live release that a source failed, by code.",
		}, []string{"code"}),
	}
	if reg != nil {
		reg.MustRegister(m.live, m.tickSeconds, m.seenLag, m.sourceErrors)
	}
	return m
}

package prometheus

import "github.com/prometheus/client_golang/prometheus"

// metrics are the source's own.
type metrics struct {
	queries  *prometheus.CounterVec // by code
	seconds  prometheus.Observer
	samples  prometheus.Counter
	bytes    prometheus.Counter
	inFlight prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (metrics, error) {
	source := prometheus.Labels{"source": "prometheus"}
	queries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "watchtower_source_queries_total", Help: "Queries put to the source, by what came of them.", ConstLabels: source,
	}, []string{"code"})
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "watchtower_source_query_duration_seconds", Help: "How long the source took to answer a query.", ConstLabels: source,
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	})
	samples := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "watchtower_source_samples_total", Help: "Samples read from the source.", ConstLabels: source,
	})
	bytes := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "watchtower_source_bytes_total", Help: "Bytes of answers read from the source, once unpacked.", ConstLabels: source,
	})
	inFlight := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "watchtower_source_queries_in_flight", Help: "Queries the source is answering.", ConstLabels: source,
	})
	if reg != nil {
		for _, c := range []prometheus.Collector{queries, seconds, samples, bytes, inFlight} {
			if err := reg.Register(c); err != nil {
				return metrics{}, err
			}
		}
	}
	return metrics{queries, seconds, samples, bytes, inFlight}, nil
}

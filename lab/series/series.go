// Package series makes the metrics of the lab's programs look like those of
// libraries and proxies: what their dialects have in common.
package series

import (
	"errors"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Page is a process's page of metrics while its series are being made. The
// first things that go wrong are kept for Err.
type Page struct {
	Registry *prometheus.Registry
	onScrape []func()
	errs     []error
}

// NewPage is a page with the series of the process itself.
func NewPage() *Page {
	p := &Page{Registry: prometheus.NewRegistry()}
	p.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return p
}

// Err says which metrics could not stand beside others.
func (p *Page) Err() error { return errors.Join(p.errs...) }

// OnScrape has do called before each time the page is read.
func (p *Page) OnScrape(do func()) { p.onScrape = append(p.onScrape, do) }

// Handler serves the page, in the protobuf format too, which alone holds native
// histograms.
func (p *Page) Handler() http.Handler {
	pages := promhttp.HandlerFor(p.Registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for _, do := range p.onScrape {
			do()
		}
		pages.ServeHTTP(w, req)
	})
}

// Register adds collectors.
func (p *Page) Register(all ...prometheus.Collector) {
	for _, c := range all {
		if err := p.Registry.Register(c); err != nil {
			p.errs = append(p.errs, err)
		}
	}
}

// Counter adds a counter.
func (p *Page) Counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	p.Register(c)
	return c
}

// Gauge adds a gauge.
func (p *Page) Gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	p.Register(g)
	return g
}

// Histogram adds a classic histogram.
func (p *Page) Histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	p.Register(h)
	return h
}

// NativeHistogram adds a histogram without classic buckets; each of its
// exponential ones is at most a tenth wider than the one before.
func (p *Page) NativeHistogram(name, help string, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
	}, labels)
	p.Register(h)
	return h
}

// Summary adds a summary; without objectives it has but a sum and a count.
func (p *Page) Summary(name, help string, objectives map[float64]float64, labels ...string) *prometheus.SummaryVec {
	s := prometheus.NewSummaryVec(prometheus.SummaryOpts{Name: name, Help: help, Objectives: objectives}, labels)
	p.Register(s)
	return s
}

// WorkloadOf is the Deployment of a pod by the pod's name: the last two parts
// are the hash of the ReplicaSet and the pod's own.
func WorkloadOf(pod string) string {
	parts := strings.Split(pod, "-")
	return strings.Join(parts[:max(1, len(parts)-2)], "-")
}

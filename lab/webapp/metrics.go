package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// request is one that has been answered, as every dialect is told of it.
type request struct {
	method string
	route  string // of the shop, a probe's, or unknownRoute
	code   int    // statusClientGone where the client did not wait
	took   time.Duration
}

func (r request) failed() bool { return r.code >= http.StatusInternalServerError }

// probe says whether the kubelet asked.
func (r request) probe() bool { return r.route == alivePath || r.route == readyPath }

// millis is the duration in milliseconds.
func (r request) millis() float64 { return float64(r.took) / float64(time.Millisecond) }

// dialects are the libraries and proxies that metrics can look like. Each makes
// its series and returns what counts a request in them.
var dialects = []struct {
	name string
	open func(*metrics, settings) func(request)
}{
	{"prometheus", (*metrics).prometheus},
	{"prometheus-native", (*metrics).prometheusNative},
	{"summary", (*metrics).summary},
	{"node", (*metrics).node},
	{"otel", (*metrics).otel},
	{"otel-native", (*metrics).otelNative},
	{"otel-old", (*metrics).otelOld},
	{"otel-rpc", (*metrics).otelRPC},
	{"grpc", (*metrics).grpc},
	{"istio", (*metrics).istio},
	{"linkerd", (*metrics).linkerd},
	{"envoy", (*metrics).envoy},
	{"spring", (*metrics).spring},
	{"spring-buckets", (*metrics).springBuckets},
	{"aspnet", (*metrics).aspnet},
	{"django", (*metrics).django},
	{"flask", (*metrics).flask},
	{"rails", (*metrics).rails},
	{"yabeda", (*metrics).yabeda},
}

func dialectNames() []string {
	var names []string
	for _, d := range dialects {
		names = append(names, d.name)
	}
	return names
}

// metrics counts requests in one or several dialects.
type metrics struct {
	registry  *prometheus.Registry
	observers []func(request)
	onScrape  []func()
	errs      []error
}

// newMetrics opens the dialects of the settings. Two that have a metric of the
// same name cannot stand beside each other, as in one process of a user.
func newMetrics(set settings) (*metrics, error) {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, d := range dialects {
		for _, name := range set.dialects {
			if d.name == name {
				m.observers = append(m.observers, d.open(m, set))
			}
		}
	}
	if err := errors.Join(m.errs...); err != nil {
		return nil, fmt.Errorf("METRICS_DIALECT=%q: they have a metric in common: %w", strings.Join(set.dialects, ","), err)
	}
	return m, nil
}

func (m *metrics) observe(r request) {
	for _, observe := range m.observers {
		observe(r)
	}
}

func (m *metrics) handler() http.Handler {
	pages := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for _, count := range m.onScrape {
			count()
		}
		pages.ServeHTTP(w, req)
	})
}

func (m *metrics) register(all ...prometheus.Collector) {
	for _, c := range all {
		if err := m.registry.Register(c); err != nil {
			m.errs = append(m.errs, err)
		}
	}
}

func (m *metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.register(c)
	return c
}

func (m *metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.register(g)
	return g
}

// histogram is a classic one.
func (m *metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.register(h)
	return h
}

// nativeHistogram has no classic buckets beside its exponential ones, of which
// each is at most a tenth wider than the one before.
func (m *metrics) nativeHistogram(name, help string, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
	}, labels)
	m.register(h)
	return h
}

// quantiles is a summary; without objectives it has but a sum and a count.
func (m *metrics) quantiles(name, help string, objectives map[float64]float64, labels ...string) *prometheus.SummaryVec {
	s := prometheus.NewSummaryVec(prometheus.SummaryOpts{Name: name, Help: help, Objectives: objectives}, labels)
	m.register(s)
	return s
}

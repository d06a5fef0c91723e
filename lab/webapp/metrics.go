package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/lab/series"
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
	{"otel-old-bare", (*metrics).otelOldBare},
	{"otel-rpc", (*metrics).otelRPC},
	{"otel-rpc-old", (*metrics).otelRPCOld},
	{"grpc", (*metrics).grpc},
	{"grpc-otel", (*metrics).grpcOTel},
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
	{"rack", (*metrics).rack},
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
	*series.Page
	observers []func(request)
}

// newMetrics opens the dialects of the settings. Two that have a metric of the
// same name cannot stand beside each other, as in one process of a user.
func newMetrics(set settings) (*metrics, error) {
	m := &metrics{Page: series.NewPage()}
	for _, name := range set.dialects {
		for _, d := range dialects {
			if d.name == name {
				m.observers = append(m.observers, d.open(m, set))
			}
		}
	}
	if err := m.Err(); err != nil {
		return nil, fmt.Errorf("METRICS_DIALECT=%q: they have a metric in common: %w", strings.Join(set.dialects, ","), err)
	}
	return m, nil
}

func (m *metrics) observe(r request) {
	for _, observe := range m.observers {
		observe(r)
	}
}

package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
)

// traffic measures the requests Watchtower answers, by route template and by
// known method, so that no caller can add series.
type traffic struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newTraffic(reg prometheus.Registerer) *traffic {
	t := &traffic{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchtower_http_requests_total",
			Help: "HTTP requests answered, by route template.",
		}, []string{"method", "route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "watchtower_http_request_duration_seconds",
			Help:    "Time to answer an HTTP request, by route template.",
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10},
		}, []string{"method", "route"}),
	}
	reg.MustRegister(t.requests, t.duration)
	return t
}

func (t *traffic) measure(c *gin.Context) {
	start := time.Now()
	// Deferred, so that a connection dropped on purpose counts as well.
	defer func() {
		m, r := method(c.Request.Method), route(c)
		t.requests.WithLabelValues(m, r, strconv.Itoa(c.Writer.Status())).Inc()
		t.duration.WithLabelValues(m, r).Observe(time.Since(start).Seconds())
	}()
	c.Next()
}

// route is the template that matched, "unmatched" where none did.
func route(c *gin.Context) string {
	if r := c.FullPath(); r != "" {
		return r
	}
	return "unmatched"
}

func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

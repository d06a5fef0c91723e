package respond

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// standing tells how many actions are not settled, and which breakers are open,
// whenever it is asked.
type standing struct {
	r              *Responder
	actions, holds *prometheus.Desc
}

func newStanding(r *Responder) *standing {
	return &standing{
		r: r,
		actions: prometheus.NewDesc("watchtower_actions_open",
			"Actions that are pending, that wait for a person, and that failed and wait for somebody to retry or drop them.", []string{"kind", "state"}, nil),
		holds: prometheus.NewDesc("watchtower_breaker_open",
			"Whether the breaker of the cluster (namespace empty) or of a namespace is open; namespaces only while it is.", []string{"namespace"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (s *standing) Describe(ch chan<- *prometheus.Desc) {
	ch <- s.actions
	ch <- s.holds
}

// Collect implements prometheus.Collector. What the database does not tell is
// left out.
func (s *standing) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if counts, err := s.r.store.CountActions(ctx); err == nil {
		n := make(map[[2]string]int)
		for _, kind := range []release.ActionKind{release.ActionRollback, release.ActionAlert, release.ActionIssue, release.ActionEvent, release.ActionMessage} {
			n[[2]string{string(kind), string(release.ActionFailed)}] = 0 // so that an alert on them has something to look at
		}
		for _, c := range counts {
			n[[2]string{string(c.Kind), string(c.State)}] = c.N
		}
		for labels, v := range n {
			ch <- prometheus.MustNewConstMetric(s.actions, prometheus.GaugeValue, float64(v), labels[:]...)
		}
	}
	breakers, err := s.r.Breakers(ctx)
	if err != nil {
		return
	}
	whole := 0.0
	for _, b := range breakers {
		switch {
		case b.Open && b.Namespace == "":
			whole = 1
		case b.Open:
			ch <- prometheus.MustNewConstMetric(s.holds, prometheus.GaugeValue, 1, b.Namespace)
		}
	}
	ch <- prometheus.MustNewConstMetric(s.holds, prometheus.GaugeValue, whole, "")
}

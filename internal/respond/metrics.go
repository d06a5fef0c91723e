package respond

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/internal/release"
)

type metrics struct {
	actions   *prometheus.CounterVec
	verdicts  *prometheus.CounterVec
	rollbacks prometheus.Counter
	alerts    prometheus.GaugeFunc
	breakers  prometheus.Counter
	wrong     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, firing func() float64) *metrics {
	m := &metrics{
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchtower_actions_total", Help: "Actions by kind and the state they came to.",
		}, []string{"kind", "state"}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchtower_verdicts_total", Help: "Verdicts reached, counted when a release's verdict becomes another one.",
		}, []string{"verdict"}),
		rollbacks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "watchtower_rollbacks_total", Help: "Rollbacks that the cluster accepted.",
		}),
		breakers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "watchtower_breaker_trips_total", Help: "How often a breaker opened by itself.",
		}),
		wrong: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "watchtower_false_alarms_total", Help: "Verdicts of a regression that a person marked as wrong.",
		}),
		alerts: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "watchtower_alerts_firing", Help: "Alerts of regressed releases that fire now.",
		}, firing),
	}
	for _, kind := range []release.VerdictKind{release.Healthy, release.Regressed, release.InsufficientData, release.SourceBroken} {
		m.verdicts.WithLabelValues(string(kind))
	}
	if reg != nil {
		reg.MustRegister(m.actions, m.verdicts, m.rollbacks, m.alerts, m.breakers, m.wrong)
	}
	return m
}

// settled counts an action in the state it came to.
func (m *metrics) settled(a release.Action) {
	m.actions.WithLabelValues(string(a.Kind), string(a.State)).Inc()
	if a.Kind == release.ActionRollback && a.State == release.ActionDone {
		m.rollbacks.Inc()
	}
}

// firing counts the alerts that fire, NaN when the database does not answer.
func (r *Responder) firing() float64 {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	alerts, err := r.store.FiringAlerts(ctx)
	if err != nil {
		return math.NaN()
	}
	if r.deps.Alerter == nil {
		return 0
	}
	incidents, err := r.store.FiringIncidents(ctx)
	if err != nil {
		return math.NaN()
	}
	return float64(len(alerts) + len(incidents))
}

package app

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// policies are those of the configuration as last read without fault.
type policies struct {
	cfg        atomic.Pointer[config.Config]
	reloadedOK prometheus.Gauge
}

func newPolicies(cfg *config.Config, reg prometheus.Registerer) *policies {
	p := &policies{reloadedOK: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "watchtower_config_last_reload_successful", Help: "1 if the configuration was read without fault when last asked to.",
	})}
	p.cfg.Store(cfg)
	p.reloadedOK.Set(1)
	reg.MustRegister(p.reloadedOK)
	return p
}

// PolicyFor returns the policy in force for a workload.
func (p *policies) PolicyFor(namespace, workload string, annotations map[string]string) (release.Policy, []error) {
	return p.cfg.Load().PolicyFor(namespace, workload, annotations)
}

// follow reads the policies again at each reload. A file with a fault changes
// nothing. Everything but policies takes a restart.
func (p *policies) follow(ctx context.Context, reload <-chan struct{}, path string, log *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reload:
		}
		next, err := config.Load(path)
		if err != nil {
			p.reloadedOK.Set(0)
			log.Error("configuration not reloaded; the old policies stay in force", "err", err)
			continue
		}
		p.cfg.Store(next)
		p.reloadedOK.Set(1)
		log.Info("policies reloaded; other settings take a restart", "path", path)
	}
}

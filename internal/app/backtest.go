package app

import (
	"context"
	"time"

	"github.com/watchtower-verify/watchtower/internal/backtest"
	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// BacktestOptions say what is replayed.
type BacktestOptions struct {
	ConfigPath    string // "": the built-in policy, with autonomy auto
	PrometheusURL string // "": the configuration's
	From, To      time.Time
	Observe, Tick time.Duration  // 0: the policy's, and the configuration's
	Lag           *time.Duration // nil: the configuration's
	KnownGood     []string       // releases that were sound, as namespace/replicaset
	Progress      func(done, found int)
}

// Backtest replays the releases that a metric store knows of. It needs no cluster
// and no database.
func Backtest(ctx context.Context, opt BacktestOptions) (*backtest.Report, error) {
	cfg := &config.Config{}
	if opt.ConfigPath != "" {
		var err error
		if cfg, err = config.Load(opt.ConfigPath); err != nil {
			return nil, err
		}
	}
	if opt.PrometheusURL != "" {
		cfg.Prometheus.URL = opt.PrometheusURL
	}
	cat, err := loadCatalogue(cfg.Catalogue)
	if err != nil {
		return nil, err
	}
	querier, err := newQuerier(cfg.Prometheus, nil)
	if err != nil {
		return nil, err
	}
	o := backtest.Options{
		From: opt.From, To: opt.To, Observe: opt.Observe, Tick: opt.Tick, Lag: cfg.Prometheus.Lag,
		KnownGood: opt.KnownGood, Progress: opt.Progress, Limits: querier.Limits(),
		Policy: func(namespace, workload string) release.Policy {
			p, _ := cfg.PolicyFor(namespace, workload, nil)
			if opt.ConfigPath == "" {
				p.Autonomy = release.AutonomyAuto
			}
			return p
		},
	}
	if opt.Lag != nil {
		o.Lag = *opt.Lag
	}
	if o.Tick == 0 {
		o.Tick = cfg.Tick
	}
	return backtest.Run(ctx, cat, querier, o)
}

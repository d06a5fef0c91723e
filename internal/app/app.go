// Package app wires the rooms together and owns their lifecycle: what is
// acquired here is released here, in reverse order.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/kube"
	"github.com/watchtower-verify/watchtower/internal/registry"
	"github.com/watchtower-verify/watchtower/internal/respond"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/web"
)

// Options of Serve.
type Options struct {
	ConfigPath string
	Version    string
	Log        *slog.Logger
	// Listening is called with the address once the API answers.
	Listening func(addr net.Addr)
	// Reload, when it receives, has the policies read again from ConfigPath.
	Reload <-chan struct{}
}

// Serve runs Watchtower until ctx ends or a part of it cannot go on.
func Serve(ctx context.Context, opt Options) error {
	cfg, err := config.Load(opt.ConfigPath)
	if err != nil {
		return err
	}
	a, err := open(ctx, cfg, opt)
	if err != nil {
		return err
	}
	defer a.close()
	return a.run(ctx)
}

// app is everything that runs.
type app struct {
	opt       Options
	cfg       *config.Config
	log       *slog.Logger
	store     *store.Store
	responder *respond.Responder
	policies  *policies
	examiner  *examiner
	hooks     *hooks
	expected  *expected // nil: nothing is silenced
	images    *registry.Resolver
	lease     *kube.Lease          // nil: this replica agrees with no other
	current   atomic.Pointer[term] // what watches the cluster now; nil before the first
	leads     prometheus.Gauge
	registry  *prometheus.Registry
	tokens    []api.Token
	server    *http.Server
	listener  net.Listener
	closers   []func()

	client     kubernetes.Interface
	kubeConfig kube.Config
}

func open(ctx context.Context, cfg *config.Config, opt Options) (_ *app, err error) {
	a := &app{opt: opt, cfg: cfg, log: opt.Log}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	// The port first: nothing is begun by a process that cannot serve.
	a.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; set `listen` to a free address", cfg.Listen, err)
	}
	a.onClose(func() { a.listener.Close() })
	if cfg.ExternalURL == "http://"+cfg.Listen { // the port may have been left to the system
		cfg.ExternalURL = "http://" + a.listener.Addr().String()
	}
	if a.tokens, err = tokens(cfg.API); err != nil {
		return nil, err
	}
	a.registry = newRegistry(opt.Version)
	a.leads = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "watchtower_leads", Help: "1 while this replica watches, judges and acts; 0 while it stands by.",
	})
	a.registry.MustRegister(a.leads)
	if err := a.openStore(ctx); err != nil {
		return nil, err
	}
	if a.client, err = kubeClient(cfg.Kubernetes); err != nil {
		return nil, err
	}
	a.kubeConfig = kube.Config{Cluster: cfg.Cluster, Namespaces: cfg.Kubernetes.Namespaces, Labels: cfg.WorkloadLabels}
	if a.lease, err = newLease(a.client, cfg, a.log); err != nil {
		return nil, err
	}
	deps, told, err := responders(cfg, kube.NewActor(a.client, a.kubeConfig), a.store, a.log, a.registry)
	if told != nil {
		a.onClose(told.closeAll)
	}
	if err != nil {
		return nil, err
	}
	if a.responder, err = respond.New(a.store, deps, a.log, a.registry); err != nil {
		return nil, err
	}
	if a.images, err = newImages(cfg); err != nil {
		return nil, err
	}
	if q, ok := deps.Alerter.(quieter); ok && cfg.Alertmanager.Expected != nil {
		live := func(ctx context.Context) ([]store.Record, error) { return a.store.Live(ctx, cfg.Cluster) }
		if a.expected, err = newExpected(cfg.Alertmanager.Expected, q, live, a.log); err != nil {
			return nil, err
		}
	}
	a.hooks = newHooks(cfg, told, a.responder, a.log)
	a.onClose(a.hooks.close)
	a.policies = newPolicies(cfg, a.registry)
	a.examiner = newExaminer(opt.Version, a.serverChecks(), a.registry)
	a.openServer(a.registry)
	return a, nil
}

func (a *app) openStore(ctx context.Context) error {
	st, err := OpenStore(ctx, a.cfg, a.log)
	if err != nil {
		return err
	}
	a.store = st
	a.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "watchtower_store_writes_failed_total", Help: "Writes that the database did not take: its disk is full, it is read-only, locked, damaged or away.",
	}, func() float64 { return float64(st.WritesFailed()) }))
	a.onClose(func() {
		if err := st.Close(); err != nil {
			a.log.Error("store not closed cleanly", "err", err)
		}
	})
	return nil
}

func (a *app) openServer(reg *prometheus.Registry) {
	handler := api.New(api.Deps{
		Releases: a.store,
		Audit:    a.store,
		Signals:  newSignals(a.cfg.Cluster, inForce{a}, a.store, a.policies, inForce{a}),
		Ready: map[string]func(context.Context) error{
			"store": a.store.Ready,
			"kubernetes": func(context.Context) error {
				t, err := inForce{a}.term()
				if err == nil && !t.watcher.Synced() {
					err = errNoCaches
				}
				return err
			},
		},
		Actions:  a.responder,
		Doctor:   a.examiner,
		Hooks:    a.hooks.handlers,
		Tokens:   a.tokens,
		Registry: reg,
		Pages: web.New(web.Deps{
			Releases: a.store, Breakers: a.responder.Breakers, Doctor: a.examiner,
			PrometheusURL: a.cfg.Prometheus.URL, Curve: drawn, Log: a.log,
		}),
		Version: a.opt.Version,
		Log:     a.log,
	})
	a.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
}

// run starts the parts and waits for all of them.
func (a *app) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.act(ctx) })
	g.Go(func() error { return a.examiner.run(ctx) })
	for _, listen := range a.hooks.sockets {
		g.Go(func() error { return named("slack", listen(ctx)) })
	}
	g.Go(func() error { return a.policies.follow(ctx, a.opt.Reload, a.opt.ConfigPath, a.log) })
	g.Go(func() error {
		if a.opt.Listening != nil {
			a.opt.Listening(a.listener.Addr())
		}
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			return named("http", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return a.server.Shutdown(stop)
	})
	return g.Wait()
}

func named(part string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("%s: %w", part, err)
}

func (a *app) onClose(f func()) { a.closers = append(a.closers, f) }

func (a *app) close() {
	for i := len(a.closers) - 1; i >= 0; i-- {
		a.closers[i]()
	}
}

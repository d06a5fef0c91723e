package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/watchtower-verify/watchtower/internal/kube"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
	"github.com/watchtower-verify/watchtower/internal/verify"
)

// term is what lives from when a replica begins to lead, or to stand by, until
// it ends that. What it counts is the registry's only as long.
type term struct {
	source   *signal.Reader
	watcher  *kube.Watcher
	verifier *verify.Verifier // nil while standing by
	metrics  *lent
}

// newTerm makes what watches the cluster, and what judges unless this replica
// only stands by: then the caches are kept for who asks for signals.
func (a *app) newTerm(leads bool) (_ *term, err error) {
	t := &term{metrics: &lent{Registerer: a.registry}}
	defer func() {
		if err != nil {
			t.metrics.takeBack()
		}
	}()
	if t.source, err = newSource(a.cfg, t.metrics); err != nil {
		return nil, err
	}
	// The watcher hands rollouts to the verifier, which asks the watcher how they
	// stand: each holds the other through a small interface.
	events := &rollouts{}
	t.watcher = kube.NewWatcher(a.client, a.kubeConfig, events, a.log)
	if !leads {
		return t, nil
	}
	t.verifier = verify.New(
		verify.Config{Cluster: a.cfg.Cluster, Tick: a.cfg.Tick, Lag: a.cfg.Prometheus.Lag},
		verify.Deps{
			Cluster: t.watcher, Source: t.source, Policies: a.policies, Images: a.images,
			Recorder: &recorder{cluster: a.cfg.Cluster, store: a.store, responder: a.responder},
			Log:      a.log, Registry: t.metrics,
		})
	events.verifier = t.verifier
	return t, nil
}

// serve makes the term the one that is asked, until run ends.
func (a *app) serve(leads bool, run func(t *term) error) error {
	t, err := a.newTerm(leads)
	if err != nil {
		return err
	}
	defer t.metrics.takeBack()
	a.current.Store(t)
	if leads {
		a.leads.Set(1)
		defer a.leads.Set(0)
	}
	return run(t)
}

// act waits until this replica may act for the cluster, and does so until ctx
// ends; then the next one may. It stands by meanwhile.
func (a *app) act(ctx context.Context) error {
	if !a.store.Postgres() { // whoever has the file open is alone
		return a.serve(true, func(t *term) error { return a.lead(ctx, t) })
	}
	for ctx.Err() == nil {
		err := a.actInTurn(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		// Without the database nobody leads; the others stand by as this one does.
		if release.ErrorCode(err) != release.CodeUnavailable && a.store.Ping(ctx) == nil {
			return err
		}
		a.log.Error("this replica begins anew", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// actInTurn stands by until it is this replica's turn, and then leads until
// that ends.
func (a *app) actInTurn(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	stop := a.standBy(ctx, fail)
	defer stop()
	turn := func(ctx context.Context) error { return a.withHold(ctx, stop) }
	var err error
	if a.lease != nil {
		err = a.lease.Lead(ctx, turn)
	} else {
		err = turn(ctx)
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return errors.Join(err, cause)
	}
	return err
}

// withHold leads once no other process acts for the cluster, and as long.
func (a *app) withHold(ctx context.Context, ready func()) error {
	hold, err := a.store.Hold(ctx, a.patience())
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer hold.Release()
	ready()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-hold.Lost():
			a.log.Error("the connection that gave the right to act was lost")
			cancel()
		case <-ctx.Done():
		}
	}()
	return a.serve(true, func(t *term) error { return a.lead(ctx, t) })
}

// takeOver is how long the Lease is had before a process that still acts
// without it is cut off.
const takeOver = 3 * time.Second

// patience is how long another process that acts is waited for. Without a
// Lease nothing tells that it should not.
func (a *app) patience() time.Duration {
	if a.lease == nil {
		return 0
	}
	return takeOver
}

// standBy keeps the caches of the cluster for whoever asks, until stop is
// called or ctx ends; fail is called when that cannot be done.
func (a *app) standBy(ctx context.Context, fail context.CancelCauseFunc) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := a.serve(false, func(t *term) error { return t.watcher.Run(ctx) }); err != nil {
			fail(fmt.Errorf("stand by: %w", err))
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// lead runs what only one replica may run. Jobs are among it: what keeps an
// alert's end behind its beginning, and a job from running twice at once, is
// in the memory of one process.
func (a *app) lead(ctx context.Context, t *term) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return named("jobs", a.responder.Run(ctx)) })
	g.Go(func() error { return named("verification", t.verifier.Run(ctx)) })
	g.Go(func() error { return named("kubernetes", t.watcher.Run(ctx)) })
	g.Go(func() error { return a.keepHouse(ctx) })
	if a.expected != nil {
		g.Go(func() error { return a.expected.run(ctx) })
	}
	return g.Wait()
}

// lent registers collectors that are taken back when a term ends.
type lent struct {
	prometheus.Registerer
	collectors []prometheus.Collector
}

// Register registers one for as long as the term lasts.
func (l *lent) Register(c prometheus.Collector) error {
	if err := l.Registerer.Register(c); err != nil {
		return err
	}
	l.collectors = append(l.collectors, c)
	return nil
}

// MustRegister is Register, but panics.
func (l *lent) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := l.Register(c); err != nil {
			panic(err)
		}
	}
}

func (l *lent) takeBack() {
	for _, c := range l.collectors {
		l.Unregister(c)
	}
	l.collectors = nil
}

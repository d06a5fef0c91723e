package kube

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// contact knows which watches stand and which were lost. Informers try again
// by themselves for as long as it takes; this is for telling people.
type contact struct {
	log  *slog.Logger
	mu   sync.Mutex
	lost map[string]time.Time // watch → since when
}

func newContact(log *slog.Logger) *contact {
	return &contact{log: log, lost: make(map[string]time.Time)}
}

// note takes the outcome of a list or the start of a watch. Each loss and each
// return is logged once, not every try.
func (c *contact) note(ctx context.Context, name string, err error) {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return // stopped by us
	}
	c.mu.Lock()
	since, was := c.lost[name]
	switch {
	case err != nil && !was:
		c.lost[name] = time.Now()
	case err == nil && was:
		delete(c.lost, name)
	}
	c.mu.Unlock()
	switch {
	case err != nil && !was:
		c.log.Warn("kubernetes watch lost", "watch", name, "error", err)
	case err == nil && was:
		c.log.Info("kubernetes watch restored", "watch", name, "lost_for", time.Since(since))
	}
}

// libraryLog gives a context in which the Kubernetes library writes to our log,
// at debug level: what matters of it, note says once.
func (c *contact) libraryLog(ctx context.Context) context.Context {
	return klog.NewContext(ctx, logr.FromSlogHandler(c.log.Handler()).V(debugVerbosity))
}

// debugVerbosity is slog's debug level as logr counts.
const debugVerbosity = -int(slog.LevelDebug)

func (c *contact) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lost, name)
}

// last is now while every watch stands, else when the first one was lost.
func (c *contact) last() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := time.Now()
	for _, since := range c.lost {
		if since.Before(last) {
			last = since
		}
	}
	return last
}

// lister and watcher are the two calls of a typed client.
type (
	lister[L runtime.Object] func(context.Context, metav1.ListOptions) (L, error)
	watcher                  func(context.Context, metav1.ListOptions) (watch.Interface, error)
)

// outcome takes the outcome of a list or of the start of a watch.
type outcome func(context.Context, error)

// noting is note for one watch.
func (c *contact) noting(name string) outcome {
	return func(ctx context.Context, err error) { c.note(ctx, name, err) }
}

// newInformer makes an informer whose calls are noted. The client is only
// asked what it can do.
func newInformer[L runtime.Object](c *contact, name string, note outcome, client any, example runtime.Object,
	list lister[L], start watcher, selector string, transform cache.TransformFunc,
) (cache.SharedIndexInformer, error) {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			l, err := list(ctx, o)
			note(ctx, err)
			return l, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			w, err := start(ctx, o)
			note(ctx, err)
			return w, err
		},
	}
	informer := cache.NewSharedIndexInformerWithOptions(
		cache.ToListWatcherWithWatchListSemantics(lw, client), example,
		cache.SharedIndexInformerOptions{Indexers: cache.Indexers{byOwner: ownerIndex, bySelector: selectorIndex}, ObjectDescription: name})
	if err := informer.SetTransform(transform); err != nil {
		return nil, err
	}
	// Without this the library writes each failed try to its own log.
	err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		c.log.DebugContext(ctx, "kubernetes watch ended", "watch", name, "error", err)
	})
	return informer, err
}

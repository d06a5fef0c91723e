package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Watcher sees the rollouts of a cluster and the pods of the releases it was
// told to follow. It answers from caches that the API server keeps current; an
// API server that is away is waited for.
type Watcher struct {
	client  kubernetes.Interface
	cfg     Config
	handler Handler
	log     *slog.Logger
	contact *contact

	scopes map[string]*scope // by namespace; "" is the whole cluster
	// queue holds the Deployments ("namespace/name") to look at again. One
	// goroutine takes from it, so a workload's states reach the Handler in order.
	queue  workqueue.TypedInterface[string]
	synced atomic.Bool

	mu      sync.Mutex
	running bool
	follows map[release.ID]*follow
	pods    sync.WaitGroup // the informers of follows
}

// scope is the caches of one namespace, or of all.
type scope struct {
	deployments, replicaSets, services cache.SharedIndexInformer
	serviceWatch                       *serviceWatch
}

// NewWatcher makes a Watcher; nothing is read before Run.
func NewWatcher(client kubernetes.Interface, cfg Config, h Handler, log *slog.Logger) *Watcher {
	return &Watcher{
		client: client, cfg: cfg, handler: h, log: log,
		contact: newContact(log),
		scopes:  make(map[string]*scope),
		queue:   workqueue.NewTyped[string](),
		follows: make(map[release.ID]*follow),
	}
}

// Run watches until ctx is done and then returns nil, after every goroutine it
// started has ended. It may be called once. An API server that does not answer
// is no error: Run waits for it.
func (w *Watcher) Run(ctx context.Context) error {
	w.mu.Lock()
	if w.running || w.queue.ShuttingDown() {
		w.mu.Unlock()
		return errors.New("run kubernetes watcher: it runs already or ran before")
	}
	if err := w.open(); err != nil {
		w.mu.Unlock()
		return err
	}
	w.running = true
	for _, f := range w.follows {
		w.start(f)
	}
	w.mu.Unlock()

	ctx = w.contact.libraryLog(ctx)
	var informers sync.WaitGroup
	var wait []cache.DoneChecker
	for _, s := range w.scopes {
		for _, i := range []cache.SharedIndexInformer{s.deployments, s.replicaSets, s.services} {
			informers.Go(func() { i.RunWithContext(ctx) })
		}
		wait = append(wait, s.deployments.HasSyncedChecker(), s.replicaSets.HasSyncedChecker())
	}
	stop := context.AfterFunc(ctx, w.queue.ShutDown)
	defer stop()
	if cache.WaitFor(ctx, "", wait...) {
		w.waitForServices(ctx)
		w.dispatch()
	}
	w.closeFollows()
	informers.Wait()
	return nil
}

// Synced reports whether the caches are filled and every Deployment that
// existed at the start was handed to the Handler.
func (w *Watcher) Synced() bool { return w.synced.Load() }

// LastContact is until when the caches are known to be current: now while
// every watch stands, else the moment the first one was lost. A broken
// connection that nobody closed is noticed only after the client's own
// time-outs (some 45 s).
func (w *Watcher) LastContact() time.Time { return w.contact.last() }

// open makes the informers of each namespace.
func (w *Watcher) open() error {
	namespaces := w.cfg.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, ns := range namespaces {
		s, err := w.newScope(ns)
		if err != nil {
			return fmt.Errorf("prepare watching namespace %q: %w", ns, err)
		}
		w.scopes[ns] = s
	}
	return nil
}

func (w *Watcher) newScope(ns string) (*scope, error) {
	var s scope
	var err error
	deployments, replicaSets := w.client.AppsV1().Deployments(ns), w.client.AppsV1().ReplicaSets(ns)
	name := watchName("deployments", ns)
	s.deployments, err = newInformer(w.contact, name, w.contact.noting(name), w.client, &appsv1.Deployment{},
		deployments.List, deployments.Watch, "", carrying(w.cfg.Labels))
	if err != nil {
		return nil, err
	}
	name = watchName("replicasets", ns)
	s.replicaSets, err = newInformer(w.contact, name, w.contact.noting(name), w.client, &appsv1.ReplicaSet{},
		replicaSets.List, replicaSets.Watch, "", trimReplicaSet)
	if err != nil {
		return nil, err
	}
	if err = w.addServices(&s, ns); err != nil {
		return nil, err
	}
	if _, err = s.deployments.AddEventHandler(w.onChange(deploymentKey)); err != nil {
		return nil, err
	}
	_, err = s.replicaSets.AddEventHandler(w.onChange(replicaSetKey))
	return &s, err
}

func watchName(resource, ns string) string {
	if ns == "" {
		return resource
	}
	return resource + " in " + ns
}

// onChange queues the Deployment that an object belongs to; on an update the
// one it belonged to before as well, since a ReplicaSet can be released.
func (w *Watcher) onChange(key func(any) string) cache.ResourceEventHandler {
	add := func(obj any) {
		if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if k := key(obj); k != "" {
			w.queue.Add(k)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    add,
		UpdateFunc: func(before, after any) { add(before); add(after) },
		DeleteFunc: add,
	}
}

func deploymentKey(obj any) string {
	if d, ok := obj.(*deployment); ok {
		return d.Namespace + "/" + d.Name
	}
	return ""
}

func replicaSetKey(obj any) string {
	if rs, ok := obj.(*replicaSet); ok && rs.owner.UID != "" {
		return rs.owner.Namespace + "/" + rs.owner.Name
	}
	return ""
}

func (w *Watcher) scope(namespace string) *scope {
	if s, ok := w.scopes[metav1.NamespaceAll]; ok {
		return s
	}
	return w.scopes[namespace]
}

// workload names a cached Deployment.
func (w *Watcher) workload(d *deployment) release.Workload {
	return release.Workload{Cluster: w.cfg.Cluster, Namespace: d.Namespace, Name: d.Name, UID: string(d.UID)}
}

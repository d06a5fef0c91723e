package node

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// agent is one running node.
type agent struct {
	cfg       Config
	logDir    string
	spawner   *spawner
	memory    *memoryWatch
	checker   *checker
	addresses *addresses
	recorder  record.EventRecorder

	stop  context.Context // the agent is to end
	force context.Context // and what still runs is to be killed

	mu   sync.Mutex
	pods map[types.UID]*pod
	wg   sync.WaitGroup
}

// Run is the node until ctx ends: then it stops every process it started,
// leaves the pods in the API as they are, and returns nil. It returns an error
// when it cannot begin. While the API server is away the processes go on, and
// what was missed is made up for when it is back.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.complete(); err != nil {
		return err
	}
	logDir := filepath.Join(cfg.StateDir, "pods")
	if err := os.MkdirAll(logDir, 0o755); err != nil {
		return fmt.Errorf("node %s: %w", cfg.NodeName, err)
	}
	groups, err := openGroups(filepath.Join(cfg.StateDir, "groups"), cfg.Log)
	if err != nil {
		return fmt.Errorf("node %s: %w", cfg.NodeName, err)
	}
	defer groups.close()
	spawning, stopSpawning := context.WithCancel(context.Background())
	force, forceNow := context.WithCancel(context.Background())
	defer forceNow()

	a := &agent{
		cfg:       cfg,
		logDir:    logDir,
		spawner:   newSpawner(spawning, groups),
		memory:    newMemoryWatch(),
		addresses: newAddresses(cfg.PodRange),
		stop:      ctx,
		force:     force,
		pods:      map[types.UID]*pod{},
	}
	defer func() { stopSpawning(); <-a.spawner.done }()
	a.checker = newChecker(a.spawner)

	logs, err := newLogServer(a)
	if err != nil {
		return fmt.Errorf("node %s: %w", cfg.NodeName, err)
	}
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: cfg.Client.CoreV1().Events("")})
	defer broadcaster.Shutdown()
	a.recorder = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "lab-node", Host: cfg.NodeName})

	var loops sync.WaitGroup
	loops.Go(func() { logs.run(ctx) })
	loops.Go(func() { a.memory.run(force) }) // limits hold while processes end
	loops.Go(func() { a.beNode(ctx, logs.port) })
	factory := informers.NewSharedInformerFactoryWithOptions(cfg.Client, 0, informers.WithTransform(trim))
	podInformer := factory.Core().V1().Pods()
	binder := newBinder(a, podInformer.Lister())
	if _, err := podInformer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { a.seen(obj.(*corev1.Pod), binder) },
		UpdateFunc: func(_, obj any) { a.seen(obj.(*corev1.Pod), binder) },
		DeleteFunc: func(obj any) { a.removed(obj, binder) },
	}); err != nil {
		return fmt.Errorf("node %s: watch pods: %w", cfg.NodeName, err)
	}
	factory.Start(ctx.Done())
	loops.Go(func() { binder.run(ctx, podInformer.Informer().HasSynced) })

	<-ctx.Done()
	factory.Shutdown() // no handler runs any more: no pod comes
	late := time.AfterFunc(cfg.StopGrace, forceNow)
	a.wg.Wait()
	late.Stop()
	forceNow()
	loops.Wait()
	return nil
}

// seen is told each state of each pod of the cluster.
func (a *agent) seen(object *corev1.Pod, binder *binder) {
	if object.Spec.NodeName == "" {
		binder.add(object)
		return
	}
	if object.Spec.NodeName != a.cfg.NodeName {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.pods[object.UID]; ok {
		p.update(object)
		return
	}
	done := object.Status.Phase == corev1.PodSucceeded || object.Status.Phase == corev1.PodFailed
	if done && object.DeletionTimestamp == nil || a.stop.Err() != nil {
		return
	}
	p := newPod(a, object)
	a.pods[object.UID] = p
	if object.DeletionTimestamp != nil { // of its processes none is left
		p.endWithin(0)
	}
	a.wg.Go(func() {
		p.run()
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.pods, p.uid)
	})
}

func (a *agent) removed(obj any, binder *binder) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	object, ok := obj.(*corev1.Pod)
	if !ok {
		return
	}
	binder.roomMade()
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.pods[object.UID]; ok {
		p.gone()
	}
}

// find returns a pod by name, the newest when several had it.
func (a *agent) find(namespace, name string) *pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found *pod
	for _, p := range a.pods {
		if p.namespace == namespace && p.name == name && (found == nil || p.startedAt.After(found.startedAt.Time)) {
			found = p
		}
	}
	return found
}

// current are the pods of now, in no order.
func (a *agent) current() []*pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.pods))
}

// trim drops what the agent never reads from the objects it keeps.
func trim(obj any) (any, error) {
	if pod, ok := obj.(*corev1.Pod); ok {
		pod.ManagedFields = nil
	}
	return obj, nil
}

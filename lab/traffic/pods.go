package traffic

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

var errNotLoopback = errors.New("traffic goes to loopback addresses only")

// Pod is one that requests are sent to.
type Pod struct {
	Name         string
	Address      string // IP
	TemplateHash string // of its ReplicaSet
}

// pods knows which pods are ready.
type pods struct {
	lister corelisters.PodLister
	refuse func(error)
	ready  atomic.Pointer[[]Pod]
	mu     sync.Mutex // one refresh at a time, so that the newest is the last
	close  func()
}

// watchPods follows the pods until ctx is done. refuse is told of an address
// that must not be sent to.
func watchPods(ctx context.Context, cfg Config, refuse func(error)) *pods {
	factory := informers.NewSharedInformerFactoryWithOptions(cfg.Client, 0,
		informers.WithNamespace(cfg.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = cfg.Selector }),
	)
	informer := factory.Core().V1().Pods()
	p := &pods{lister: informer.Lister(), refuse: refuse}
	p.ready.Store(&[]Pod{})
	ctx, cancel := context.WithCancel(ctx)
	p.close = func() { cancel(); factory.Shutdown() }
	// The informer is new and has not started: it takes the handler.
	_, _ = informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { p.refresh() },
		UpdateFunc: func(any, any) { p.refresh() },
		DeleteFunc: func(any) { p.refresh() },
	})
	factory.Start(ctx.Done())
	return p
}

func (p *pods) refresh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, err := p.lister.List(labels.Everything())
	if err != nil {
		return
	}
	ready := []Pod{}
	for _, pod := range all {
		if !isReady(pod) {
			continue
		}
		if addr, err := netip.ParseAddr(pod.Status.PodIP); err != nil || !addr.IsLoopback() {
			p.refuse(fmt.Errorf("pod %s/%s has address %q: %w", pod.Namespace, pod.Name, pod.Status.PodIP, errNotLoopback))
			return
		}
		ready = append(ready, Pod{pod.Name, pod.Status.PodIP, pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]})
	}
	// The same pods give the same order.
	slices.SortFunc(ready, func(a, b Pod) int { return strings.Compare(a.Address, b.Address) })
	p.ready.Store(&ready)
}

// pick returns a pod by a number in [0, 1); the zero Pod when none is ready.
func (p *pods) pick(number float64) Pod {
	ready := *p.ready.Load()
	if len(ready) == 0 {
		return Pod{}
	}
	return ready[int(number*float64(len(ready)))]
}

func isReady(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

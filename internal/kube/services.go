package kube

import (
	"context"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// service is what is kept of a Service.
type service struct {
	metav1.ObjectMeta
	selector map[string]string // empty: it selects no pods by itself
}

func (s *service) selects(set map[string]string) bool {
	for label, value := range s.selector {
		if got, ok := set[label]; !ok || got != value {
			return false
		}
	}
	return len(s.selector) > 0
}

// trimService is an informer transform, as trimDeployment is.
func trimService(obj any) (any, error) {
	s, ok := obj.(*corev1.Service)
	if !ok {
		return obj, nil
	}
	trimmed := &service{ObjectMeta: trimMeta(&s.ObjectMeta)}
	if s.Spec.Type != corev1.ServiceTypeExternalName { // its selector means nothing
		trimmed.selector = s.Spec.Selector
	}
	return trimmed, nil
}

// bySelector is the index of Services by namespace and one pair of their
// selector: a pod that a Service selects carries that pair, so that its labels
// find the few Services that are worth a look among ten thousand.
const bySelector = "selector"

func selectorIndex(obj any) ([]string, error) {
	s, ok := obj.(*service)
	if !ok || len(s.selector) == 0 {
		return nil, nil
	}
	first := slices.Min(slices.Collect(maps.Keys(s.selector)))
	return []string{selectorKey(s.Namespace, first, s.selector[first])}, nil
}

func selectorKey(namespace, label, value string) string {
	return namespace + "/" + label + "=" + value
}

// serviceWatch says whether the Services of a scope can be read. Without them
// Watchtower goes on: only callers that name the workload by a Service are not
// recognised.
type serviceWatch struct {
	failed  chan struct{} // closed when reading failed for the first time
	once    sync.Once
	mu      sync.Mutex
	refused bool
}

// refusal takes an outcome and reports whether it is the first refusal, or the
// first success after one.
func (s *serviceWatch) refusal(err error) (begun, ended bool) {
	if err != nil {
		s.once.Do(func() { close(s.failed) })
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.refused
	switch {
	case apierrors.IsForbidden(err):
		s.refused = true
	case err == nil:
		s.refused = false
	}
	return !was && s.refused, was && !s.refused
}

// noteServices is contact.note for Services. A missing permission is said once
// and is no loss of contact: an account made for an earlier version has none.
func (w *Watcher) noteServices(name string, s *serviceWatch) outcome {
	return func(ctx context.Context, err error) {
		switch begun, ended := s.refusal(err); {
		case begun:
			w.log.WarnContext(ctx, "kubernetes services may not be read: callers that name a workload by its Service are not recognised; "+
				"grant the service account get, list and watch on services", "watch", name, "error", err)
		case ended:
			w.log.InfoContext(ctx, "kubernetes services can be read now", "watch", name)
		}
		if apierrors.IsForbidden(err) {
			err = nil // the API server answered
		}
		w.contact.note(ctx, name, err)
	}
}

func (w *Watcher) addServices(s *scope, ns string) (err error) {
	s.serviceWatch = &serviceWatch{failed: make(chan struct{})}
	services, name := w.client.CoreV1().Services(ns), watchName("services", ns)
	s.services, err = newInformer(w.contact, name, w.noteServices(name, s.serviceWatch), w.client, &corev1.Service{},
		services.List, services.Watch, "", trimService)
	return err
}

// waitForServices returns once the Services are listed or could not be: no
// release is kept waiting for them.
func (w *Watcher) waitForServices(ctx context.Context) {
	for _, s := range w.scopes {
		select {
		case <-s.services.HasSyncedChecker().Done():
		case <-s.serviceWatch.failed:
		case <-ctx.Done():
		}
	}
}

// servicesOf lists the names of the Services in a namespace that select any of
// the pods, sorted.
func (w *Watcher) servicesOf(namespace string, pods []*pod) []string {
	s := w.scope(namespace)
	if s == nil {
		return nil
	}
	names := make(map[string]bool)
	var last map[string]string
	for _, p := range pods {
		if last != nil && maps.Equal(p.labels, last) {
			continue // pods of one ReplicaSet are mostly alike
		}
		last = p.labels
		for label, value := range p.labels {
			found, err := s.services.GetIndexer().ByIndex(bySelector, selectorKey(namespace, label, value))
			if err != nil {
				continue // only an unknown index name gives an error
			}
			for _, obj := range found {
				if svc := obj.(*service); svc.selects(p.labels) {
					names[svc.Name] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

package demo

import (
	"context"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// timeline notes when things were first seen to happen in the cluster, from a
// watch of its own: Watchtower's word is not taken for it.
type timeline struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (t *timeline) note(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.at[what]; !known {
		t.at[what] = time.Now()
	}
}

// when says when something was first seen, zero if never.
func (t *timeline) when(what string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at[what]
}

// The names of what is noted.
func replicaSetSeen(image string) string { return "replicaset " + image }
func podReady(image string) string       { return "ready pod " + image }
func rolledBack(releaseID string) string { return "rollback " + releaseID }

const rolledBackAnnotation = "watchtower.dev/rolled-back-release"

// watch starts noting what happens in a namespace until ctx ends.
func watch(ctx context.Context, client kubernetes.Interface, namespace string) *timeline {
	t := &timeline{at: map[string]time.Time{}}
	f := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	on := func(informer cache.SharedIndexInformer, see func(any)) {
		_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: see, UpdateFunc: func(_, o any) { see(o) },
		})
	}
	on(f.Apps().V1().ReplicaSets().Informer(), func(o any) {
		if rs, ok := o.(*appsv1.ReplicaSet); ok {
			t.note(replicaSetSeen(rs.Spec.Template.Spec.Containers[0].Image))
		}
	})
	on(f.Core().V1().Pods().Informer(), func(o any) {
		pod, ok := o.(*corev1.Pod)
		if !ok {
			return
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				t.note(podReady(pod.Spec.Containers[0].Image))
			}
		}
	})
	on(f.Apps().V1().Deployments().Informer(), func(o any) {
		if d, ok := o.(*appsv1.Deployment); ok && d.Annotations[rolledBackAnnotation] != "" {
			t.note(rolledBack(d.Annotations[rolledBackAnnotation]))
		}
	})
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	return t
}

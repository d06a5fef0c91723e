package node

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// binder takes pods that wait for a node, in the place of a scheduler. It
// looks at the node selector and at the number of pods, at nothing else.
type binder struct {
	agent  *agent
	lister corelisters.PodLister
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
}

func newBinder(a *agent, lister corelisters.PodLister) *binder {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](50*time.Millisecond, 5*time.Second)
	return &binder{agent: a, lister: lister, queue: workqueue.NewTypedRateLimitingQueue(limiter)}
}

// add considers a pod that has no node.
func (b *binder) add(pod *corev1.Pod) {
	ours := pod.Spec.SchedulerName == "" || pod.Spec.SchedulerName == corev1.DefaultSchedulerName
	if !ours || pod.DeletionTimestamp != nil || len(pod.Spec.SchedulingGates) > 0 {
		return
	}
	b.queue.Add(cache.MetaObjectToName(pod))
}

// roomMade considers again the pods that had no room.
func (b *binder) roomMade() {
	pods, err := b.lister.List(labels.Everything())
	if err != nil {
		return
	}
	for _, pod := range pods {
		if pod.Spec.NodeName == "" {
			b.add(pod)
		}
	}
}

// run binds until ctx is done.
func (b *binder) run(ctx context.Context, synced cache.InformerSynced) {
	stop := context.AfterFunc(ctx, b.queue.ShutDown)
	defer stop()
	if !cache.WaitForCacheSync(ctx.Done(), synced) {
		return
	}
	for {
		name, shutdown := b.queue.Get()
		if shutdown {
			return
		}
		if err := b.consider(ctx, name); err != nil && ctx.Err() == nil {
			b.agent.cfg.Log.Warn("pod not bound", "namespace", name.Namespace, "pod", name.Name, "error", err)
			b.queue.AddRateLimited(name)
		} else {
			b.queue.Forget(name)
		}
		b.queue.Done(name)
	}
}

func (b *binder) consider(ctx context.Context, name cache.ObjectName) error {
	pod, err := b.lister.Pods(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) || err == nil && (pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if why := b.unfit(pod); why != "" {
		return b.unschedulable(ctx, pod, why)
	}
	err = b.agent.cfg.Client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: b.agent.cfg.NodeName},
	}, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // gone, or another node was faster
		return nil
	}
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	b.agent.recorder.Eventf(pod, corev1.EventTypeNormal, "Scheduled", "Successfully assigned %s to %s", name, b.agent.cfg.NodeName)
	return nil
}

// unfit says why the node cannot take a pod; "" when it can.
func (b *binder) unfit(pod *corev1.Pod) string {
	if !labels.SelectorFromSet(pod.Spec.NodeSelector).Matches(labels.Set(nodeLabels(b.agent.cfg.NodeName))) {
		return "0/1 nodes are available: 1 node(s) didn't match Pod's node selector."
	}
	pods, err := b.lister.List(labels.Everything())
	if err != nil {
		return ""
	}
	mine := 0
	for _, p := range pods {
		done := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		if p.Spec.NodeName == b.agent.cfg.NodeName && !done {
			mine++
		}
	}
	if mine >= b.agent.cfg.MaxPods {
		return "0/1 nodes are available: 1 Too many pods."
	}
	return ""
}

func (b *binder) unschedulable(ctx context.Context, pod *corev1.Pod, why string) error {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Message == why {
			return nil
		}
	}
	b.agent.recorder.Event(pod, corev1.EventTypeWarning, "FailedScheduling", why)
	pod = pod.DeepCopy()
	setCondition(&pod.Status, corev1.PodScheduled, false, corev1.PodReasonUnschedulable, why)
	_, err := b.agent.cfg.Client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // a newer state of it comes
		return nil
	}
	return err
}

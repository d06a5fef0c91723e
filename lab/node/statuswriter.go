package node

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	requestTimeout = 10 * time.Second
	retryFirst     = 200 * time.Millisecond
	retryMax       = 5 * time.Second
)

// changed has the status written soon.
func (p *pod) changed() {
	select {
	case p.dirty <- struct{}{}:
	default:
	}
}

// writeStatus writes the status each time it has changed, until ctx is done.
// While the API server is away it keeps trying; the newest state is written.
func (p *pod) writeStatus(ctx context.Context) {
	wait := retryFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.removed:
			return
		case <-p.dirty:
		}
		if err := p.writeOnce(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			p.log.Warn("pod status not written", "error", err, "retry_in", wait)
			p.changed()
			if !sleep(ctx, wait) {
				return
			}
			wait = min(2*wait, retryMax)
			continue
		}
		wait = retryFirst
	}
}

// writeOnce writes the status if it differs from what the API has.
func (p *pod) writeOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	pods := p.agent.cfg.Client.CoreV1().Pods(p.namespace)
	for {
		status := p.status()
		object := p.current()
		if equality.Semantic.DeepEqual(status, object.Status) {
			return nil
		}
		object = object.DeepCopy()
		object.Status = status
		written, err := pods.UpdateStatus(ctx, object, metav1.UpdateOptions{})
		switch {
		case err == nil:
			p.adopt(written)
			return nil
		case apierrors.IsConflict(err):
			newest, err := pods.Get(ctx, p.name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err != nil {
				return err
			}
			if newest.UID != p.uid {
				return nil // it is gone and another one has its name
			}
			p.adopt(newest)
		case apierrors.IsNotFound(err):
			return nil
		default:
			return err
		}
	}
}

// adopt takes an object that the API answered with: the informer brings it
// later, or has brought a newer one already, which the next write finds out.
func (p *pod) adopt(object *corev1.Pod) { p.update(object) }

// conclude tells the API how the pod ended and removes its object, as the
// kubelet does, and returns once it is gone or the agent ends.
func (p *pod) conclude() {
	ctx := p.agent.stop
	zero := int64(0)
	for wait := retryFirst; ; wait = min(2*wait, retryMax) {
		select {
		case <-p.removed:
			return
		default:
		}
		err := p.writeOnce(ctx)
		if err == nil {
			attempt, cancel := context.WithTimeout(ctx, requestTimeout)
			err = p.agent.cfg.Client.CoreV1().Pods(p.namespace).Delete(attempt, p.name, metav1.DeleteOptions{
				GracePeriodSeconds: &zero,
				Preconditions:      metav1.NewUIDPreconditions(string(p.uid)),
			})
			cancel()
			if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // conflict: another pod has its name
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		p.log.Warn("pod not removed", "error", err, "retry_in", wait)
		if !sleep(ctx, wait) {
			return
		}
	}
}

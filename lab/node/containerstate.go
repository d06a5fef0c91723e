package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// change changes what pod.mu guards and has the status written.
func (c *container) change(do func()) {
	c.pod.mu.Lock()
	do()
	c.pod.mu.Unlock()
	c.pod.changed()
}

func (c *container) wait(reason, message string) {
	c.change(func() {
		c.state = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
		c.ready, c.started = false, false
	})
}

func (c *container) finish(succeeded bool) {
	c.change(func() { c.finished, c.succeeded = true, succeeded })
}

func (c *container) setStarted() {
	c.change(func() { c.started = true })
	select {
	case <-c.startedOnce:
	default:
		close(c.startedOnce)
	}
}

// setReady is for a container that runs: one that has ended since is not ready.
func (c *container) setReady(ready bool) {
	c.change(func() { c.ready = ready && c.state.Running != nil })
}

func (c *container) restartCount() int32 {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	return c.restarts
}

// status is the container's part of the pod's status; pod.mu is held.
func (c *container) status() corev1.ContainerStatus {
	image := c.image
	if image == "" {
		image = c.spec.Image
	}
	started := c.started
	if c.init && !c.sidecar {
		started = c.state.Running != nil
	}
	ready := c.ready
	if c.init && !c.sidecar { // an init container is ready once it has done its work
		ready = c.finished && c.succeeded
	}
	return corev1.ContainerStatus{
		Name:                 c.spec.Name,
		State:                c.state,
		LastTerminationState: c.last,
		Ready:                ready,
		Started:              &started,
		RestartCount:         c.restarts,
		Image:                image,
		ImageID:              c.imageID,
		ContainerID:          c.containerID,
	}
}

// containerID names one start of a container.
func containerID(uid types.UID, name string, start int32) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", uid, name, start))
	return "process://" + hex.EncodeToString(sum[:])
}

// sleep waits; false when ctx is done first.
func sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// mergeDone is done when either of two contexts is.
func mergeDone(a, b context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a)
	stop := context.AfterFunc(b, cancel)
	return ctx, func() { stop(); cancel() }
}

// now is the time as the API keeps it, in whole seconds: what is written and
// what comes back are to be the same.
func now() metav1.Time { return second(time.Now()) }

func second(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }

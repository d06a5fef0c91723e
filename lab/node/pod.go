package node

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// hostIP is the node's own address.
const hostIP = "127.0.0.1"

// removedGrace is how long the processes of a pod have whose object is gone
// already.
const removedGrace = 2 * time.Second

// pod is one pod of this node, from its arrival until it is gone.
type pod struct {
	agent           *agent
	namespace, name string
	uid             types.UID
	dir             string // of its containers' files
	log             *slog.Logger
	inits, mains    []*container
	logs            map[string]*logFile // by container

	stop, force       context.Context // asked to end; grace is over
	stopNow, forceNow context.CancelFunc
	dirty             chan struct{} // the status is to be written
	removed           chan struct{} // the object is gone from the API

	mu          sync.Mutex
	object      *corev1.Pod // as the API had it last
	ip          netip.Addr
	startedAt   metav1.Time
	initialized bool
	ended       bool  // no container runs or will run
	endedTicks  int64 // of CPU, of the processes that have ended
	killTimer   *time.Timer
	killAt      time.Time
}

func newPod(agent *agent, object *corev1.Pod) *pod {
	p := &pod{
		agent:     agent,
		namespace: object.Namespace,
		name:      object.Name,
		uid:       object.UID,
		dir:       filepath.Join(agent.cfg.StateDir, "volumes", string(object.UID)),
		log:       agent.cfg.Log.With("namespace", object.Namespace, "pod", object.Name),
		logs:      map[string]*logFile{},
		dirty:     make(chan struct{}, 1),
		removed:   make(chan struct{}),
		object:    object,
		startedAt: now(),
	}
	if object.Status.StartTime != nil {
		p.startedAt = *object.Status.StartTime
	}
	p.force, p.forceNow = context.WithCancel(agent.force)
	p.stop, p.stopNow = context.WithCancel(agent.stop)
	policy := object.Spec.RestartPolicy
	for i := range object.Spec.InitContainers {
		spec := &object.Spec.InitContainers[i]
		sidecar := spec.RestartPolicy != nil && *spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
		c := p.newContainer(spec, object.Status.InitContainerStatuses)
		c.init, c.sidecar, c.always, c.onFailure = true, sidecar, sidecar, policy != corev1.RestartPolicyNever
		p.inits = append(p.inits, c)
	}
	for i := range object.Spec.Containers {
		c := p.newContainer(&object.Spec.Containers[i], object.Status.ContainerStatuses)
		c.always = policy == corev1.RestartPolicyAlways || policy == ""
		c.onFailure = policy == corev1.RestartPolicyOnFailure
		c.resume(policy)
		p.mains = append(p.mains, c)
	}
	return p
}

func (p *pod) newContainer(spec *corev1.Container, statuses []corev1.ContainerStatus) *container {
	reason := reasonCreating
	if len(p.object.Spec.InitContainers) > 0 {
		reason = reasonInitializing
	}
	c := &container{
		pod: p, spec: spec, startedOnce: make(chan struct{}),
		state: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
	}
	for _, s := range statuses {
		if s.Name == spec.Name {
			c.restore(s)
		}
	}
	return c
}

// restore takes up what an earlier agent reported of the container.
func (c *container) restore(s corev1.ContainerStatus) {
	c.restarts, c.last = s.RestartCount, s.LastTerminationState
	c.image, c.imageID, c.containerID = s.Image, s.ImageID, s.ContainerID
	switch {
	case s.State.Terminated != nil:
		c.last = s.State
	case s.State.Running != nil:
		// It ended with that agent, and nobody saw how.
		c.last = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: reasonStatusUnknown,
			Message:   "The container could not be located when the node agent started again",
			StartedAt: s.State.Running.StartedAt, FinishedAt: now(), ContainerID: s.ContainerID,
		}}
	default:
		return
	}
	c.startedAt = c.last.Terminated.StartedAt.Time
	c.restarts++
}

// resume ends a restored main container for good when its policy forbids
// another start.
func (c *container) resume(policy corev1.RestartPolicy) {
	was := c.last.Terminated
	if was == nil || c.always || c.onFailure && was.ExitCode != 0 || policy == "" {
		return
	}
	c.restarts--
	c.state, c.last = c.last, corev1.ContainerState{}
	c.finished, c.succeeded = true, was.ExitCode == 0
}

// run is the pod's life. It returns once nothing of it runs any more and the
// API has been told, or when the agent ends.
func (p *pod) run() {
	defer p.forceNow()
	defer p.stopNow()
	writing := make(chan struct{})
	written, stopWriting := context.WithCancel(p.agent.stop)
	go func() {
		defer close(writing)
		p.writeStatus(written)
	}()
	p.live()
	p.mu.Lock()
	p.ended = true
	if p.killTimer != nil {
		p.killTimer.Stop()
	}
	p.mu.Unlock()
	p.release()
	p.changed()
	<-p.stop.Done() // a pod that completed stays until it is deleted
	stopWriting()
	<-writing
	if p.agent.stop.Err() == nil {
		p.conclude()
		p.clean()
	}
}

// live starts the containers and returns when all have ended for good.
func (p *pod) live() {
	for _, c := range append(append([]*container{}, p.inits...), p.mains...) {
		path := logPath(p.agent.logDir, p.namespace, p.name, c.spec.Name)
		file, err := openLogFile(path, p.log)
		if err != nil {
			p.log.Error("container log not opened", "error", err)
			file = &logFile{path: path, log: p.log}
		}
		defer file.close()
		p.logs[c.spec.Name] = file
	}
	if !p.attachAddress() {
		return
	}
	// Sidecars outlive the containers they serve, also when the pod is deleted.
	stopSidecars, sidecarsStop := context.WithCancel(p.agent.stop)
	defer sidecarsStop()
	forceSidecars, sidecarsForce := context.WithCancel(p.force)
	defer sidecarsForce()
	var sidecars sync.WaitGroup
	startSidecar := func(c *container) {
		sidecars.Go(func() { c.supervise(stopSidecars, forceSidecars) })
	}
	if p.initialize(startSidecar) {
		var mains sync.WaitGroup
		for _, c := range p.mains {
			if !c.finished {
				mains.Go(func() { c.supervise(p.stop, p.force) })
			}
		}
		mains.Wait()
	}
	sidecarsStop()
	late := time.AfterFunc(p.grace(), sidecarsForce)
	defer late.Stop()
	sidecars.Wait()
}

// initialize runs the init containers one after the other; false when the pod
// ends before they are done.
func (p *pod) initialize(startSidecar func(*container)) bool {
	for _, c := range p.inits {
		if p.stop.Err() != nil {
			return false
		}
		if c.sidecar {
			startSidecar(c)
			select {
			case <-c.startedOnce:
				continue
			case <-p.stop.Done():
				return false
			}
		}
		c.supervise(p.stop, p.force)
		p.mu.Lock()
		done := c.succeeded
		p.mu.Unlock()
		if !done {
			return false
		}
	}
	p.mu.Lock()
	p.initialized = true
	for _, c := range p.mains {
		if w := c.state.Waiting; w != nil && w.Reason == reasonInitializing {
			c.state.Waiting = &corev1.ContainerStateWaiting{Reason: reasonCreating}
		}
	}
	p.mu.Unlock()
	p.changed()
	return true
}

// attachAddress gives the pod its address; false when it was stopped first.
func (p *pod) attachAddress() bool {
	if p.current().Spec.HostNetwork {
		p.mu.Lock()
		p.ip = netip.MustParseAddr(hostIP)
		p.mu.Unlock()
		p.changed()
		return true
	}
	for {
		ip, err := p.agent.addresses.take(p.current().Status.PodIP)
		if err == nil {
			p.mu.Lock()
			p.ip = ip
			p.mu.Unlock()
			p.changed()
			return true
		}
		p.event(corev1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: "+err.Error())
		if !sleep(p.stop, 5*time.Second) {
			return false
		}
	}
}

// release gives the address back once no process can use it any more.
func (p *pod) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ip.IsValid() && !p.object.Spec.HostNetwork {
		p.agent.addresses.free(p.ip)
	}
}

// update takes the newest state of the pod's object.
func (p *pod) update(object *corev1.Pod) {
	p.mu.Lock()
	changed := object.Generation != p.object.Generation
	p.object = object
	p.mu.Unlock()
	if changed {
		p.changed()
	}
	if object.DeletionTimestamp != nil {
		p.endWithin(p.grace())
	}
}

// gone says that the object has been removed from the API.
func (p *pod) gone() {
	p.mu.Lock()
	select {
	case <-p.removed:
	default:
		close(p.removed)
	}
	p.mu.Unlock()
	p.endWithin(min(p.grace(), removedGrace))
}

// endWithin asks the pod's processes to end and kills them when grace is over.
// Asked again, it can only hurry.
func (p *pod) endWithin(grace time.Duration) {
	at := time.Now().Add(grace)
	p.mu.Lock()
	if p.killTimer == nil {
		p.killAt, p.killTimer = at, time.AfterFunc(grace, p.forceNow)
	} else if at.Before(p.killAt) && p.killTimer.Stop() {
		p.killAt = at
		p.killTimer.Reset(grace)
	}
	p.mu.Unlock()
	p.stopNow()
}

// grace is how long the pod's processes may take to end.
func (p *pod) grace() time.Duration {
	object := p.current()
	seconds := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if s := object.Spec.TerminationGracePeriodSeconds; s != nil {
		seconds = *s
	}
	if s := object.DeletionGracePeriodSeconds; s != nil {
		seconds = *s
	}
	return time.Duration(seconds) * time.Second
}

func (p *pod) current() *corev1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.object
}

func (p *pod) address() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ip.IsValid() {
		return ""
	}
	return p.ip.String()
}

func (p *pod) event(kind, reason, message string) {
	p.agent.recorder.Event(p.current(), kind, reason, message)
}

// clean removes the files of a pod that is gone, but for its logs.
func (p *pod) clean() {
	if err := os.RemoveAll(p.dir); err != nil {
		p.log.Warn("files of the pod not removed", "error", err)
	}
	pruneLogs(p.agent.logDir, logFilesKept)
}

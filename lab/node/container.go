package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/watchtower-verify/watchtower/lab/images"
)

// Reasons a container waits or has ended for, as the kubelet words them.
const (
	reasonCreating      = "ContainerCreating"
	reasonInitializing  = "PodInitializing"
	reasonErrPull       = "ErrImagePull"
	reasonPullBackOff   = "ImagePullBackOff"
	reasonInvalidName   = "InvalidImageName"
	reasonConfigError   = "CreateContainerConfigError"
	reasonCrashLoop     = "CrashLoopBackOff"
	reasonCompleted     = "Completed"
	reasonError         = "Error"
	reasonOOMKilled     = "OOMKilled"
	reasonStartError    = "StartError"
	reasonStatusUnknown = "ContainerStatusUnknown"
)

// container is one container of a pod, through all its starts.
type container struct {
	pod  *pod
	spec *corev1.Container
	init bool // runs to its end before the next one starts
	// always is for main containers of restart policy Always and for sidecars.
	always, onFailure bool
	sidecar           bool

	startedOnce chan struct{} // closed when it has started (its startup probe passed) for the first time

	// What follows is guarded by pod.mu.
	state, last           corev1.ContainerState
	restarts              int32
	ready                 bool
	started               bool
	image                 string
	imageID               string
	containerID           string
	process               *process  // nil when none runs
	succeeded             bool      // it has ended for good, and well
	finished              bool      // it has ended for good
	startedAt, previousAt time.Time // of the newest start and the one before it, exact
}

// supervise runs the container until it has ended for good or stop is done,
// which it answers by ending the process, at the latest when force is done.
func (c *container) supervise(stop, force context.Context) {
	restart := backoff{base: c.pod.agent.cfg.BackoffBase, max: c.pod.agent.cfg.BackoffMax}
	var pulled *images.Resolved
	for stop.Err() == nil {
		if pulled == nil || c.spec.ImagePullPolicy == corev1.PullAlways {
			var ok bool
			if pulled, ok = c.pull(stop); !ok {
				return
			}
		}
		run, ok := c.configure(stop, pulled.Image)
		if !ok || stop.Err() != nil { // a pod that is to end starts nothing
			return
		}
		ended := c.runOnce(stop, force, run)
		if ended == nil { // the agent itself is ending
			return
		}
		if stop.Err() != nil {
			return
		}
		if ended.ExitCode == 0 && !c.always || !c.always && !c.onFailure {
			c.finish(ended.ExitCode == 0)
			return
		}
		if !c.pause(stop, &restart, ended) {
			return
		}
	}
}

// pull resolves the image; false when stop came first.
func (c *container) pull(stop context.Context) (*images.Resolved, bool) {
	again := backoff{base: c.pod.agent.cfg.BackoffBase, max: c.pod.agent.cfg.BackoffMax}
	again.next = again.base // a pull that failed is not repeated at once
	for {
		resolved, err := c.pod.agent.cfg.Images.Resolve(c.spec.Image)
		if err == nil {
			c.pod.event(corev1.EventTypeNormal, "Pulled", fmt.Sprintf("Container image %q already present on machine", c.spec.Image))
			c.change(func() { c.image, c.imageID = resolved.Name, resolved.ID })
			return &resolved, true
		}
		wait := again.delay(0)
		reason, message := reasonErrPull, fmt.Sprintf("failed to pull and unpack image: %v", err)
		if errors.Is(err, images.ErrInvalidName) {
			reason, message = reasonInvalidName, fmt.Sprintf("Failed to apply default image tag %q: %v", c.spec.Image, err)
		}
		c.pod.event(corev1.EventTypeWarning, "Failed", fmt.Sprintf("Failed to pull image %q: %v", c.spec.Image, err))
		c.wait(reason, message)
		settle := c.settle()
		if !sleep(stop, settle) {
			return nil, false
		}
		if reason == reasonErrPull {
			c.wait(reasonPullBackOff, fmt.Sprintf("Back-off pulling image %q: %s: %s", c.spec.Image, reasonErrPull, message))
			c.pod.event(corev1.EventTypeNormal, "BackOff", fmt.Sprintf("Back-off pulling image %q", c.spec.Image))
		}
		if !sleep(stop, wait-settle) {
			return nil, false
		}
	}
}

// configure puts together what to run; false when stop came first.
func (c *container) configure(stop context.Context, im images.Image) (command, bool) {
	for {
		run, err := c.command(stop, im)
		if err == nil {
			return run, true
		}
		if stop.Err() != nil {
			return command{}, false
		}
		c.pod.event(corev1.EventTypeWarning, "Failed", "Error: "+err.Error())
		c.wait(reasonConfigError, err.Error())
		if !sleep(stop, c.pod.agent.cfg.BackoffBase) {
			return command{}, false
		}
	}
}

func (c *container) command(ctx context.Context, im images.Image) (command, error) {
	p := c.pod
	root, err := p.prepareRoot(ctx, c.spec)
	if err != nil {
		return command{}, err
	}
	at := places{podIP: p.address(), hostIP: hostIP, root: root}
	env, err := buildEnvironment(ctx, p.agent.cfg.Client, p.current(), c.spec, im, at)
	if err != nil {
		return command{}, err
	}
	run := command{env: env.list(), dir: root, log: p.logs[c.spec.Name]}
	if c.spec.WorkingDir != "" {
		run.dir = c.spec.WorkingDir
	}
	if len(c.spec.Command) > 0 {
		for _, word := range c.spec.Command {
			run.argv = append(run.argv, env.expand(word))
		}
	} else {
		run.argv = append(run.argv, im.Command...)
	}
	for _, word := range c.spec.Args {
		run.argv = append(run.argv, env.expand(word))
	}
	return run, nil
}

// runOnce runs the process to its end and returns how it ended; nil when the
// agent ended first.
func (c *container) runOnce(stop, force context.Context, run command) *corev1.ContainerStateTerminated {
	c.pod.event(corev1.EventTypeNormal, "Created", "Created container: "+c.spec.Name)
	id := containerID(c.pod.uid, c.spec.Name, c.restartCount())
	process, err := c.pod.agent.spawner.start(run)
	if errors.Is(err, errStopped) {
		return nil
	}
	if err != nil {
		at := now()
		c.pod.event(corev1.EventTypeWarning, "Failed", "Error: "+err.Error())
		return c.ended(corev1.ContainerStateTerminated{
			ExitCode: 128, Reason: reasonStartError, Message: err.Error(),
			StartedAt: at, FinishedAt: at, ContainerID: id,
		})
	}
	if limit, ok := c.spec.Resources.Limits[corev1.ResourceMemory]; ok {
		c.pod.agent.memory.limit(process, limit.Value())
	}
	startedAt := second(process.startedAt)
	c.change(func() {
		c.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: startedAt}}
		c.containerID, c.started, c.ready = id, false, false
		c.process = process
		c.startedAt, c.previousAt = process.startedAt, c.startedAt
	})
	c.pod.event(corev1.EventTypeNormal, "Started", "Started container "+c.spec.Name)
	c.attend(stop, force, run, process)
	return c.ended(terminated(process, id))
}

// attend stays with a running process until it has ended.
func (c *container) attend(stop, force context.Context, run command, process *process) {
	alive, died := context.WithCancel(context.Background())
	defer died()
	stopping, stopped := mergeDone(alive, stop)
	defer stopped()
	at := target{ip: c.pod.address(), ports: c.spec.Ports, run: run}
	probes := &probeSet{c: c, target: at, fail: make(chan probeFailure, 1)}
	probing := make(chan struct{})
	go func() {
		defer close(probing)
		probes.run(alive, stopping)
	}()
	defer func() { died(); <-probing }()

	if c.spec.Lifecycle != nil && c.spec.Lifecycle.PostStart != nil {
		if err := c.pod.agent.checker.hook(stopping, c.spec.Lifecycle.PostStart, at); err != nil && stop.Err() == nil {
			c.pod.event(corev1.EventTypeWarning, "FailedPostStartHook", fmt.Sprintf("PostStartHook failed: %v", err))
			c.end(force, process, at)
			return
		}
	}
	select {
	case <-process.done:
	case <-stop.Done():
		c.pod.event(corev1.EventTypeNormal, "Killing", "Stopping container "+c.spec.Name)
		c.end(force, process, at)
	case failure := <-probes.fail:
		c.pod.event(corev1.EventTypeNormal, "Killing", fmt.Sprintf("Container %s failed %s probe, will be restarted", c.spec.Name, failure.what))
		grace := c.pod.grace()
		if failure.probe.TerminationGracePeriodSeconds != nil {
			grace = time.Duration(*failure.probe.TerminationGracePeriodSeconds) * time.Second
		}
		limited, cancel := context.WithTimeout(force, grace)
		defer cancel()
		c.end(limited, process, at)
	}
}

// end carries out the preStop hook and stops the process, both before force is
// done.
func (c *container) end(force context.Context, process *process, at target) {
	if c.spec.Lifecycle != nil && c.spec.Lifecycle.PreStop != nil {
		hooked, cancel := context.WithCancel(force)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			select {
			case <-process.done:
				cancel()
			case <-hooked.Done():
			}
		}()
		if err := c.pod.agent.checker.hook(hooked, c.spec.Lifecycle.PreStop, at); err != nil {
			c.pod.event(corev1.EventTypeWarning, "FailedPreStopHook", fmt.Sprintf("PreStopHook failed: %v", err))
		}
		cancel()
		<-ended
	}
	process.stop(force)
}

func terminated(process *process, id string) corev1.ContainerStateTerminated {
	t := corev1.ContainerStateTerminated{
		ExitCode:    int32(min(process.exit.code, math.MaxInt32)), //nolint:gosec // an exit status has 8 bits
		Signal:      int32(process.exit.signal),                   //nolint:gosec // a signal number
		Reason:      reasonCompleted,
		StartedAt:   second(process.startedAt),
		FinishedAt:  second(process.exit.at),
		ContainerID: id,
	}
	switch {
	case process.outOfMem.Load():
		t.Reason = reasonOOMKilled
	case t.ExitCode != 0:
		t.Reason = reasonError
	}
	return t
}

// ended records how a start of the container ended.
func (c *container) ended(how corev1.ContainerStateTerminated) *corev1.ContainerStateTerminated {
	c.change(func() {
		c.containerID = how.ContainerID
		c.state = corev1.ContainerState{Terminated: &how}
		c.ready, c.started = false, false
		if c.process != nil {
			c.pod.endedTicks += c.process.ticks.Load()
			c.process = nil
		}
	})
	return &how
}

// pause waits before the next start, as long as the back-off says; false when
// stop came first.
func (c *container) pause(stop context.Context, restart *backoff, ended *corev1.ContainerStateTerminated) bool {
	delay := restart.delay(ended.FinishedAt.Sub(ended.StartedAt.Time))
	settle := c.settle()
	if !sleep(stop, settle) { // how it ended is to be seen for a moment
		return false
	}
	if delay > 0 {
		message := fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", delay, c.spec.Name, c.pod.name, c.pod.namespace, c.pod.uid)
		c.change(func() { c.last = corev1.ContainerState{Terminated: ended} })
		c.wait(reasonCrashLoop, message)
		c.pod.event(corev1.EventTypeWarning, "BackOff", "Back-off restarting failed container "+c.spec.Name)
		if !sleep(stop, delay-settle) {
			return false
		}
	}
	c.change(func() {
		c.last = corev1.ContainerState{Terminated: ended}
		c.restarts++
	})
	return true
}

// settle is how long a state stays that a back-off follows.
func (c *container) settle() time.Duration { return min(time.Second, c.pod.agent.cfg.BackoffBase/10) }

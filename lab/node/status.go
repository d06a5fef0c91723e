package node

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// status is the pod's status as things are, on top of what the API has: the
// conditions of others stay.
func (p *pod) status() corev1.PodStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	status := *p.object.Status.DeepCopy()
	status.ObservedGeneration = p.object.Generation
	status.HostIP, status.HostIPs = hostIP, []corev1.HostIP{{IP: hostIP}}
	status.StartTime = &p.startedAt
	status.InitContainerStatuses, status.ContainerStatuses = nil, nil
	if p.ip.IsValid() {
		status.PodIP = p.ip.String()
		status.PodIPs = []corev1.PodIP{{IP: p.ip.String()}}
	}
	for _, c := range p.inits {
		status.InitContainerStatuses = append(status.InitContainerStatuses, c.status())
	}
	for _, c := range p.mains {
		status.ContainerStatuses = append(status.ContainerStatuses, c.status())
	}
	status.Phase = p.phase()
	p.setConditions(&status)
	return status
}

// phase is what the kubelet makes of the states of the containers.
func (p *pod) phase() corev1.PodPhase {
	var waiting, running, failed, stopped int
	for _, c := range p.inits {
		if c.sidecar {
			if !c.started && !p.initialized {
				waiting++
			}
			continue
		}
		if c.finished && !c.succeeded {
			return corev1.PodFailed
		}
		if !c.finished {
			waiting++
		}
	}
	for _, c := range p.mains {
		switch {
		case c.state.Running != nil:
			running++
		case c.state.Terminated != nil:
			stopped++
			if c.state.Terminated.ExitCode != 0 {
				failed++
			}
		case c.last.Terminated != nil:
			stopped++
			if c.last.Terminated.ExitCode != 0 {
				failed++
			}
		default:
			waiting++
		}
	}
	policy := p.object.Spec.RestartPolicy
	terminal := p.ended || policy == corev1.RestartPolicyNever || policy == corev1.RestartPolicyOnFailure && failed == 0
	switch {
	case p.ended && stopped == 0 && running == 0: // deleted before anything ran
		return corev1.PodFailed
	case waiting > 0 && !p.ended:
		return corev1.PodPending
	case running > 0:
		return corev1.PodRunning
	case !terminal:
		return corev1.PodRunning // ended containers will be started again
	case failed > 0:
		return corev1.PodFailed
	}
	return corev1.PodSucceeded
}

func (p *pod) setConditions(status *corev1.PodStatus) {
	var unready, uninitialized []string
	for _, c := range p.mains {
		if !c.ready {
			unready = append(unready, c.spec.Name)
		}
	}
	for _, c := range p.inits {
		if c.sidecar {
			if !c.ready {
				unready = append(unready, c.spec.Name)
			}
			if !c.started && !p.initialized {
				uninitialized = append(uninitialized, c.spec.Name)
			}
			continue
		}
		if !c.finished || !c.succeeded {
			uninitialized = append(uninitialized, c.spec.Name)
		}
	}
	set := func(kind corev1.PodConditionType, ok bool, reason, message string) {
		setCondition(status, kind, ok, reason, message)
	}
	set(corev1.PodScheduled, true, "", "")
	set(corev1.PodReadyToStartContainers, p.ip.IsValid() && !p.ended, "", "")
	if status.Phase == corev1.PodSucceeded {
		set(corev1.PodInitialized, true, "PodCompleted", "")
		set(corev1.ContainersReady, false, "PodCompleted", "")
		set(corev1.PodReady, false, "PodCompleted", "")
		return
	}
	if len(uninitialized) > 0 {
		set(corev1.PodInitialized, false, "ContainersNotInitialized", fmt.Sprintf("containers with incomplete status: [%s]", strings.Join(uninitialized, " ")))
	} else {
		set(corev1.PodInitialized, true, "", "")
	}
	switch {
	case status.Phase == corev1.PodFailed:
		set(corev1.ContainersReady, false, "PodFailed", "")
		set(corev1.PodReady, false, "PodFailed", "")
	case len(unready) > 0:
		message := fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
		set(corev1.ContainersReady, false, "ContainersNotReady", message)
		set(corev1.PodReady, false, "ContainersNotReady", message)
	default:
		set(corev1.ContainersReady, true, "", "")
		gate := closedGate(p.object, status.Conditions)
		if gate != "" {
			set(corev1.PodReady, false, "ReadinessGatesNotReady", fmt.Sprintf("the status of pod readiness gate %q is not \"True\"", gate))
			return
		}
		set(corev1.PodReady, true, "", "")
	}
}

// closedGate is a readiness gate of the pod that is not open.
func closedGate(pod *corev1.Pod, conditions []corev1.PodCondition) string {
gates:
	for _, gate := range pod.Spec.ReadinessGates {
		for _, c := range conditions {
			if c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue {
				continue gates
			}
		}
		return string(gate.ConditionType)
	}
	return ""
}

// setCondition changes the time of transition only when the status changes.
func setCondition(status *corev1.PodStatus, kind corev1.PodConditionType, ok bool, reason, message string) {
	value := corev1.ConditionFalse
	if ok {
		value = corev1.ConditionTrue
	}
	next := corev1.PodCondition{
		Type: kind, Status: value, Reason: reason, Message: message,
		ObservedGeneration: status.ObservedGeneration, LastTransitionTime: now(),
	}
	for i, c := range status.Conditions {
		if c.Type == kind {
			if c.Status == value {
				next.LastTransitionTime = c.LastTransitionTime
			}
			status.Conditions[i] = next
			return
		}
	}
	status.Conditions = append(status.Conditions, next)
}

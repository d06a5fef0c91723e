package kube

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// crashMemory is how long before a release a container's end still counts as
// the container's state. A stable pod that was restarted last week must not
// make a release that crashes every minute look like its equal.
const crashMemory = time.Hour

// pod is what is kept of a pod of a followed release.
type pod struct {
	metav1.ObjectMeta
	owner  string // UID of the controlling ReplicaSet
	labels map[string]string
	state  release.Pod
	active bool // neither evicted nor finished: the ReplicaSet counts on it
}

// podTransform trims pods for a release that started at the given time.
func podTransform(started time.Time) cache.TransformFunc {
	return func(obj any) (any, error) {
		p, ok := obj.(*corev1.Pod)
		if !ok {
			return obj, nil
		}
		return trimPod(p, started.Add(-crashMemory)), nil
	}
}

// trimPod keeps of a pod what is needed; ends of containers before forget are
// left out.
func trimPod(p *corev1.Pod, forget time.Time) *pod {
	trimmed := &pod{
		ObjectMeta: trimMeta(&p.ObjectMeta),
		labels:     p.Labels,
		state:      podState(p, forget),
		active:     p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded,
	}
	if owner := metav1.GetControllerOf(p); owner != nil {
		trimmed.owner = string(owner.UID)
	}
	return trimmed
}

// podState describes a pod; ends of containers before forget are left out.
func podState(p *corev1.Pod, forget time.Time) release.Pod {
	out := release.Pod{
		Name:      p.Name,
		IP:        p.Status.PodIP,
		CreatedAt: p.CreationTimestamp.UTC(),
		Deleting:  p.DeletionTimestamp != nil,
	}
	for i := range p.Status.Conditions {
		c := &p.Status.Conditions[i]
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			since := c.LastTransitionTime.UTC()
			out.ReadyAt = &since
		}
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		out.Restarts += int(s.RestartCount)
		if d := Digest(s.ImageID); d != "" {
			if out.Digests == nil {
				out.Digests = make(map[string]string)
			}
			out.Digests[s.Name] = d
		}
		out.Problems = append(out.Problems, problems(&s, forget)...)
	}
	return out
}

// problems says what is wrong with a container, the most telling first.
func problems(s *corev1.ContainerStatus, forget time.Time) []release.Problem {
	var out []release.Problem
	add := func(kind release.ProblemKind, message string) {
		out = append(out, release.Problem{Kind: kind, Container: s.Name, Message: message})
	}
	end := lastEnd(s, forget)
	if end != nil && end.Reason == "OOMKilled" {
		add(release.OOMKilled, fmt.Sprintf("killed for want of memory, %s", restarts(s)))
	}
	waiting := s.State.Waiting
	if waiting == nil {
		waiting = &corev1.ContainerStateWaiting{}
	}
	if kind, ok := release.WaitingProblem(waiting.Reason); ok && kind != release.CrashLoop {
		add(kind, words(waiting))
	}
	failedAgain := s.RestartCount >= 2 && end != nil && (end.ExitCode != 0 || end.Signal != 0)
	if waiting.Reason == "CrashLoopBackOff" || failedAgain {
		add(release.CrashLoop, crashWords(s, end))
	}
	return out
}

// lastEnd is how the container ended last, nil when it never did or did so
// before forget. A container that backs off now has not been forgotten.
func lastEnd(s *corev1.ContainerStatus, forget time.Time) *corev1.ContainerStateTerminated {
	end := s.State.Terminated
	if end == nil {
		end = s.LastTerminationState.Terminated
	}
	if end == nil || (s.State.Waiting == nil && earlier(end.FinishedAt, forget)) {
		return nil
	}
	return end
}

func words(w *corev1.ContainerStateWaiting) string {
	if w.Message == "" {
		return w.Reason
	}
	return w.Reason + ": " + w.Message
}

func crashWords(s *corev1.ContainerStatus, end *corev1.ContainerStateTerminated) string {
	if end == nil {
		return "ends soon after each start, " + restarts(s)
	}
	how := fmt.Sprintf("ended with exit code %d", end.ExitCode)
	if end.Reason != "" && end.Reason != "Error" && end.Reason != "Completed" {
		how += " (" + end.Reason + ")"
	}
	return how + ", " + restarts(s)
}

func restarts(s *corev1.ContainerStatus) string {
	if s.RestartCount == 1 {
		return "restarted once"
	}
	return fmt.Sprintf("restarted %d times", s.RestartCount)
}

// activePods lists the active pods of a ReplicaSet in order of name.
func activePods(pods cache.Indexer, replicaSetUID string) []*pod {
	objs, err := pods.ByIndex(byOwner, replicaSetUID)
	if err != nil {
		return nil // only an unknown index name gives an error
	}
	out := make([]*pod, 0, len(objs))
	for _, obj := range objs {
		if p := obj.(*pod); p.active {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *pod) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func statesOf(pods []*pod) []release.Pod {
	out := make([]release.Pod, 0, len(pods))
	for _, p := range pods {
		out = append(out, p.state)
	}
	return out
}

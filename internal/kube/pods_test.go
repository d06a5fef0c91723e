package kube

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func waitingFor(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func ended(reason string, code int32, at time.Time) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: reason, ExitCode: code, FinishedAt: metav1.NewTime(at),
	}}
}

func TestProblemsOfAContainer(t *testing.T) {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	lately, longAgo := epoch, epoch.Add(-3*time.Hour) // the release began at epoch
	tests := []struct {
		name   string
		status corev1.ContainerStatus
		want   []release.Problem
	}{
		{"running", corev1.ContainerStatus{State: running}, nil},
		{"starting", corev1.ContainerStatus{State: waitingFor("ContainerCreating", "")}, nil},
		{
			"backing off after crashes",
			corev1.ContainerStatus{State: waitingFor("CrashLoopBackOff", "back-off"), LastTerminationState: ended("Error", 2, lately), RestartCount: 1},
			[]release.Problem{{Kind: release.CrashLoop, Message: "ended with exit code 2, restarted once"}},
		},
		{
			"backing off from an end long ago",
			corev1.ContainerStatus{State: waitingFor("CrashLoopBackOff", "back-off"), LastTerminationState: ended("Error", 2, longAgo), RestartCount: 9},
			[]release.Problem{{Kind: release.CrashLoop, Message: "ended with exit code 2, restarted 9 times"}},
		},
		{
			"backing off with nothing known of the end",
			corev1.ContainerStatus{State: waitingFor("CrashLoopBackOff", "")},
			[]release.Problem{{Kind: release.CrashLoop, Message: "ends soon after each start, restarted 0 times"}},
		},
		{
			"up again after its second crash",
			corev1.ContainerStatus{State: running, LastTerminationState: ended("Error", 1, lately), RestartCount: 2},
			[]release.Problem{{Kind: release.CrashLoop, Message: "ended with exit code 1, restarted 2 times"}},
		},
		{"up again after its first crash", corev1.ContainerStatus{State: running, LastTerminationState: ended("Error", 1, lately), RestartCount: 1}, nil},
		{"up again after clean ends", corev1.ContainerStatus{State: running, LastTerminationState: ended("Completed", 0, lately), RestartCount: 5}, nil},
		{"crashed long before the release", corev1.ContainerStatus{State: running, LastTerminationState: ended("Error", 1, longAgo), RestartCount: 8}, nil},
		{
			"killed for memory and up again",
			corev1.ContainerStatus{State: running, LastTerminationState: ended("OOMKilled", 137, lately), RestartCount: 1},
			[]release.Problem{{Kind: release.OOMKilled, Message: "killed for want of memory, restarted once"}},
		},
		{
			"killed for memory just now",
			corev1.ContainerStatus{State: ended("OOMKilled", 137, lately), LastTerminationState: ended("Error", 1, longAgo)},
			[]release.Problem{{Kind: release.OOMKilled, Message: "killed for want of memory, restarted 0 times"}},
		},
		{"killed for memory long before the release", corev1.ContainerStatus{State: running, LastTerminationState: ended("OOMKilled", 137, longAgo), RestartCount: 1}, nil},
		{
			"killed for memory again and again",
			corev1.ContainerStatus{State: waitingFor("CrashLoopBackOff", ""), LastTerminationState: ended("OOMKilled", 137, lately), RestartCount: 4},
			[]release.Problem{
				{Kind: release.OOMKilled, Message: "killed for want of memory, restarted 4 times"},
				{Kind: release.CrashLoop, Message: "ended with exit code 137 (OOMKilled), restarted 4 times"},
			},
		},
		{"image cannot be pulled", corev1.ContainerStatus{State: waitingFor("ErrImagePull", "no such tag")}, []release.Problem{{Kind: release.ImagePull, Message: "ErrImagePull: no such tag"}}},
		{"image pull backs off", corev1.ContainerStatus{State: waitingFor("ImagePullBackOff", "")}, []release.Problem{{Kind: release.ImagePull, Message: "ImagePullBackOff"}}},
		{"image name is no name", corev1.ContainerStatus{State: waitingFor("InvalidImageName", "")}, []release.Problem{{Kind: release.ImagePull, Message: "InvalidImageName"}}},
		{"config map is missing", corev1.ContainerStatus{State: waitingFor("CreateContainerConfigError", `configmap "x" not found`)}, []release.Problem{{Kind: release.ConfigError, Message: `CreateContainerConfigError: configmap "x" not found`}}},
		{"command cannot be run", corev1.ContainerStatus{State: waitingFor("RunContainerError", "no such file")}, []release.Problem{{Kind: release.ConfigError, Message: "RunContainerError: no such file"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.status.Name = "app"
			for i := range tt.want {
				tt.want[i].Container = "app"
			}
			if diff := cmp.Diff(tt.want, problems(&tt.status, epoch.Add(-crashMemory))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPodState(t *testing.T) {
	sum := "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	ready := epoch.Add(time.Minute)
	now := metav1.NewTime(epoch)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "webapp-abc-12345", CreationTimestamp: now, DeletionTimestamp: &now},
		Status: corev1.PodStatus{
			PodIP:      "10.0.0.7",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(ready)}},
			InitContainerStatuses: []corev1.ContainerStatus{
				{Name: "migrate", ImageID: "registry.test/migrate@" + sum, RestartCount: 1, State: waitingFor("CrashLoopBackOff", "")},
			},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "app", RestartCount: 2}},
		},
	}
	want := release.Pod{
		Name: "webapp-abc-12345", IP: "10.0.0.7", CreatedAt: epoch, ReadyAt: &ready, Restarts: 3, Deleting: true,
		Digests:  map[string]string{"migrate": sum},
		Problems: []release.Problem{{Kind: release.CrashLoop, Container: "migrate", Message: "ends soon after each start, restarted once"}},
	}
	if diff := cmp.Diff(want, podState(p, epoch)); diff != "" {
		t.Error(diff)
	}
	p.Status.Conditions[0].Status = corev1.ConditionFalse
	if podState(p, epoch).ReadyAt != nil {
		t.Error("a pod that is not ready has a time since when it is")
	}
}

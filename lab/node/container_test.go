package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/watchtower-verify/watchtower/lab/images"
)

func TestACrashingContainerBacksOff(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", "exit 3"))
	pod := n.until("a", "in a crash loop after its second end", func(p *corev1.Pod) bool {
		return waits(reasonCrashLoop)(p) && p.Status.ContainerStatuses[0].RestartCount >= 1
	})
	s := pod.Status.ContainerStatuses[0]
	last := s.LastTerminationState.Terminated
	if last == nil || last.ExitCode != 3 || last.Reason != reasonError || last.FinishedAt.IsZero() || last.ContainerID == "" {
		t.Errorf("last state %+v", s.LastTerminationState)
	}
	if pod.Status.Phase != corev1.PodRunning || ready(pod) || s.Ready || *s.Started {
		t.Errorf("phase %s, status %+v", pod.Status.Phase, s)
	}
	if !strings.Contains(s.State.Waiting.Message, "back-off") || !strings.Contains(s.State.Waiting.Message, "container=main") {
		t.Errorf("message %q", s.State.Waiting.Message)
	}
}

func TestASignalIsAnErrorWithItsNumber(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", "kill -SEGV $$$$", func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }))
	pod := n.until("a", "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if how := pod.Status.ContainerStatuses[0].State.Terminated; how.ExitCode != 139 || how.Signal != 11 || how.Reason != reasonError {
		t.Errorf("it ended with %+v", how)
	}
}

func TestRestartPolicies(t *testing.T) {
	for name, c := range map[string]struct {
		policy corev1.RestartPolicy
		script string
		phase  corev1.PodPhase
		reason string
		again  bool
	}{
		"never after success":      {corev1.RestartPolicyNever, "exit 0", corev1.PodSucceeded, reasonCompleted, false},
		"never after failure":      {corev1.RestartPolicyNever, "exit 4", corev1.PodFailed, reasonError, false},
		"on failure after success": {corev1.RestartPolicyOnFailure, "exit 0", corev1.PodSucceeded, reasonCompleted, false},
		"on failure after failure": {corev1.RestartPolicyOnFailure, "exit 4", corev1.PodRunning, reasonError, true},
		"always after success":     {corev1.RestartPolicyAlways, "exit 0", corev1.PodRunning, reasonCompleted, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.create(sh("a", c.script, func(p *corev1.Pod) { p.Spec.RestartPolicy = c.policy }))
			pod := n.until("a", "as the policy has it", func(p *corev1.Pod) bool {
				if c.again {
					return restarted(p)
				}
				return p.Status.Phase == c.phase
			})
			s := pod.Status.ContainerStatuses[0]
			ended := s.State.Terminated
			if c.again {
				ended = s.LastTerminationState.Terminated
			}
			if pod.Status.Phase != c.phase || ended == nil || ended.Reason != c.reason {
				t.Errorf("phase %s, status %+v", pod.Status.Phase, s)
			}
		})
	}
}

func TestACompletedPodStaysUntilItIsDeleted(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", "exit 0", func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }))
	pod := n.until("a", "completed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	if c := conditionOf(pod, corev1.PodReady); c.Status != corev1.ConditionFalse || c.Reason != "PodCompleted" {
		t.Errorf("ready is %+v", c)
	}
	n.remove("a", 30)
	n.untilGone("a")
}

func TestAnImageThatIsNotThereBacksOffUntilItIs(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", "sleep 1000", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "shop/later:1" }))
	pod := n.until("a", "backing off", waits(reasonPullBackOff))
	s := pod.Status.ContainerStatuses[0]
	if pod.Status.Phase != corev1.PodPending || s.ImageID != "" || s.RestartCount != 0 || !strings.Contains(s.State.Waiting.Message, "not found") {
		t.Errorf("phase %s, status %+v", pod.Status.Phase, s)
	}
	if _, err := n.cat.Add(images.Image{Reference: "shop/later:1", Command: []string{"sh"}}); err != nil {
		t.Fatal(err)
	}
	n.until("a", "ready, now that the image is there", ready)
}

func TestAnImageThatCannotBeNamedSaysSo(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", "", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "Not An Image" }))
	n.until("a", "waiting for a valid name", waits(reasonInvalidName))
}

func TestAMissingConfigMapIsWaitedFor(t *testing.T) {
	n := newNode(t)
	out := filepath.Join(t.TempDir(), "out")
	n.create(sh("a", `echo "$GREETING" > `+out+`.tmp; mv `+out+`.tmp `+out+`; sleep 1000`, func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "GREETING", ValueFrom: &corev1.EnvVarSource{
			ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "words"}, Key: "hello"},
		}}}
	}))
	pod := n.until("a", "waiting for its configuration", waits(reasonConfigError))
	if m := pod.Status.ContainerStatuses[0].State.Waiting.Message; m != `configmap "words" not found` {
		t.Errorf("message %q", m)
	}
	if _, err := n.client.CoreV1().ConfigMaps("shop").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "words", Namespace: "shop"}, Data: map[string]string{"hello": "hi there"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { said, _ := os.ReadFile(out); return string(said) == "hi there\n" }, func() string { return "it was not started with its value" })
}

func TestAnExecutableThatIsNotThereIsAStartError(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", "", func(p *corev1.Pod) {
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		p.Spec.Containers[0].Command = []string{"/does/not/exist"}
	}))
	pod := n.until("a", "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if how := pod.Status.ContainerStatuses[0].State.Terminated; how.Reason != reasonStartError || how.ExitCode != 128 || !strings.Contains(how.Message, "/does/not/exist") {
		t.Errorf("it ended with %+v", how)
	}
}

func TestAContainerAboveItsMemoryLimitIsKilled(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", "", func(p *corev1.Pod) {
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		c := &p.Spec.Containers[0]
		c.Image, c.Command = "shop/hungry:1", nil
		c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
	}))
	pod := n.until("a", "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if how := pod.Status.ContainerStatuses[0].State.Terminated; how.Reason != reasonOOMKilled || how.ExitCode != 137 {
		t.Errorf("it ended with %+v", how)
	}
}

// fileProbe succeeds while a file exists.
func fileProbe(path string) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"test", "-e", path}}},
		PeriodSeconds: 1, FailureThreshold: 1,
	}
}

func TestReadinessFollowsItsProbe(t *testing.T) {
	n := newNode(t)
	file := filepath.Join(t.TempDir(), "ready")
	n.create(sh("a", "sleep 1000", func(p *corev1.Pod) { p.Spec.Containers[0].ReadinessProbe = fileProbe(file) }))
	pod := n.until("a", "running", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	if c := conditionOf(pod, corev1.PodReady); c.Status != corev1.ConditionFalse || c.Reason != "ContainersNotReady" {
		t.Errorf("ready is %+v", c)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.until("a", "ready", ready)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	pod = n.until("a", "unready", func(p *corev1.Pod) bool { return !ready(p) })
	if restarted(pod) {
		t.Error("an unready container was restarted")
	}
}

func TestAFailedLivenessProbeRestartsTheContainer(t *testing.T) {
	n := newNode(t)
	file := filepath.Join(t.TempDir(), "alive")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.create(sh("a", "trap '' TERM; while :; do sleep 0.05; done", func(p *corev1.Pod) {
		grace := int64(1)
		p.Spec.Containers[0].LivenessProbe = fileProbe(file)
		p.Spec.Containers[0].LivenessProbe.TerminationGracePeriodSeconds = &grace
	}))
	n.until("a", "ready", ready)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	pod := n.until("a", "restarted", restarted)
	if last := pod.Status.ContainerStatuses[0].LastTerminationState.Terminated; last.ExitCode != 137 || last.Reason != reasonError {
		t.Errorf("it ended with %+v", last)
	}
}

func TestOtherProbesWaitForTheStartupProbe(t *testing.T) {
	n := newNode(t)
	file := filepath.Join(t.TempDir(), "started")
	n.create(sh("a", "sleep 1000", func(p *corev1.Pod) {
		p.Spec.Containers[0].StartupProbe = fileProbe(file)
		p.Spec.Containers[0].StartupProbe.FailureThreshold = 1000
		p.Spec.Containers[0].LivenessProbe = fileProbe(file)
	}))
	pod := n.until("a", "running", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	if s := pod.Status.ContainerStatuses[0]; *s.Started || s.Ready {
		t.Errorf("status %+v", s)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pod = n.until("a", "ready", ready)
	if s := pod.Status.ContainerStatuses[0]; !*s.Started || s.RestartCount != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestAFailedStartupProbeRestartsTheContainer(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", "sleep 1000", func(p *corev1.Pod) {
		p.Spec.Containers[0].StartupProbe = &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(9)}},
			PeriodSeconds: 1, FailureThreshold: 2,
		}
	}))
	n.until("a", "restarted", restarted)
}

func TestInitContainersRunInTurnBeforeTheOthers(t *testing.T) {
	n := newNode(t)
	note := filepath.Join(t.TempDir(), "note")
	step := func(name, script string) corev1.Container {
		return corev1.Container{Name: name, Image: "shop/sh:1", Command: []string{"sh", "-c", script}}
	}
	n.create(sh("a", "echo main >> "+note+"; sleep 1000", func(p *corev1.Pod) {
		always := corev1.ContainerRestartPolicyAlways
		sidecar := step("sidecar", "sleep 1000")
		sidecar.RestartPolicy = &always
		p.Spec.InitContainers = []corev1.Container{
			step("one", "sleep 0.2; echo one >> "+note), sidecar, step("two", "echo two >> "+note),
		}
	}))
	pod := n.until("a", "ready", ready)
	waitFor(t, func() bool { said, _ := os.ReadFile(note); return string(said) == "one\ntwo\nmain\n" }, func() string {
		said, _ := os.ReadFile(note)
		return fmt.Sprintf("they ran in the order %q", said)
	})
	s := pod.Status.InitContainerStatuses
	if s[0].State.Terminated == nil || s[0].State.Terminated.Reason != reasonCompleted || !s[0].Ready || s[1].State.Running == nil {
		t.Errorf("init statuses %+v", s)
	}
	n.remove("a", 5)
	n.untilGone("a")
}

func TestAFailedInitContainerKeepsTheOthersFromStarting(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", "sleep 1000", func(p *corev1.Pod) {
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		p.Spec.InitContainers = []corev1.Container{{Name: "one", Image: "shop/sh:1", Command: []string{"sh", "-c", "exit 5"}}}
	}))
	pod := n.until("a", "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if c := conditionOf(pod, corev1.PodInitialized); c.Status != corev1.ConditionFalse || !strings.Contains(c.Message, "one") {
		t.Errorf("initialized is %+v", c)
	}
	if s := pod.Status.ContainerStatuses[0]; s.State.Waiting == nil || s.State.Waiting.Reason != reasonInitializing {
		t.Errorf("main is %+v", s.State)
	}
}

func TestPreStopRunsBeforeTheEnd(t *testing.T) {
	n := newNode(t)
	note := filepath.Join(t.TempDir(), "note")
	n.create(sh("a", "trap 'echo term >> "+note+"; exit 0' TERM; while :; do sleep 0.05; done", func(p *corev1.Pod) {
		p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{
			Exec: &corev1.ExecAction{Command: []string{"sh", "-c", "sleep 0.2; echo hook >> " + note}},
		}}
	}))
	n.until("a", "ready", ready)
	n.remove("a", 10)
	n.untilGone("a")
	if said, _ := os.ReadFile(note); string(said) != "hook\nterm\n" {
		t.Errorf("the order was %q", said)
	}
}

func TestWhatAContainerLeavesBehindEndsWithIt(t *testing.T) {
	n := newNode(t)
	pids := filepath.Join(t.TempDir(), "pid")
	n.create(sh("a", "sleep 1000 & echo $! > "+pids+".tmp; mv "+pids+".tmp "+pids+"; exit 1", func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }))
	pid := readPID(t, pids)
	n.until("a", "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	waitFor(t, func() bool { return !running(pid) }, func() string { return "its child runs still" })
}

func TestMountsAreFoundBelowPodRoot(t *testing.T) {
	n := newNode(t)
	out := filepath.Join(t.TempDir(), "out")
	if _, err := n.client.CoreV1().Secrets("shop").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "keys", Namespace: "shop"}, Data: map[string][]byte{"key": []byte("k1")},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	script := `cat $(POD_ROOT)/etc/keys/key $(POD_ROOT)/etc/pod/name > $(POD_ROOT)/data/x; cp data/x ` + out + `.tmp; mv ` + out + `.tmp ` + out + `; sleep 1000`
	n.create(sh("a", script, func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{
			{Name: "keys", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "keys"}}},
			{Name: "pod", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{Path: "name", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}}},
			{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{
			{Name: "keys", MountPath: "/etc/keys"}, {Name: "pod", MountPath: "/etc/pod"}, {Name: "data", MountPath: "/data"},
		}
	}))
	waitFor(t, func() bool { said, _ := os.ReadFile(out); return string(said) == "k1a" }, func() string { return fmt.Sprintf("%+v", n.get("a").Status) })
	n.remove("a", 5)
	n.untilGone("a")
	waitFor(t, func() bool {
		left, _ := os.ReadDir(filepath.Join(n.cfg.StateDir, "volumes"))
		return len(left) == 0
	}, func() string { return "its files are left" })
}

func TestBackoffDoublesUpToItsBoundAndForgets(t *testing.T) {
	b := backoff{base: 10 * time.Second, max: 5 * time.Minute}
	for i, want := range []time.Duration{0, 10, 20, 40, 80, 160, 300, 300} {
		if got := b.delay(time.Second); got != want*time.Second {
			t.Errorf("delay %d is %s, want %ds", i, got, want)
		}
	}
	if got := b.delay(10 * time.Minute); got != 0 {
		t.Errorf("after a long run the delay is %s", got)
	}
	if got := b.delay(time.Second); got != 10*time.Second {
		t.Errorf("then it is %s", got)
	}
}

package node

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAPodWithoutANodeIsBoundAndRuns(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", "sleep 1000"))
	pod := n.until("a", "ready", ready)
	if pod.Spec.NodeName != "node-1" || pod.Status.Phase != corev1.PodRunning {
		t.Errorf("node %q, phase %s", pod.Spec.NodeName, pod.Status.Phase)
	}
	s := pod.Status.ContainerStatuses[0]
	resolved, err := n.cat.Resolve("shop/sh:1")
	if err != nil {
		t.Fatal(err)
	}
	if s.ImageID != "docker.io/shop/sh@"+resolved.Image.Digest || s.State.Running == nil || !s.Ready || !*s.Started || s.RestartCount != 0 || s.ContainerID == "" {
		t.Errorf("container status %+v", s)
	}
	if !strings.HasPrefix(pod.Status.PodIP, "127.99.") || pod.Status.PodIPs[0].IP != pod.Status.PodIP || pod.Status.HostIP != "127.0.0.1" || pod.Status.StartTime == nil {
		t.Errorf("status %+v", pod.Status)
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReadyToStartContainers} {
		if c := conditionOf(pod, kind); c.Status != corev1.ConditionTrue || c.LastTransitionTime.IsZero() {
			t.Errorf("condition %s is %+v", kind, c)
		}
	}
}

func TestTheNodeIsReadyAndKeepsItsLease(t *testing.T) {
	n := newNode(t)
	waitFor(t, func() bool {
		node, err := n.client.CoreV1().Nodes().Get(t.Context(), "node-1", metav1.GetOptions{})
		if err != nil || len(node.Status.Conditions) == 0 {
			return false
		}
		lease, err := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(t.Context(), "node-1", metav1.GetOptions{})
		return err == nil && lease.Spec.RenewTime != nil && node.Status.Conditions[0].Type == corev1.NodeReady &&
			node.Status.Conditions[0].Status == corev1.ConditionTrue && node.Status.DaemonEndpoints.KubeletEndpoint.Port > 0
	}, func() string { return "the node is not ready" })
}

func TestPodsTheNodeCannotTakeWaitAndSayWhy(t *testing.T) {
	n := newNode(t, func(c *Config) { c.MaxPods = 1 })
	n.create(sh("picky", "sleep 1000", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"gpu": "yes"} }))
	n.until("picky", "unschedulable", func(p *corev1.Pod) bool {
		return conditionOf(p, corev1.PodScheduled).Reason == corev1.PodReasonUnschedulable
	})
	n.create(sh("first", "sleep 1000"))
	n.until("first", "ready", ready)
	n.create(sh("second", "sleep 1000"))
	n.until("second", "told that there is no room", func(p *corev1.Pod) bool {
		return strings.Contains(conditionOf(p, corev1.PodScheduled).Message, "Too many pods")
	})
	n.remove("first", 5)
	n.until("second", "ready, once there is room", ready)
}

func TestAPodOfAnotherSchedulerOrNodeIsLeftAlone(t *testing.T) {
	n := newNode(t)
	n.create(sh("theirs", "sleep 1000", func(p *corev1.Pod) { p.Spec.SchedulerName = "other" }))
	n.create(sh("elsewhere", "sleep 1000", func(p *corev1.Pod) { p.Spec.NodeName = "node-2" }))
	n.create(sh("ours", "sleep 1000"))
	n.until("ours", "ready", ready)
	for _, name := range []string{"theirs", "elsewhere"} {
		if pod := n.get(name); pod.Status.Phase != "" || pod.Spec.NodeName == "node-1" {
			t.Errorf("%s: %+v", name, pod.Status)
		}
	}
}

func TestADeletedPodEndsByItselfWithinItsGrace(t *testing.T) {
	n := newNode(t)
	note := filepath.Join(t.TempDir(), "note")
	n.create(sh("polite", `trap 'echo bye > `+note+`; exit 0' TERM; while :; do sleep 0.05; done`))
	n.until("polite", "ready", ready)
	n.remove("polite", 10)
	n.untilGone("polite")
	if said, _ := os.ReadFile(note); string(said) != "bye\n" {
		t.Errorf("it was not asked to end: %q", said)
	}
}

func TestADeletedPodThatDoesNotEndIsKilled(t *testing.T) {
	n := newNode(t)
	pids := filepath.Join(t.TempDir(), "pid")
	n.create(sh("stubborn", `trap '' TERM; echo $$$$ > `+pids+`.tmp; mv `+pids+`.tmp `+pids+`; while :; do sleep 0.05; done`))
	n.until("stubborn", "ready", ready)
	pid := readPID(t, pids)
	n.remove("stubborn", 1)
	began := time.Now()
	n.untilGone("stubborn")
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("its grace of 1 s lasted %s", took)
	}
	if running(pid) {
		t.Error("its process runs still")
	}
}

func TestAForcedDeletionEndsTheProcess(t *testing.T) {
	n := newNode(t)
	pids := filepath.Join(t.TempDir(), "pid")
	n.create(sh("a", `echo $$$$ > `+pids+`.tmp; mv `+pids+`.tmp `+pids+`; sleep 1000`))
	n.until("a", "ready", ready)
	pid := readPID(t, pids)
	if err := n.client.CoreV1().Pods("shop").Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return !running(pid) }, func() string { return "its process runs still" })
}

func TestStoppingTheAgentEndsProcessesAndLeavesThePods(t *testing.T) {
	n := newNode(t)
	pids := filepath.Join(t.TempDir(), "pid")
	script := `trap '' TERM; echo $$$$ > ` + pids + `.tmp; mv ` + pids + `.tmp ` + pids + `; while :; do sleep 0.05; done`
	n.create(sh("a", script))
	before := n.until("a", "ready", ready)
	pid := readPID(t, pids)
	n.stop()
	if running(pid) {
		t.Error("its process runs still")
	}
	if pod := n.get("a"); pod == nil || !ready(pod) {
		t.Errorf("the pod was changed: %+v", pod)
	}
	_ = os.Remove(pids)
	n.start()
	after := n.until("a", "started again", func(p *corev1.Pod) bool { return ready(p) && restarted(p) })
	s := after.Status.ContainerStatuses[0]
	if s.RestartCount != 1 || s.LastTerminationState.Terminated == nil || s.LastTerminationState.Terminated.Reason != reasonStatusUnknown {
		t.Errorf("container status %+v", s)
	}
	if after.Status.PodIP != before.Status.PodIP || !after.Status.StartTime.Equal(before.Status.StartTime) {
		t.Errorf("address %s, started %s; before %s, %s", after.Status.PodIP, after.Status.StartTime, before.Status.PodIP, before.Status.StartTime)
	}
}

func TestAPodDeletedWhileTheAgentWasAwayIsRemoved(t *testing.T) {
	n := newNode(t)
	starts := filepath.Join(t.TempDir(), "starts")
	n.create(sh("a", "echo started >> "+starts+"; sleep 1000"))
	n.until("a", "ready", ready)
	waitFor(t, func() bool { _, err := os.Stat(starts); return err == nil }, func() string { return "it has not started" })
	n.stop()
	n.remove("a", 30)
	n.start()
	n.untilGone("a")
	if said, _ := os.ReadFile(starts); string(said) != "started\n" {
		t.Errorf("it was started again to be ended: %q", said)
	}
}

func TestTheStatusIsMadeUpForWhenTheAPIIsBack(t *testing.T) {
	n := newNode(t)
	die := filepath.Join(t.TempDir(), "die")
	n.create(sh("a", "while ! test -e "+die+"; do sleep 0.02; done; exit 3"))
	n.until("a", "ready", ready)
	n.broken.Store(true)
	calls := n.calls.Load()
	if err := os.WriteFile(die, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return n.calls.Load() > calls }, func() string { return "no status was tried" })
	if restarted(n.get("a")) {
		t.Fatal("the status was written while the API was away")
	}
	n.broken.Store(false)
	n.until("a", "seen to have crashed", func(p *corev1.Pod) bool {
		return restarted(p) && p.Status.ContainerStatuses[0].LastTerminationState.Terminated.ExitCode == 3
	})
}

func TestConfigIsChecked(t *testing.T) {
	whole := newNode(t).cfg
	for name, change := range map[string]func(*Config){
		"no client":                func(c *Config) { c.Client, c.RESTConfig = nil, nil },
		"no name":                  func(c *Config) { c.NodeName = "" },
		"no images":                func(c *Config) { c.Images = nil },
		"no state directory":       func(c *Config) { c.StateDir = "" },
		"no range":                 func(c *Config) { c.PodRange = netip.Prefix{} },
		"a range of the outside":   func(c *Config) { c.PodRange = netip.MustParsePrefix("10.0.0.0/24") },
		"a range too small":        func(c *Config) { c.PodRange = netip.MustParsePrefix("127.1.1.0/30") },
		"a range of IPv6 loopback": func(c *Config) { c.PodRange = netip.MustParsePrefix("::1/128") },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := whole
			change(&cfg)
			if err := Run(t.Context(), cfg); err == nil || !strings.HasPrefix(err.Error(), "node: ") {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// readPID waits for a process to tell its number.
func readPID(t *testing.T, path string) int {
	t.Helper()
	var pid int
	waitFor(t, func() bool {
		content, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(content)))
		return err == nil
	}, func() string { return path + " has no process number" })
	return pid
}

// running is false for a process that is gone or waits to be reaped.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

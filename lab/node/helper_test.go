package node

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/watchtower-verify/watchtower/lab/images"
)

// TestMain also is the program some tests run as a container.
func TestMain(m *testing.M) {
	switch os.Getenv("NODE_TEST_PROGRAM") {
	case "":
		goleak.VerifyTestMain(m)
	case "eat-memory":
		var eaten [][]byte
		for {
			block := make([]byte, 4<<20)
			for i := range block {
				block[i] = 1
			}
			eaten = append(eaten, block)
			time.Sleep(10 * time.Millisecond)
			if len(eaten) > 1000 {
				os.Exit(9)
			}
		}
	case "agent":
		runAgentProgram()
	}
}

// runAgentProgram starts a process group as the agent does and waits to be
// killed.
func runAgentProgram() {
	dir := os.Getenv("NODE_TEST_DIR")
	groups, err := openGroups(filepath.Join(dir, "groups"), slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	log, err := openLogFile(filepath.Join(dir, "log"), slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	script := fmt.Sprintf("sleep 1000 & echo $! > %[1]s/child; echo $$ > %[1]s/leader; mv %[1]s/leader %[1]s/ready; wait", dir)
	if _, err := newSpawner(context.Background(), groups).start(command{
		argv: []string{"sh", "-c", script}, env: []string{"PATH=" + os.Getenv("PATH")}, dir: dir, log: log,
	}); err != nil {
		panic(err)
	}
	select {}
}

// labNode is an agent under test, on a fake API server.
type labNode struct {
	t      *testing.T
	client *fake.Clientset
	cat    *images.Catalogue
	cfg    Config
	stop   func()
	calls  atomic.Int64 // status updates
	broken atomic.Bool  // the API answers with errors
}

var podRanges atomic.Int64

func newNode(t *testing.T, change ...func(*Config)) *labNode {
	t.Helper()
	t.Parallel()
	n := &labNode{t: t, client: fake.NewClientset()}
	n.client.PrependReactor("create", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "binding" {
			return false, nil, nil
		}
		binding := action.(clienttesting.CreateAction).GetObject().(*corev1.Binding)
		pod := n.get(binding.Name).DeepCopy()
		pod.Spec.NodeName = binding.Target.Name
		return true, binding, n.client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), pod, "shop")
	})
	n.client.PrependReactor("update", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "status" {
			return false, nil, nil
		}
		n.calls.Add(1)
		if n.broken.Load() {
			return true, nil, fmt.Errorf("connection refused")
		}
		return false, nil, nil
	})
	cat, err := images.Open(filepath.Join(t.TempDir(), "images.json"))
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cat.Add(
		images.Image{Reference: "shop/sh:1", Command: []string{"sh", "-c", "sleep 1000"}, Env: map[string]string{"FROM_IMAGE": "yes"}},
		images.Image{Reference: "shop/hungry:1", Command: []string{self}, Env: map[string]string{"NODE_TEST_PROGRAM": "eat-memory"}},
	); err != nil {
		t.Fatal(err)
	}
	n.cat = cat
	n.cfg = Config{
		Client: n.client, NodeName: "node-1", Images: cat, StateDir: t.TempDir(),
		PodRange:    netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 99, byte(podRanges.Add(1)), 0}), 24),
		BackoffBase: 100 * time.Millisecond, StopGrace: time.Second,
	}
	for _, do := range change {
		do(&n.cfg)
	}
	n.start()
	return n
}

// start runs the agent until stop, or the end of the test.
func (n *labNode) start() {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := Run(ctx, n.cfg); err != nil {
			n.t.Error(err)
		}
	})
	var once sync.Once
	n.stop = func() { once.Do(func() { cancel(); wg.Wait() }) }
	n.t.Cleanup(n.stop)
}

var uids atomic.Int64

// sh is a pod with one container that runs a script.
func sh(name, script string, change ...func(*corev1.Pod)) *corev1.Pod {
	grace := int64(5)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID(fmt.Sprintf("uid-%d", uids.Add(1)))},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{Name: "main", Image: "shop/sh:1", Command: []string{"sh", "-c", script}}},
		},
	}
	for _, do := range change {
		do(pod)
	}
	return pod
}

func (n *labNode) create(pod *corev1.Pod) {
	n.t.Helper()
	if _, err := n.client.CoreV1().Pods("shop").Create(n.t.Context(), pod, metav1.CreateOptions{}); err != nil {
		n.t.Fatal(err)
	}
}

// get returns the pod as the API has it, nil when it is gone.
func (n *labNode) get(name string) *corev1.Pod {
	obj, err := n.client.Tracker().Get(corev1.SchemeGroupVersion.WithResource("pods"), "shop", name)
	if err != nil {
		return nil
	}
	return obj.(*corev1.Pod)
}

// remove is what `kubectl delete` does: it asks the node to end the pod.
func (n *labNode) remove(name string, graceSeconds int64) {
	n.t.Helper()
	pod := n.get(name).DeepCopy()
	now := metav1.Now()
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &now, &graceSeconds
	pod.Finalizers = nil
	if err := n.client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), pod, "shop"); err != nil {
		n.t.Fatal(err)
	}
}

// until waits for a pod to be as wanted and returns it.
func (n *labNode) until(name, what string, is func(*corev1.Pod) bool) *corev1.Pod {
	n.t.Helper()
	var pod *corev1.Pod
	waitFor(n.t, func() bool {
		pod = n.get(name)
		return pod != nil && is(pod)
	}, func() string { return fmt.Sprintf("pod %s is not %s: %+v", name, what, n.get(name)) })
	return pod
}

// untilGone waits for a pod to be gone from the API.
func (n *labNode) untilGone(name string) {
	n.t.Helper()
	waitFor(n.t, func() bool { return n.get(name) == nil }, func() string { return fmt.Sprintf("pod %s is not gone: %+v", name, n.get(name)) })
}

func waitFor(t *testing.T, is func() bool, otherwise func() string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise())
		}
	}
}

func ready(pod *corev1.Pod) bool {
	return conditionOf(pod, corev1.PodReady).Status == corev1.ConditionTrue
}

func conditionOf(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

func waits(reason string) func(*corev1.Pod) bool {
	return func(pod *corev1.Pod) bool {
		return len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].State.Waiting != nil &&
			pod.Status.ContainerStatuses[0].State.Waiting.Reason == reason
	}
}

func restarted(pod *corev1.Pod) bool {
	return len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].RestartCount > 0
}

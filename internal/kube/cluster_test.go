package kube

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// kubeconfigVariable names a kubeconfig with full rights on a cluster whose
// Deployment and ReplicaSet controllers run. No node is needed: the tests write
// the pods' statuses themselves.
const kubeconfigVariable = "WATCHTOWER_TEST_KUBECONFIG"

// realCluster is a namespace of its own on a real API server with a Watcher.
type realCluster struct {
	t       *testing.T
	config  *rest.Config
	client  kubernetes.Interface
	ns      string
	seen    recorder
	watcher *Watcher
	actor   *Actor
	last    release.Rollout
	line    *line // the Watcher's way to the API server
}

// connect makes a client with connections of its own, closed with the test.
func (c *realCluster) connect(change func(*rest.Config)) kubernetes.Interface {
	c.t.Helper()
	config := rest.CopyConfig(c.config)
	change(config)
	if config.Dial == nil {
		config.Dial = c.newLine().dial
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

func (c *realCluster) newLine() *line {
	var l line
	c.t.Cleanup(func() { l.cut(true) })
	return &l
}

// line is a network that can be cut.
type line struct {
	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, syscall.ECONNREFUSED
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

func (l *line) cut(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	for _, conn := range l.conns {
		_ = conn.Close()
	}
	l.conns = nil
}

func onCluster(t *testing.T) *realCluster {
	t.Helper()
	path := os.Getenv(kubeconfigVariable)
	if path == "" {
		t.Skip(kubeconfigVariable + " is not set: no API server to test against")
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 100, 200
	c := &realCluster{t: t, ns: fmt.Sprintf("kube-test-%d", time.Now().UnixNano()%1e9)}
	c.config = config
	c.client = c.connect(func(*rest.Config) {})
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.ns}}
	must[*corev1.Namespace](t)(c.client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}))
	t.Cleanup(func() {
		_ = c.client.CoreV1().Namespaces().Delete(context.Background(), c.ns, metav1.DeleteOptions{})
	})
	cfg := Config{Cluster: testCluster, Namespaces: []string{c.ns}}
	c.line = c.newLine()
	watching := c.connect(func(cfg *rest.Config) { cfg.Dial = c.line.dial })
	c.watcher = NewWatcher(watching, cfg, &c.seen, slog.New(slog.NewTextHandler(t.Output(), nil)))
	c.actor = NewActor(c.client, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.watcher.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c.eventually("the watcher is synced", c.watcher.Synced)
	return c
}

// eventually waits on a condition of the real world, which no bubble holds.
func (c *realCluster) eventually(what string, ok func() bool) time.Duration {
	c.t.Helper()
	began := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if ok() {
			return time.Since(began)
		}
		if time.Since(began) > 20*time.Second {
			c.t.Fatalf("not within 20 s: %s", what)
		}
	}
	return 0
}

// rollout waits for the Watcher to tell of a Rollout.
func (c *realCluster) rollout(what string, ok func(release.Rollout) bool) time.Duration {
	c.t.Helper()
	return c.eventually(what, func() bool {
		rollouts, _ := c.seen.take()
		for _, r := range rollouts {
			c.last = r
			if ok(r) {
				return true
			}
		}
		return false
	})
}

func (c *realCluster) create(change func(*appsv1.Deployment)) {
	c.t.Helper()
	d := newDeployment("", good)
	d.ObjectMeta = metav1.ObjectMeta{Name: testName, Namespace: c.ns}
	d.Spec.Template.Spec.Containers[0].Resources.Limits = nil
	if change != nil {
		change(d)
	}
	must[*appsv1.Deployment](c.t)(c.client.AppsV1().Deployments(c.ns).Create(c.t.Context(), d, metav1.CreateOptions{}))
}

// edit changes the Deployment and gives the moment the API server had it.
func (c *realCluster) edit(change func(*appsv1.Deployment)) time.Time {
	c.t.Helper()
	deployments := c.client.AppsV1().Deployments(c.ns)
	for {
		d := must[*appsv1.Deployment](c.t)(deployments.Get(c.t.Context(), testName, metav1.GetOptions{}))
		change(d)
		_, err := deployments.Update(c.t.Context(), d, metav1.UpdateOptions{})
		if err == nil {
			return time.Now()
		}
		if !strings.Contains(err.Error(), "the object has been modified") {
			c.t.Fatal(err)
		}
	}
}

func setImage(image string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = image }
}

// pods writes the status of every pod of a ReplicaSet, as a kubelet would.
func (c *realCluster) pods(hash string, change func(*corev1.PodStatus)) {
	c.t.Helper()
	pods := c.client.CoreV1().Pods(c.ns)
	list := must[*corev1.PodList](c.t)(pods.List(c.t.Context(), metav1.ListOptions{LabelSelector: labelTemplateHash + "=" + hash}))
	for i := range list.Items {
		change(&list.Items[i].Status)
		if _, err := pods.UpdateStatus(c.t.Context(), &list.Items[i], metav1.UpdateOptions{}); err != nil &&
			!strings.Contains(err.Error(), "not found") && !strings.Contains(err.Error(), "modified") {
			c.t.Fatal(err)
		}
	}
}

func ready(s *corev1.PodStatus) {
	now := metav1.Now()
	s.Phase, s.PodIP = corev1.PodRunning, "10.0.0.1"
	s.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now}}
	s.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "app", Ready: true, Image: good, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		ImageID: "registry.test/webapp@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	}}
}

func crashing(s *corev1.PodStatus) {
	s.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "app", Image: bad, RestartCount: 2, State: waitingFor("CrashLoopBackOff", "back-off 20s"), LastTerminationState: ended("Error", 1, time.Now()),
	}}
}

// rolledOut brings the good image up and rolls out the bad one.
func (c *realCluster) rolledOut() release.RollbackRequest {
	c.t.Helper()
	c.create(nil)
	c.rollout("the first rollout", func(r release.Rollout) bool { return r.Current.Images[0].Reference == good })
	target := c.last.Current
	c.eventually("three good pods are ready", func() bool { c.pods(target.Hash, ready); return c.restored(target) })
	at := c.edit(setImage(bad))
	c.rollout("the bad rollout", func(r release.Rollout) bool { return r.Current.Images[0].Reference == bad })
	c.t.Logf("rollout told %s after the API server had it", time.Since(at))
	if seen := time.Since(at); seen > time.Second {
		c.t.Errorf("the rollout was told %s after the API server had it", seen)
	}
	return release.RollbackRequest{
		Release: "r1", Workload: c.last.Workload, From: c.last.Current, Target: target,
	}
}

func (c *realCluster) restored(target release.ReplicaSet) bool {
	c.t.Helper()
	ok, err := c.actor.Restored(c.t.Context(), c.last.Workload, target)
	if err != nil {
		c.t.Fatal(err)
	}
	return ok
}

func TestOnAClusterABadRolloutIsSeenAndTakenBack(t *testing.T) {
	c := onCluster(t)
	req := c.rolledOut()
	if len(c.last.Others) != 1 || c.last.Others[0].UID != req.Target.UID || c.last.Others[0].Ready == 0 {
		t.Errorf("others %+v", c.last.Others)
	}
	target := req.Target
	c.watcher.Follow(release.Release{ID: "r1", Workload: req.Workload, ReplicaSet: req.From, Previous: &target, StartedAt: req.From.CreatedAt})
	c.eventually("the bad pod is seen crashing", func() bool {
		c.pods(req.From.Hash, crashing)
		o, ok := c.watcher.Observe("r1")
		return ok && o.Current && len(o.Release.Pods) > 0 && len(o.Release.Pods[0].Problems) == 1 &&
			o.Stable.Ready > 0 && len(o.Stable.Pods[0].Digests) == 1
	})

	began := time.Now()
	result, err := c.actor.Rollback(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("rollback accepted after %s", time.Since(began))
	if took := time.Since(began); took > time.Second {
		t.Errorf("the rollback took %s", took)
	}
	c.rollout("the good replicaset is current again", func(r release.Rollout) bool { return r.Current.UID == target.UID })
	if c.last.Generation != result.Generation || c.last.Replicas != 3 ||
		c.last.Annotations["rolled-back-release"] != "r1" || c.last.Annotations["rolled-back-to"] != target.Name {
		t.Errorf("rollout %+v after %+v", c.last, result)
	}
	c.eventually("the good pods are ready", func() bool { c.pods(target.Hash, ready); return c.restored(target) })
	sets, err := c.actor.ReplicaSets(t.Context(), req.Workload)
	if err != nil || len(sets) != 2 || sets[0].UID != target.UID || sets[0].Ready != 3 || sets[0].Revision != 3 {
		t.Errorf("replicasets %+v, %v", sets, err)
	}
	again, err := c.actor.Rollback(t.Context(), req)
	if err != nil || !again.Already {
		t.Errorf("a second rollback gave %+v, %v", again, err)
	}
	o, _ := c.watcher.Observe("r1")
	if o.Current {
		t.Error("the bad release is still current")
	}
}

func TestOnAClusterAnAPIServerThatIsAwayIsWaitedFor(t *testing.T) {
	c := onCluster(t)
	req := c.rolledOut()
	c.watcher.Follow(release.Release{ID: "r1", Workload: req.Workload, ReplicaSet: req.From, Previous: &req.Target, StartedAt: req.From.CreatedAt})
	c.eventually("the release is observed", func() bool { o, ok := c.watcher.Observe("r1"); return ok && o.Current })
	c.line.cut(true)
	lost := time.Now()
	c.eventually("the loss is noticed", func() bool { return time.Since(c.watcher.LastContact()) > time.Second })
	c.edit(setImage(next))
	if o, ok := c.watcher.Observe("r1"); !ok || !o.Current {
		t.Errorf("observation %+v, %t, want what was last known", o, ok)
	}
	c.line.cut(false)
	took := c.rollout("the rollout of meanwhile", func(r release.Rollout) bool { return r.Current.Images[0].Reference == next })
	c.t.Logf("away for %s, told %s after the return", time.Since(lost)-took, took)
	c.eventually("the release is no longer current", func() bool { o, _ := c.watcher.Observe("r1"); return !o.Current })
	c.eventually("contact is restored", func() bool { return time.Since(c.watcher.LastContact()) < 100*time.Millisecond })
}

func TestOnAClusterAMissingPermissionIsNamed(t *testing.T) {
	c := onCluster(t)
	req := c.rolledOut()
	client := c.connect(func(cfg *rest.Config) { cfg.Impersonate = rest.ImpersonationConfig{UserName: "nobody"} })
	_, err := NewActor(client, Config{Cluster: testCluster}).Rollback(t.Context(), req)
	assertError(t, err, release.CodeRefused, `grant its service account the verb "get" on deployments.apps in namespace `+c.ns)
}

func TestOnAClusterAnEventIsWrittenOnce(t *testing.T) {
	c := onCluster(t)
	c.create(nil)
	c.rollout("the rollout", func(release.Rollout) bool { return true })
	for range 2 {
		if err := c.actor.Event(t.Context(), c.last.Workload, "r1/event", "ReleaseRegressed", "worse", true); err != nil {
			t.Fatal(err)
		}
	}
	list := must[*corev1.EventList](t)(c.client.CoreV1().Events(c.ns).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=ReleaseRegressed"}))
	if len(list.Items) != 1 || string(list.Items[0].InvolvedObject.UID) != c.last.Workload.UID {
		t.Errorf("events %+v", list.Items)
	}
}

func TestOnAClusterTheDeadlineOfTheVersionBeforeSaysNothing(t *testing.T) {
	c := onCluster(t)
	c.create(func(d *appsv1.Deployment) { limit := int32(2); d.Spec.ProgressDeadlineSeconds = &limit })
	c.rollout("the first rollout", func(r release.Rollout) bool { return r.Current.Images[0].Reference == good })
	first := c.last.Current
	follow := func(id release.ID, v release.ReplicaSet) {
		c.watcher.Follow(release.Release{ID: id, Workload: c.last.Workload, ReplicaSet: v, StartedAt: v.CreatedAt})
	}
	follow("first", first)
	c.eventually("the deadline of the first passes", func() bool { o, ok := c.watcher.Observe("first"); return ok && o.DeadlineExceeded })
	c.edit(setImage(bad))
	c.rollout("the second rollout", func(r release.Rollout) bool { return r.Current.Images[0].Reference == bad })
	follow("second", c.last.Current)
	c.eventually("the second is observed", func() bool { _, ok := c.watcher.Observe("second"); return ok })
	if o, _ := c.watcher.Observe("second"); o.DeadlineExceeded {
		t.Error("the first version's deadline counts against the second")
	}
	c.eventually("the deadline of the second passes", func() bool { o, _ := c.watcher.Observe("second"); return o.DeadlineExceeded })
	if o, _ := c.watcher.Observe("first"); o.DeadlineExceeded || o.Current {
		t.Errorf("the first is observed as %+v", o)
	}
	c.edit(setImage(good))
	c.rollout("the first is current again", func(r release.Rollout) bool { return r.Current.UID == first.UID })
	if o, _ := c.watcher.Observe("first"); o.DeadlineExceeded {
		t.Error("the second version's deadline counts against the first")
	}
}

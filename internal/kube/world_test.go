package kube

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// recorder keeps what the Handler was told since the last look.
type recorder struct {
	mu       sync.Mutex
	rollouts []release.Rollout
	gone     []release.Workload
}

func (r *recorder) Rollout(x release.Rollout) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rollouts = append(r.rollouts, x)
}

func (r *recorder) Gone(w release.Workload) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = append(r.gone, w)
}

func (r *recorder) take() ([]release.Rollout, []release.Workload) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rollouts, gone := r.rollouts, r.gone
	r.rollouts, r.gone = nil, nil
	return rollouts, gone
}

// world is a cluster on the fake clientset with a Watcher on it, inside a
// synctest bubble: after settle everything that follows from a change has
// happened.
type world struct {
	t       *testing.T
	client  *fake.Clientset
	watcher *Watcher
	seen    recorder
}

func inWorld(t *testing.T, cfg Config, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, client: fake.NewClientset()}
		cfg.Cluster = testCluster
		w.watcher = NewWatcher(w.client, cfg, &w.seen, slog.New(slog.DiscardHandler))
		test(w)
	})
}

// run starts the Watcher until the test ends.
func (w *world) run() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.watcher.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("run: %v", err)
		}
	})
	synctest.Wait()
}

// only gives the one Rollout that was told of since the last look.
func (w *world) only() release.Rollout {
	w.t.Helper()
	synctest.Wait()
	rollouts, gone := w.seen.take()
	if len(rollouts) != 1 || len(gone) != 0 {
		w.t.Fatalf("told of %d rollouts %+v and %v gone, want one rollout", len(rollouts), rollouts, gone)
	}
	return rollouts[0]
}

func (w *world) nothing(after string) {
	w.t.Helper()
	synctest.Wait()
	if rollouts, gone := w.seen.take(); len(rollouts) != 0 || len(gone) != 0 {
		w.t.Fatalf("after %s: told of %+v and %v gone, want nothing", after, rollouts, gone)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (w *world) get() *appsv1.Deployment {
	return must[*appsv1.Deployment](w.t)(w.client.AppsV1().Deployments(testNS).Get(context.Background(), testName, metav1.GetOptions{}))
}

// edit changes the Deployment's spec as a user would.
func (w *world) edit(change func(*appsv1.Deployment)) {
	w.t.Helper()
	d := w.get()
	d.Generation++
	change(d)
	w.put(d)
}

func (w *world) put(d *appsv1.Deployment) {
	w.t.Helper()
	must[*appsv1.Deployment](w.t)(w.client.AppsV1().Deployments(d.Namespace).Update(context.Background(), d, metav1.UpdateOptions{}))
}

// observe is the controller's status update.
func (w *world) observe() {
	w.t.Helper()
	d := w.get()
	d.Status.ObservedGeneration = d.Generation
	w.put(d)
}

// makeSet is the controller making a ReplicaSet for the present template.
func (w *world) makeSet(hash string, revision int) *appsv1.ReplicaSet {
	w.t.Helper()
	d := w.get()
	rs := newReplicaSet(d, d.Name+"-"+hash, "rs-"+hash, revision, epoch.Add(time.Duration(revision)*time.Minute))
	return must[*appsv1.ReplicaSet](w.t)(w.client.AppsV1().ReplicaSets(d.Namespace).Create(context.Background(), rs, metav1.CreateOptions{}))
}

func (w *world) updateSet(hash string, change func(*appsv1.ReplicaSet)) {
	w.t.Helper()
	sets := w.client.AppsV1().ReplicaSets(testNS)
	rs := must[*appsv1.ReplicaSet](w.t)(sets.Get(context.Background(), testName+"-"+hash, metav1.GetOptions{}))
	change(rs)
	must[*appsv1.ReplicaSet](w.t)(sets.Update(context.Background(), rs, metav1.UpdateOptions{}))
}

// first makes a Deployment whose first rollout is over, before the Watcher runs.
func (w *world) first() {
	w.t.Helper()
	d := newDeployment("uid-1", good)
	d.Annotations = map[string]string{"watchtower.dev/autonomy": "auto", "team": "shop"}
	must[*appsv1.Deployment](w.t)(w.client.AppsV1().Deployments(testNS).Create(context.Background(), d, metav1.CreateOptions{}))
	w.makeSet("a", 1)
	w.updateSet("a", func(rs *appsv1.ReplicaSet) { rs.Status = appsv1.ReplicaSetStatus{Replicas: 3, ReadyReplicas: 3} })
	w.observe()
}

// roll rolls out an image as another ReplicaSet.
func (w *world) roll(image, hash string, revision int) {
	w.t.Helper()
	w.edit(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = image })
	w.makeSet(hash, revision)
	w.observe()
}

func versionOf(hash string, revision int64, image string) release.ReplicaSet {
	return release.ReplicaSet{
		Name: testName + "-" + hash, UID: "rs-" + hash, Hash: hash, Revision: revision,
		Images:    []release.Image{{Container: "app", Reference: image}},
		CreatedAt: epoch.Add(time.Duration(revision) * time.Minute),
	}
}

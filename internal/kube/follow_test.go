package kube

import (
	"context"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// badRelease is the rollout from a to b.
func badRelease() release.Release {
	previous := versionOf("a", 1, good)
	return release.Release{
		ID: "r1", Workload: testWorkload("uid-1"), ReplicaSet: versionOf("b", 2, bad), Previous: &previous,
		Generation: 2, StartedAt: epoch,
	}
}

func (w *world) pod(hash, suffix string, change func(*corev1.Pod)) {
	w.t.Helper()
	yes := true
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: testNS, Name: testName + "-" + hash + "-" + suffix, CreationTimestamp: metav1.NewTime(epoch),
			Labels: map[string]string{"app": testName, labelTemplateHash: hash},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: testName + "-" + hash, UID: types.UID("rs-" + hash), Controller: &yes,
			}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if change != nil {
		change(p)
	}
	must[*corev1.Pod](w.t)(w.client.CoreV1().Pods(testNS).Create(context.Background(), p, metav1.CreateOptions{}))
}

func (w *world) observation() release.Observation {
	w.t.Helper()
	synctest.Wait()
	o, ok := w.watcher.Observe("r1")
	if !ok {
		w.t.Fatal("release r1 is not observed")
	}
	return o
}

func podNames(a release.ArmState) []string {
	var names []string
	for _, p := range a.Pods {
		names = append(names, p.Name)
	}
	return names
}

func TestObserveTellsOfBothArms(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.roll(bad, "b", 2)
		w.updateSet("b", func(rs *appsv1.ReplicaSet) { rs.Status = appsv1.ReplicaSetStatus{Replicas: 2, ReadyReplicas: 1} })
		w.pod("a", "22222", nil)
		w.pod("a", "11111", nil)
		w.pod("b", "11111", func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: waitingFor("CrashLoopBackOff", ""), RestartCount: 3}}
		})
		w.pod("c", "11111", nil) // another ReplicaSet's
		w.pod("b", "stray", func(p *corev1.Pod) { p.OwnerReferences[0].UID = "of another deployment" })
		w.pod("b", "evicted", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
		w.watcher.Follow(badRelease())
		if _, ok := w.watcher.Observe("r1"); ok {
			t.Error("observed before it ran")
		}
		w.run()
		o := w.observation()
		if !o.Exists || !o.Current || o.Generation != 2 || o.Replicas != 3 || o.Paused || o.Complete || o.DeadlineExceeded {
			t.Errorf("observation %+v", o)
		}
		if o.Release.Replicas != 2 || o.Release.Ready != 1 || o.Stable.Replicas != 3 || o.Stable.Ready != 3 {
			t.Errorf("counts of release %+v, stable %+v", o.Release, o.Stable)
		}
		if diff := cmp.Diff([]string{"webapp-b-11111"}, podNames(o.Release)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"webapp-a-11111", "webapp-a-22222"}, podNames(o.Stable)); diff != "" {
			t.Error(diff)
		}
		if p := o.Release.Pods[0].Problems; len(p) != 1 || p[0].Kind != release.CrashLoop {
			t.Errorf("problems %+v", p)
		}
	})
}

func TestObserveOfTheDeployment(t *testing.T) {
	condition := func(message string) []appsv1.DeploymentCondition {
		return []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded", Message: message,
		}}
	}
	tests := []struct {
		name   string
		change func(*world)
		check  func(release.Observation) bool
	}{
		{"deadline exceeded", func(w *world) {
			d := w.get()
			d.Status.Conditions = condition(`ReplicaSet "webapp-b" has timed out progressing.`)
			w.put(d)
		}, func(o release.Observation) bool { return o.DeadlineExceeded && o.Current }},
		{"the deadline of the version before it says nothing", func(w *world) {
			d := w.get()
			d.Status.Conditions = condition(`ReplicaSet "webapp-a" has timed out progressing.`)
			w.put(d)
		}, func(o release.Observation) bool { return !o.DeadlineExceeded }},
		{"the deadline of an earlier generation says nothing", func(w *world) {
			d := w.get()
			d.Generation++
			d.Status.Conditions = condition(`ReplicaSet "webapp-b" has timed out progressing.`)
			w.put(d)
		}, func(o release.Observation) bool { return !o.DeadlineExceeded && o.Generation == 3 }},
		{"complete", func(w *world) {
			d := w.get()
			d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.ReadyReplicas = 3, 3, 3
			w.put(d)
		}, func(o release.Observation) bool { return o.Complete }},
		{"not complete while an old pod is left", func(w *world) {
			d := w.get()
			d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.ReadyReplicas = 4, 3, 4
			w.put(d)
		}, func(o release.Observation) bool { return !o.Complete }},
		{"not complete at a newer generation", func(w *world) {
			d := w.get()
			d.Generation++
			d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.ReadyReplicas = 3, 3, 3
			w.put(d)
		}, func(o release.Observation) bool { return !o.Complete }},
		{
			"paused", func(w *world) { w.edit(func(d *appsv1.Deployment) { d.Spec.Paused = true }) },
			func(o release.Observation) bool { return o.Paused && o.Current },
		},
		{"not current once the template is another", func(w *world) {
			w.edit(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = next })
		}, func(o release.Observation) bool { return o.Exists && !o.Current && o.Generation == 3 }},
		{"not there once the deployment is gone", func(w *world) {
			_ = w.client.AppsV1().Deployments(testNS).Delete(context.Background(), testName, metav1.DeleteOptions{})
		}, func(o release.Observation) bool { return !o.Exists && !o.Current }},
		{"not there once another deployment has the name", func(w *world) {
			w.put(newDeployment("uid-2", bad))
		}, func(o release.Observation) bool { return !o.Exists }},
		{"no counts once the stable replicaset is gone", func(w *world) {
			_ = w.client.AppsV1().ReplicaSets(testNS).Delete(context.Background(), testName+"-a", metav1.DeleteOptions{})
		}, func(o release.Observation) bool { return o.Current && o.Stable.Replicas == 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				w.first()
				w.roll(bad, "b", 2)
				w.run()
				w.watcher.Follow(badRelease())
				tt.change(w)
				if o := w.observation(); !tt.check(o) {
					t.Errorf("observation %+v", o)
				}
			})
		})
	}
}

// podWatches counts the pod watches opened, by selector.
func (w *world) podWatches() map[string]int {
	out := map[string]int{}
	for _, a := range w.client.Actions() {
		if x, ok := a.(clienttesting.WatchActionImpl); ok && a.GetResource().Resource == "pods" {
			out[x.ListOptions.LabelSelector]++
		}
	}
	return out
}

func TestFollowingTwiceWatchesOnceAndUnfollowEndsIt(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.roll(bad, "b", 2)
		w.run()
		for range 3 {
			w.watcher.Follow(badRelease())
			w.observation()
		}
		const both = "pod-template-hash in (a,b)"
		if diff := cmp.Diff(map[string]int{both: 1}, w.podWatches()); diff != "" {
			t.Error(diff)
		}
		first := badRelease()
		first.Previous = nil
		w.watcher.Follow(first)
		w.observation()
		if diff := cmp.Diff([]string{both, "pod-template-hash in (b)"}, slices.Sorted(maps.Keys(w.podWatches()))); diff != "" {
			t.Error(diff)
		}
		w.watcher.Unfollow("r1")
		w.watcher.Unfollow("r1")
		synctest.Wait()
		if _, ok := w.watcher.Observe("r1"); ok {
			t.Error("observed after it was unfollowed")
		}
	})
}

func TestPodsThatComeAndGoAreSeen(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.roll(bad, "b", 2)
		w.run()
		w.watcher.Follow(badRelease())
		if o := w.observation(); len(o.Release.Pods) != 0 {
			t.Fatalf("pods %v", podNames(o.Release))
		}
		w.pod("b", "11111", nil)
		if o := w.observation(); len(o.Release.Pods) != 1 || o.Release.Pods[0].ReadyAt != nil {
			t.Fatalf("pods %+v", o.Release.Pods)
		}
		ready := epoch.Add(time.Minute)
		pods := w.client.CoreV1().Pods(testNS)
		p := must[*corev1.Pod](t)(pods.Get(context.Background(), "webapp-b-11111", metav1.GetOptions{}))
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(ready)}}
		must[*corev1.Pod](t)(pods.Update(context.Background(), p, metav1.UpdateOptions{}))
		if o := w.observation(); o.Release.Pods[0].ReadyAt == nil || !o.Release.Pods[0].ReadyAt.Equal(ready) {
			t.Fatalf("pods %+v", o.Release.Pods)
		}
		if err := pods.Delete(context.Background(), p.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if o := w.observation(); len(o.Release.Pods) != 0 {
			t.Fatalf("pods %v", podNames(o.Release))
		}
	})
}

func TestPeersAreTheDeploymentsOfTheNamespaceThatAreToRun(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		add := func(namespace, name string, replicas int32) {
			d := w.get()
			d.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name)}
			d.Spec.Replicas = &replicas
			must[*appsv1.Deployment](t)(w.client.AppsV1().Deployments(namespace).Create(t.Context(), d, metav1.CreateOptions{}))
		}
		add(testNS, "zebra", 2)
		add(testNS, "asleep", 0)
		add("elsewhere", "other", 2)
		w.run()
		if diff := cmp.Diff([]string{testName, "zebra"}, w.watcher.Peers(testNS)); diff != "" {
			t.Error(diff)
		}
		if got := w.watcher.Peers("nowhere"); len(got) != 0 {
			t.Errorf("peers in an empty namespace: %v", got)
		}
	})
}

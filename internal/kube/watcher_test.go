package kube

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestEveryDeploymentIsToldOfOnceAtTheStart(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		if w.watcher.Synced() {
			t.Error("synced before it ran")
		}
		w.run()
		if !w.watcher.Synced() {
			t.Error("not synced")
		}
		want := release.Rollout{
			Workload: testWorkload("uid-1"), Generation: 1, Replicas: 3,
			Annotations: map[string]string{"autonomy": "auto"},
			Current:     versionOf("a", 1, good), CurrentReady: 3,
		}
		if diff := cmp.Diff(want, w.only()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRolloutIsToldOfOnceTheControllerMadeItsReplicaSet(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.run()
		w.only()
		w.edit(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = bad })
		w.nothing("the new template, before its replicaset")
		w.makeSet("b", 2)
		w.nothing("the replicaset, before the controller's status")
		w.observe()
		r := w.only()
		if diff := cmp.Diff(versionOf("b", 2, bad), r.Current); diff != "" {
			t.Error(diff)
		}
		want := []release.RolloutReplicaSet{{ReplicaSet: versionOf("a", 1, good), Replicas: 3, Ready: 3}}
		if diff := cmp.Diff(want, r.Others); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStatusBeforeTheReplicaSetIsSeenToo(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.run()
		w.only()
		w.edit(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = bad })
		w.observe() // the two watches are not in step: the status may arrive first
		w.nothing("the status, before the replicaset")
		w.makeSet("b", 2)
		if r := w.only(); r.Current.Hash != "b" {
			t.Errorf("current is %s", r.Current.Name)
		}
	})
}

func TestWhatChangesARollout(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world)
		check  func(release.Rollout) string // "" when right
	}{
		{"a scale-up keeps the replicaset", func(w *world) {
			w.edit(func(d *appsv1.Deployment) {
				n := int32(5)
				d.Spec.Replicas, d.Status.ObservedGeneration = &n, d.Generation
			})
		}, func(r release.Rollout) string {
			return differ(r.Generation == 2 && r.Replicas == 5 && r.Current.Hash == "a" && len(r.Others) == 0)
		}},
		{"a restart makes another replicaset of the same images", func(w *world) {
			w.edit(func(d *appsv1.Deployment) {
				d.Spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": "now"}
				d.Status.ObservedGeneration = d.Generation
			})
			w.makeSet("b", 2)
		}, func(r release.Rollout) string {
			return differ(r.Current.Hash == "b" && len(r.Others) == 1 &&
				len(release.ChangedImages(r.Others[0].Images, r.Current.Images)) == 0)
		}},
		{"an annotation of ours changes only the annotations", func(w *world) {
			d := w.get()
			d.Annotations["watchtower.dev/autonomy"] = "observe"
			w.put(d)
		}, func(r release.Rollout) string {
			return differ(r.Generation == 1 && r.Annotations["autonomy"] == "observe" && len(r.Annotations) == 1)
		}},
		{"one of two containers changed", func(w *world) {
			w.edit(func(d *appsv1.Deployment) {
				d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Name: "a-proxy", Image: "proxy:1"})
			})
			w.makeSet("b", 2)
			w.observe()
			w.seen.take()
			w.edit(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = bad })
			w.makeSet("c", 3)
			w.seen.take()
			w.observe()
		}, func(r release.Rollout) string {
			changed := release.ChangedImages(r.Others[0].Images, r.Current.Images)
			return differ(len(r.Current.Images) == 2 && r.Current.Images[0].Container == "a-proxy" &&
				len(changed) == 1 && changed[0].Container == "app" && changed[0].Reference == bad)
		}},
		{"an init container's image is an image too", func(w *world) {
			w.edit(func(d *appsv1.Deployment) {
				d.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "migrate", Image: "migrate:1"}}
			})
			w.makeSet("b", 2)
			w.observe()
		}, func(r release.Rollout) string {
			return differ(len(r.Current.Images) == 2 && r.Current.Images[1].Reference == "migrate:1")
		}},
		{"pods of the current replicaset get ready", func(w *world) {
			w.updateSet("a", func(rs *appsv1.ReplicaSet) { rs.Status.ReadyReplicas = 2 })
		}, func(r release.Rollout) string { return differ(r.CurrentReady == 2) }},
		{"paused", func(w *world) {
			w.edit(func(d *appsv1.Deployment) { d.Spec.Paused, d.Status.ObservedGeneration = true, d.Generation })
		}, func(r release.Rollout) string { return differ(r.Paused && r.Current.Hash == "a") }},
		{"strategy Recreate", func(w *world) {
			w.edit(func(d *appsv1.Deployment) {
				d.Spec.Strategy.Type, d.Status.ObservedGeneration = appsv1.RecreateDeploymentStrategyType, d.Generation
			})
		}, func(r release.Rollout) string { return differ(r.Recreate) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				w.first()
				w.run()
				w.only()
				tt.change(w)
				synctest.Wait()
				rollouts, _ := w.seen.take()
				if len(rollouts) == 0 {
					t.Fatal("told of nothing")
				}
				r := rollouts[len(rollouts)-1]
				if wrong := tt.check(r); wrong != "" {
					t.Errorf("%s: %+v", wrong, r)
				}
			})
		})
	}
}

func differ(ok bool) string {
	if ok {
		return ""
	}
	return "not as it should be"
}

func TestWhatChangesNoRollout(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world)
	}{
		{"an annotation of somebody else", func(w *world) { d := w.get(); d.Annotations["team"] = "other"; w.put(d) }},
		{"a condition", func(w *world) {
			d := w.get()
			d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}}
			w.put(d)
		}},
		{"managed fields", func(w *world) {
			d := w.get()
			d.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
			w.put(d)
		}},
		{"a replicaset of nobody", func(w *world) {
			rs := newReplicaSet(w.get(), "stray-x", "stray", 7, epoch)
			rs.OwnerReferences = nil
			w.createSet(rs)
		}},
		{"a replicaset of an Argo Rollout", func(w *world) {
			rs := newReplicaSet(w.get(), testName+"-argo", "argo", 7, epoch)
			rs.OwnerReferences[0].APIVersion, rs.OwnerReferences[0].Kind = "argoproj.io/v1alpha1", "Rollout"
			w.createSet(rs)
		}},
		{"a replicaset of a deployment of the same name before it", func(w *world) {
			rs := newReplicaSet(w.get(), testName+"-old", "old", 7, epoch)
			rs.OwnerReferences[0].UID = "uid-0"
			w.createSet(rs)
		}},
		{"a template changed while paused", func(w *world) {
			w.edit(func(d *appsv1.Deployment) { d.Spec.Paused, d.Status.ObservedGeneration = true, d.Generation })
			synctest.Wait()
			w.seen.take()
			w.edit(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = bad })
			w.observe()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				w.first()
				w.run()
				w.only()
				tt.change(w)
				w.nothing(tt.name)
			})
		})
	}
}

func (w *world) createSet(rs *appsv1.ReplicaSet) {
	w.t.Helper()
	must[*appsv1.ReplicaSet](w.t)(w.client.AppsV1().ReplicaSets(rs.Namespace).Create(context.Background(), rs, metav1.CreateOptions{}))
}

func TestGoingBackMakesTheOlderReplicaSetCurrent(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.roll(bad, "b", 2)
		w.run()
		w.only()
		w.edit(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = good })
		w.nothing("the old template, before the controller has seen it")
		w.updateSet("a", func(rs *appsv1.ReplicaSet) { rs.Annotations[annotationRevision] = "3" })
		synctest.Wait()
		w.observe()
		r := w.only()
		if r.Current.Hash != "a" || r.Current.Revision != 3 || r.Others[0].Hash != "b" {
			t.Errorf("current %+v, others %+v", r.Current, r.Others)
		}
	})
}

func TestOfSeveralReplicaSetsWithTheTemplateTheOldestIsCurrent(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.run()
		w.only()
		w.makeSet("b", 2)
		if r := w.only(); r.Current.Hash != "a" || len(r.Others) != 1 {
			t.Errorf("current %s, %d others", r.Current.Name, len(r.Others))
		}
	})
}

func TestAReplicaSetThatIsReleasedIsNoLongerTheDeployments(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.roll(bad, "b", 2)
		w.run()
		w.only()
		w.updateSet("a", func(rs *appsv1.ReplicaSet) { rs.OwnerReferences = nil })
		if r := w.only(); len(r.Others) != 0 {
			t.Errorf("others %+v", r.Others)
		}
	})
}

func TestRapidRolloutsEndWithTheLast(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.run()
		w.only()
		for i := range 5 {
			w.roll(fmt.Sprintf("registry.test/webapp:%d", i+10), fmt.Sprintf("x%d", i), i+2)
		}
		synctest.Wait()
		rollouts, _ := w.seen.take()
		last := rollouts[len(rollouts)-1]
		if last.Current.Hash != "x4" || last.Generation != 6 {
			t.Errorf("the last rollout told of is %s at generation %d", last.Current.Name, last.Generation)
		}
		for i, want := range []string{"x3", "x2", "x1", "x0", "a"} {
			if last.Others[i].Hash != want {
				t.Errorf("others[%d] is %s, want %s", i, last.Others[i].Hash, want)
			}
		}
		for i := 1; i < len(rollouts); i++ {
			if rollouts[i].Generation < rollouts[i-1].Generation {
				t.Errorf("generation %d was told of after %d", rollouts[i].Generation, rollouts[i-1].Generation)
			}
		}
	})
}

func TestADeletedDeploymentIsGone(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.run()
		w.only()
		if err := w.client.AppsV1().Deployments(testNS).Delete(context.Background(), testName, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if rollouts, gone := w.seen.take(); len(rollouts) != 0 || len(gone) != 1 || gone[0] != testWorkload("uid-1") {
			t.Errorf("told of %v and %v gone", rollouts, gone)
		}
	})
}

func TestADeploymentBeingDeletedIsGoneAtOnceAndOnce(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.run()
		w.only()
		now := metav1.Now()
		w.edit(func(d *appsv1.Deployment) { d.DeletionTimestamp, d.Finalizers = &now, []string{"foregroundDeletion"} })
		synctest.Wait()
		w.updateSet("a", func(rs *appsv1.ReplicaSet) { rs.Status.ReadyReplicas = 0 })
		synctest.Wait()
		if rollouts, gone := w.seen.take(); len(rollouts) != 0 || len(gone) != 1 {
			t.Errorf("told of %v and %v gone", rollouts, gone)
		}
	})
}

func TestADeploymentMadeAgainIsAnotherWorkload(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.run()
		w.only()
		again := newDeployment("uid-2", good)
		again.Status.ObservedGeneration = 1
		w.put(again) // as a relist shows it that missed the deletion
		w.makeSet("z", 1)
		synctest.Wait()
		rollouts, gone := w.seen.take()
		if len(gone) != 1 || gone[0].UID != "uid-1" {
			t.Errorf("gone: %v", gone)
		}
		if len(rollouts) != 1 || rollouts[0].Workload.UID != "uid-2" || rollouts[0].Current.Hash != "z" {
			t.Errorf("rollouts: %+v", rollouts)
		}
	})
}

func TestOnlyTheNamespacesAskedForAreWatched(t *testing.T) {
	inWorld(t, Config{Namespaces: []string{"other", testNS}}, func(w *world) {
		w.first()
		for _, ns := range []string{"other", "third"} {
			d := newDeployment("uid-"+ns, good)
			d.Namespace = ns
			d.Status.ObservedGeneration = 1
			must[*appsv1.Deployment](t)(w.client.AppsV1().Deployments(ns).Create(context.Background(), d, metav1.CreateOptions{}))
			w.createSet(newReplicaSet(d, testName+"-n", "rs-"+ns, 1, epoch))
		}
		w.run()
		rollouts, _ := w.seen.take()
		names := map[string]bool{}
		for _, r := range rollouts {
			names[r.Workload.Namespace] = true
		}
		if len(rollouts) != 2 || !names["other"] || !names[testNS] {
			t.Errorf("told of namespaces %v", names)
		}
	})
}

func TestRolloutsToldAreTheHandlersToKeep(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.run()
		r := w.only()
		r.Current.Images[0].Digest = "changed"
		r.Annotations["autonomy"] = "changed"
		w.updateSet("a", func(rs *appsv1.ReplicaSet) { rs.Status.ReadyReplicas = 1 })
		if r := w.only(); r.Current.Images[0].Digest != "" || r.Annotations["autonomy"] != "auto" {
			t.Error("the cache was changed through a rollout")
		}
	})
}

func TestRunTwiceIsAnError(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.run()
		if err := w.watcher.Run(context.Background()); err == nil {
			t.Error("the second run gave no error")
		}
	})
}

package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestAWorkloadWithoutAReleaseIsTheStableArm(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.pod("a", "22222", func(p *corev1.Pod) { p.Status.PodIP = "10.0.0.2" })
		w.pod("a", "11111", nil)
		w.pod("a", "evicted", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
		w.pod("a", "stray", func(p *corev1.Pod) { p.OwnerReferences[0].UID = "of another deployment" })
		w.pod("z", "11111", nil) // another workload's
		w.roll(bad, "b", 2)
		w.updateSet("b", func(rs *appsv1.ReplicaSet) { rs.Status = appsv1.ReplicaSetStatus{Replicas: 1, ReadyReplicas: 0} })
		w.pod("b", "11111", nil)
		w.service(newService(testNS, "web", map[string]string{"app": testName}))
		w.run()
		r, o, err := w.watcher.Workload(context.Background(), testNS, testName)
		if err != nil {
			t.Fatal(err)
		}
		if r.Workload != testWorkload("uid-1") || r.Current.Name != "webapp-b" || r.Annotations["autonomy"] != "auto" {
			t.Errorf("rollout %+v", r)
		}
		if diff := cmp.Diff([]string{"webapp-a-11111", "webapp-a-22222", "webapp-b-11111"}, podNames(o.Stable)); diff != "" {
			t.Error(diff)
		}
		if o.Stable.Ready != 3 || o.Stable.Pods[1].IP != "10.0.0.2" || len(o.Release.Pods) != 0 {
			t.Errorf("arms %+v and %+v", o.Stable, o.Release)
		}
		if diff := cmp.Diff([]string{"web"}, o.Services); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAllPagesOfPodsAreRead(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		w.pod("a", "x", nil)
		template := must[*corev1.Pod](t)(w.client.CoreV1().Pods(testNS).Get(context.Background(), "webapp-a-x", metav1.GetOptions{}))
		page := 0
		w.client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, apiruntime.Object, error) {
			page++
			l := &corev1.PodList{Items: []corev1.Pod{*template.DeepCopy()}}
			l.Items[0].Name = fmt.Sprintf("webapp-a-%d", page)
			if page < 3 {
				l.Continue = "more"
			}
			return true, l, nil
		})
		w.run()
		_, o, err := w.watcher.Workload(context.Background(), testNS, testName)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"webapp-a-1", "webapp-a-2", "webapp-a-3"}, podNames(o.Stable)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhyAWorkloadCannotBeTold(t *testing.T) {
	tests := []struct {
		name            string
		namespace, work string
		change          func(*world)
		code            release.Code
		words           string
	}{
		{
			"a Deployment there is not", testNS, "none", nil,
			release.CodeNotFound, "there is no Deployment none in namespace shop; `kubectl get deployments -n shop` lists them",
		},
		{
			"a namespace that is not watched", "other", testName, nil,
			release.CodeNotFound, "namespace other is not watched: kubernetes.namespaces names shop",
		},
		{"a version the controller has not seen", testNS, testName, func(w *world) {
			w.edit(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = bad })
		}, release.CodeUnavailable, "yet to act on the newest version of shop/webapp"},
		{"pods that may not be listed", testNS, testName, func(w *world) {
			w.failPods(apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New(`cannot list resource "pods"`)))
		}, release.CodeRefused, `grant its service account the verb "list" on pods in namespace shop`},
		{"an API server that is away", testNS, testName, func(w *world) {
			w.failPods(errors.New("connection refused"))
		}, release.CodeUnavailable, "list pods in namespace shop: the API server did not answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Config{Namespaces: []string{testNS}}, func(w *world) {
				w.first()
				w.run()
				if tt.change != nil {
					tt.change(w)
				}
				synctest.Wait()
				_, _, err := w.watcher.Workload(context.Background(), tt.namespace, tt.work)
				if release.ErrorCode(err) != tt.code || !strings.Contains(err.Error(), tt.words) {
					t.Errorf("error %v (%s), want %s with %q", err, release.ErrorCode(err), tt.code, tt.words)
				}
			})
		})
	}
}

func TestAWorkloadIsNotToldBeforeTheCachesAreFilled(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.first()
		if _, _, err := w.watcher.Workload(context.Background(), testNS, testName); release.ErrorCode(err) != release.CodeUnavailable {
			t.Errorf("error %v", err)
		}
	})
}

func (w *world) failPods(err error) {
	w.client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, apiruntime.Object, error) { return true, nil, err })
}

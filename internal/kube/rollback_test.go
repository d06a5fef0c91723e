package kube

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	good = "registry.test/webapp:1"
	bad  = "registry.test/webapp:2"
	next = "registry.test/webapp:3"
)

// rolledOut is a Deployment that went from the good image to the bad one, and
// the request to take that back.
func rolledOut(t testing.TB) (*standIn, *Actor, release.RollbackRequest) {
	t.Helper()
	api := newStandIn()
	api.create("uid-1", good)
	api.deploy(bad)
	api.settle()
	return api, NewActor(api.client(t), Config{Cluster: testCluster}), release.RollbackRequest{
		Release:  "r1",
		Workload: testWorkload("uid-1"),
		From:     version(api.setOf(t, bad)),
		Target:   version(api.setOf(t, good)),
	}
}

func TestRollbackPutsTheTargetsTemplateBack(t *testing.T) {
	api, actor, req := rolledOut(t)
	before := api.deployment()
	result, err := actor.Rollback(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	after := api.deployment()
	if result.Already || result.Generation != after.Generation || result.Target.Name != req.Target.Name {
		t.Errorf("result %+v does not tell of generation %d and target %s", result, after.Generation, req.Target.Name)
	}
	if _, ok := after.Spec.Template.Labels[labelTemplateHash]; ok {
		t.Error("the pod-template-hash label was copied into the deployment")
	}
	if api.image() != good {
		t.Errorf("image is %s, want %s", api.image(), good)
	}
	want := before.DeepCopy()
	want.Spec.Template = after.Spec.Template
	if !apiequality.Semantic.DeepEqual(want.Spec, after.Spec) {
		t.Error("more than the template was changed in the spec")
	}
	if after.Annotations[release.AnnotationRolledBackRelease] != "r1" ||
		after.Annotations[release.AnnotationRolledBackTo] != req.Target.Name {
		t.Errorf("annotations %v do not mark the rollback", after.Annotations)
	}
	if len(api.patches) != 2 || len(api.writes) != 1 {
		t.Errorf("%d patches of which %d were written, want a dry one and a real one", len(api.patches), len(api.writes))
	}
	sets := len(api.sets)
	api.settle()
	if len(api.sets) != sets {
		t.Error("the controller made a new replicaset, so the template is not exactly the target's")
	}
}

func TestRollbackIsRefusedOrVoid(t *testing.T) {
	yes := true
	tests := []struct {
		name   string
		change func(*standIn, *release.RollbackRequest)
		code   release.Code
		words  string
	}{
		{"the deployment is gone", func(s *standIn, _ *release.RollbackRequest) { delete(s.deployments, testKey) }, release.CodeVoid, "deployment shop/webapp is gone"},
		{"another deployment took the name", func(s *standIn, _ *release.RollbackRequest) { s.deployments[testKey].UID = "uid-2" }, release.CodeVoid, "made again"},
		{"the deployment is being deleted", func(s *standIn, _ *release.RollbackRequest) {
			now := metav1.Now()
			s.deployments[testKey].DeletionTimestamp = &now
		}, release.CodeVoid, "being deleted"},
		{"a newer image was deployed", func(s *standIn, _ *release.RollbackRequest) { s.deploy(next) }, release.CodeVoid, "no longer has the pod template"},
		{"a newer image was deployed and scaled", func(s *standIn, _ *release.RollbackRequest) { s.deploy(next); s.settle(); s.scale(9) }, release.CodeVoid, "no longer has the pod template"},
		{"somebody went back to the target by hand", func(s *standIn, _ *release.RollbackRequest) { s.deploy(good); s.settle() }, release.CodeVoid, "no longer has the pod template"},
		{"the pods were restarted, which is a newer template", func(s *standIn, _ *release.RollbackRequest) {
			s.edited(func(d *appsv1.Deployment) {
				d.Spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
			})
		}, release.CodeVoid, "no longer has the pod template"},
		{"the regressed replicaset is gone", func(s *standIn, r *release.RollbackRequest) { delete(s.sets, testNS+"/"+r.From.Name) }, release.CodeVoid, "can no longer be shown to have the pod template"},
		{"the regressed replicaset was made again", func(_ *standIn, r *release.RollbackRequest) { r.From.UID = "other" }, release.CodeVoid, "made again"},
		{"the target is gone", func(s *standIn, r *release.RollbackRequest) { delete(s.sets, testNS+"/"+r.Target.Name) }, release.CodeRefused, "revisionHistoryLimit"},
		{"the target was made again", func(_ *standIn, r *release.RollbackRequest) { r.Target.UID = "other" }, release.CodeRefused, "made again"},
		{"the target is being deleted", func(s *standIn, r *release.RollbackRequest) {
			now := metav1.Now()
			s.sets[testNS+"/"+r.Target.Name].DeletionTimestamp = &now
		}, release.CodeRefused, "being deleted"},
		{"the target is the regressed one", func(_ *standIn, r *release.RollbackRequest) { r.Target = r.From }, release.CodeRefused, "is the regressed replicaset itself"},
		{"the target belongs to an Argo Rollout", func(s *standIn, r *release.RollbackRequest) {
			s.sets[testNS+"/"+r.Target.Name].OwnerReferences = []metav1.OwnerReference{
				{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "webapp", UID: "rollout", Controller: &yes},
			}
		}, release.CodeRefused, "belongs to Rollout webapp"},
		{"the target belongs to nobody", func(s *standIn, r *release.RollbackRequest) { s.sets[testNS+"/"+r.Target.Name].OwnerReferences = nil }, release.CodeRefused, "belongs to no deployment"},
		{"the target has the template that runs already", func(s *standIn, r *release.RollbackRequest) {
			s.sets[testNS+"/"+r.Target.Name].Spec.Template = *s.sets[testNS+"/"+r.From.Name].Spec.Template.DeepCopy()
		}, release.CodeRefused, "has already"},
		{"the deployment is paused", func(s *standIn, _ *release.RollbackRequest) {
			s.edited(func(d *appsv1.Deployment) { d.Spec.Paused = true })
		}, release.CodeRefused, "paused"},
		{"a Flagger canary controls the deployment", func(s *standIn, _ *release.RollbackRequest) {
			s.deployments[testKey].OwnerReferences = []metav1.OwnerReference{
				{APIVersion: "flagger.app/v1beta1", Kind: "Canary", Name: "webapp", UID: "canary", Controller: &yes},
			}
		}, release.CodeRefused, "controlled by Canary webapp"},
		{"the release came back after it was rolled back", func(s *standIn, _ *release.RollbackRequest) {
			s.annotate(release.AnnotationRolledBackRelease, "r1")
			s.scale(9)
		}, release.CodeRefused, "rolled back once"},
		{"the workload is another cluster's", func(_ *standIn, r *release.RollbackRequest) { r.Workload.Cluster = "other" }, release.CodeRefused, `"other"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api, actor, req := rolledOut(t)
			tt.change(api, &req)
			_, err := actor.Rollback(t.Context(), req)
			assertError(t, err, tt.code, tt.words)
			if len(api.patches) != 0 {
				t.Errorf("a patch was sent: %s", api.patches[0])
			}
		})
	}
}

func TestRollbackOutsideItsNamespacesIsRefused(t *testing.T) {
	api, _, req := rolledOut(t)
	actor := NewActor(api.client(t), Config{Cluster: testCluster, Namespaces: []string{"other"}})
	_, err := actor.Rollback(t.Context(), req)
	assertError(t, err, release.CodeRefused, "namespaces other")
}

func TestRollbackLosesTheRaceAgainstAChange(t *testing.T) {
	tests := []struct {
		name   string
		change func(*standIn)
		code   release.Code
		words  string
	}{
		{"a newer deploy", func(s *standIn) { s.deploy(next) }, release.CodeVoid, "no longer has the pod template"},
		{"a newer deploy with another number of replicas", func(s *standIn) { s.scale(9); s.deploy(next); s.settle() }, release.CodeVoid, "no longer has the pod template"},
		{"a deletion", func(s *standIn) { s.mu.Lock(); delete(s.deployments, testKey); s.mu.Unlock() }, release.CodeVoid, "is gone"},
		{"a new deployment of the same name", func(s *standIn) { s.create("uid-2", bad) }, release.CodeVoid, "made again"},
		{"a new deployment of the same name at the same generation", func(s *standIn) {
			s.create("uid-2", bad)
			s.mu.Lock()
			s.deployments[testKey].Generation = 2
			s.mu.Unlock()
		}, release.CodeVoid, "made again"},
		{"a pause", func(s *standIn) { s.edited(func(d *appsv1.Deployment) { d.Spec.Paused = true }) }, release.CodeRefused, "paused"},
		{"a scale-up while the target goes", func(s *standIn) {
			s.scale(9)
			s.mu.Lock()
			defer s.mu.Unlock()
			for key, rs := range s.sets {
				if rs.Spec.Template.Spec.Containers[0].Image == good {
					delete(s.sets, key)
				}
			}
		}, release.CodeRefused, "nothing to go back to"},
	}
	for _, tt := range tests {
		for _, dry := range []bool{true, false} {
			t.Run(tt.name+beforeWhich(dry), func(t *testing.T) {
				api, actor, req := rolledOut(t)
				api.before = func(r *http.Request) {
					if isPatch(r, dry) {
						api.before = nil
						tt.change(api)
					}
				}
				_, err := actor.Rollback(t.Context(), req)
				assertError(t, err, tt.code, tt.words)
				if len(api.writes) != 0 {
					t.Error("the deployment was written to")
				}
			})
		}
	}
}

func beforeWhich(dry bool) string {
	if dry {
		return " before the dry run"
	}
	return " before the patch"
}

func isPatch(r *http.Request, dry bool) bool {
	return r.Method == http.MethodPatch && (r.URL.Query().Get("dryRun") != "") == dry
}

func TestRollbackOfADeploymentWithoutAnnotations(t *testing.T) {
	api, actor, req := rolledOut(t)
	api.deployments[testKey].Annotations = nil
	if _, err := actor.Rollback(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{release.AnnotationRolledBackRelease: "r1", release.AnnotationRolledBackTo: req.Target.Name}
	if got := api.deployment().Annotations; !maps.Equal(got, want) {
		t.Errorf("annotations %v, want %v", got, want)
	}
}

func TestRollbackAfterALostAnswerIsFoundDone(t *testing.T) {
	api, actor, req := rolledOut(t)
	api.after = func(r *http.Request) error {
		if isPatch(r, false) {
			api.after = nil
			return syscall.ECONNRESET
		}
		return nil
	}
	_, err := actor.Rollback(t.Context(), req)
	assertError(t, err, release.CodeUnavailable, "did not answer")
	result, err := actor.Rollback(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if !result.Already || result.Target.UID != req.Target.UID || result.Generation != 3 {
		t.Errorf("result %+v, want the earlier rollback to generation 3", result)
	}
	if len(api.writes) != 1 {
		t.Errorf("%d writes, want 1", len(api.writes))
	}
}

func TestRollbackKeepsTemplateFieldsItDoesNotKnow(t *testing.T) {
	api, actor, req := rolledOut(t)
	api.edit = func(path string, body []byte) []byte {
		if !strings.HasSuffix(path, req.Target.Name) {
			return body
		}
		return []byte(strings.Replace(string(body), `"containers":`, `"fieldOfTomorrow":{"amount":12345678901234567890},"containers":`, 1))
	}
	if _, err := actor.Rollback(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(api.patches[1], `"fieldOfTomorrow":{"amount":12345678901234567890}`) {
		t.Errorf("the patch lost a field: %s", api.patches[1])
	}
}

func TestRollbackGoesOnWhereDryRunsAreNotSupported(t *testing.T) {
	api, actor, req := rolledOut(t)
	api.fault = func(r *http.Request) (*http.Response, error) {
		if isPatch(r, true) {
			return answer(apierrors.NewBadRequest(`admission webhook "audit.test" does not support dry run`))
		}
		return nil, nil
	}
	if _, err := actor.Rollback(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if api.image() != good {
		t.Errorf("image is %s, want %s", api.image(), good)
	}
}

func TestFaultsOfTheAPIServer(t *testing.T) {
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	tests := []struct {
		name  string
		fault func() (*http.Response, error)
		code  release.Code
		words string
	}{
		{"connection refused", func() (*http.Response, error) { return nil, syscall.ECONNREFUSED }, release.CodeUnavailable, "did not answer"},
		{"time-out", func() (*http.Response, error) { return nil, context.DeadlineExceeded }, release.CodeUnavailable, "in time"},
		{"internal error", func() (*http.Response, error) { return answer(apierrors.NewInternalError(errors.New("etcd"))) }, release.CodeUnavailable, "could not do it now"},
		{"service unavailable", func() (*http.Response, error) { return answer(apierrors.NewServiceUnavailable("starting")) }, release.CodeUnavailable, "could not do it now"},
		{"server time-out", func() (*http.Response, error) { return answer(apierrors.NewTimeoutError("slow", 0)) }, release.CodeUnavailable, "could not do it now"},
		{"conflict", func() (*http.Response, error) {
			return answer(apierrors.NewConflict(deployments, testName, errors.New("modified")))
		}, release.CodeUnavailable, "could not do it now"},
		{"too many requests", func() (*http.Response, error) { return answer(apierrors.NewTooManyRequestsError("slow down")) }, release.CodeUnavailable, "could not do it now"},
		{"expired token", func() (*http.Response, error) { return answer(apierrors.NewUnauthorized("expired")) }, release.CodeUnavailable, "credentials"},
		{"no permission", func() (*http.Response, error) {
			return answer(apierrors.NewForbidden(deployments, testName, errors.New(
				`User "system:serviceaccount:watchtower:watchtower" cannot patch resource "deployments" in API group "apps" in the namespace "shop"`)))
		}, release.CodeRefused, `grant its service account the verb "patch" on deployments.apps in namespace shop`},
		{"veto of an admission webhook", func() (*http.Response, error) {
			return answer(apierrors.NewForbidden(deployments, testName, errors.New("admission webhook \"freeze.test\" denied the request: change freeze")))
		}, release.CodeRefused, "change freeze"},
		{"target not valid any more", func() (*http.Response, error) {
			return answer(apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, testName, field.ErrorList{
				field.Invalid(field.NewPath("spec", "template"), "x", "not allowed any more"),
			}))
		}, release.CodeRefused, "not allowed any more"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api, actor, req := rolledOut(t)
			api.fault = func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodPatch {
					return tt.fault()
				}
				return nil, nil
			}
			_, err := actor.Rollback(t.Context(), req)
			assertError(t, err, tt.code, tt.words)
			if len(api.writes) != 0 {
				t.Error("the deployment was written to")
			}
		})
	}
}

func TestRollbackWithoutAnswerIsUnavailableAtEveryStep(t *testing.T) {
	for step := range 5 { // three reads, the dry run, the patch
		api, actor, req := rolledOut(t)
		n := 0
		api.fault = func(*http.Request) (*http.Response, error) {
			n++
			if n > step {
				return nil, syscall.ECONNREFUSED
			}
			return nil, nil
		}
		_, err := actor.Rollback(t.Context(), req)
		assertError(t, err, release.CodeUnavailable, "did not answer")
		if len(api.writes) != 0 {
			t.Errorf("step %d: the deployment was written to", step)
		}
		api.fault = nil
		if _, err := actor.Rollback(t.Context(), req); err != nil || api.image() != good {
			t.Errorf("step %d: the retry gave %v and image %s", step, err, api.image())
		}
	}
}

func assertError(t *testing.T, err error, code release.Code, words string) {
	t.Helper()
	if got := release.ErrorCode(err); got != code {
		t.Errorf("code %q, want %q (%v)", got, code, err)
	}
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("error %v does not say %q", err, words)
	}
}

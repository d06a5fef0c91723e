package kube

import (
	"net/http"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// harmless is what others do to a Deployment that leaves its pod template alone.
var harmless = []struct {
	name    string
	prepare func(*standIn)
	change  func(*standIn)
}{
	{"a scale-up", nil, func(s *standIn) { s.scale(9) }},
	{"a scale-down to nothing", nil, func(s *standIn) { s.scale(0) }},
	{"a scale-up that the controller has followed", nil, func(s *standIn) { s.scale(9); s.settle() }},
	{"another annotation", nil, func(s *standIn) { s.annotate("team", "shop") }},
	{"a first annotation", func(s *standIn) { s.deployments[testKey].Annotations = nil }, func(s *standIn) { s.annotate("team", "shop") }},
	{"the mark of another release's rollback", nil, func(s *standIn) { s.annotate(release.AnnotationRolledBackRelease, "r0") }},
	{"another strategy", nil, func(s *standIn) {
		s.edited(func(d *appsv1.Deployment) { d.Spec.MinReadySeconds = 30 })
	}},
	{"a newer deploy that was taken back to the regressed template", nil, func(s *standIn) { s.deploy(next); s.settle(); s.deploy(bad); s.settle() }},
}

// assertPutBack checks that the good image runs again and that all that others
// wrote is as they left it.
func assertPutBack(t *testing.T, api *standIn, wrote *appsv1.Deployment) {
	t.Helper()
	after := api.deployment()
	if api.image() != good || len(api.writes) != 1 || after.Annotations[release.AnnotationRolledBackRelease] != "r1" {
		t.Errorf("image %s after %d writes, annotations %v", api.image(), len(api.writes), after.Annotations)
	}
	if *after.Spec.Replicas != *wrote.Spec.Replicas || after.Spec.MinReadySeconds != wrote.Spec.MinReadySeconds ||
		after.Annotations["team"] != wrote.Annotations["team"] {
		t.Errorf("others wrote %+v %v, left is %+v %v", wrote.Spec, wrote.Annotations, after.Spec, after.Annotations)
	}
}

func TestWhatLeavesTheTemplateAloneDoesNotVoidARollback(t *testing.T) {
	for _, tt := range harmless {
		t.Run(tt.name+" before the rollback does not void it", func(t *testing.T) {
			api, actor, req := rolledOut(t)
			if tt.prepare != nil {
				tt.prepare(api)
			}
			tt.change(api)
			wrote := api.deployment()
			result, err := actor.Rollback(t.Context(), req)
			if err != nil || result.Already || result.Generation != wrote.Generation+1 {
				t.Fatalf("%+v, %v; the generation before was %d", result, err, wrote.Generation)
			}
			assertPutBack(t, api, wrote)
		})
		for _, dry := range []bool{true, false} {
			t.Run(tt.name+beforeWhich(dry)+" is tried again", func(t *testing.T) {
				api, actor, req := rolledOut(t)
				if tt.prepare != nil {
					tt.prepare(api)
				}
				var wrote *appsv1.Deployment
				later := 0 // patches after the change
				api.before = func(r *http.Request) {
					if r.Method == http.MethodPatch && wrote != nil {
						later++
					}
					if isPatch(r, dry) && wrote == nil {
						tt.change(api)
						wrote = api.deployment()
					}
				}
				result, err := actor.Rollback(t.Context(), req)
				if err != nil || result.Already || result.Generation != wrote.Generation+1 {
					t.Fatalf("%+v, %v", result, err)
				}
				if later != 2 {
					t.Errorf("%d patches after the change, want a dry one and a real one", later)
				}
				assertPutBack(t, api, wrote)
			})
		}
	}
}

func TestRollbackGivesWayToSomebodyWhoScalesAtEveryTry(t *testing.T) {
	api, actor, req := rolledOut(t)
	n, tries := int32(3), 0
	api.before = func(r *http.Request) {
		if isPatch(r, true) {
			tries++
			n++
			api.scale(n)
		}
	}
	_, err := actor.Rollback(t.Context(), req)
	assertError(t, err, release.CodeUnavailable, "changed by others between reading and writing, 3 times in a row")
	if tries != maxRollbackTries || len(api.patches) != 0 {
		t.Errorf("%d tries, %d patches taken", tries, len(api.patches))
	}
	api.before = nil
	if _, err := actor.Rollback(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	assertPutBack(t, api, &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: &n}})
}

func TestADeployAtTheLastTryVoidsTheRollback(t *testing.T) {
	api, actor, req := rolledOut(t)
	tries := 0
	api.before = func(r *http.Request) {
		if isPatch(r, false) {
			if tries++; tries < maxRollbackTries {
				api.scale(int32(3 + tries))
			} else {
				api.deploy(next)
			}
		}
	}
	_, err := actor.Rollback(t.Context(), req)
	assertError(t, err, release.CodeVoid, "no longer has the pod template")
	if api.image() != next || len(api.writes) != 0 {
		t.Errorf("image %s after %d writes, want the newer deploy", api.image(), len(api.writes))
	}
}

func TestARollbackThatWasWrittenIsFoundDoneWhateverCameSince(t *testing.T) {
	tests := []struct {
		name  string
		since func(*standIn, release.RollbackRequest)
	}{
		{"a scale-up", func(s *standIn, _ release.RollbackRequest) { s.scale(9) }},
		{"a newer deploy", func(s *standIn, _ release.RollbackRequest) { s.deploy(next); s.settle() }},
		{"the regressed replicaset was cleaned up", func(s *standIn, r release.RollbackRequest) { delete(s.sets, testNS+"/"+r.From.Name) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
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
			api.settle()
			tt.since(api, req)
			before := api.deployment()
			result, err := actor.Rollback(t.Context(), req)
			if err != nil || !result.Already || result.Target.UID != req.Target.UID || result.Generation != before.Generation {
				t.Errorf("%+v, %v", result, err)
			}
			if len(api.writes) != 1 {
				t.Errorf("%d writes, want 1", len(api.writes))
			}
		})
	}
}

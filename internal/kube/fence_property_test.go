package kube

import (
	"fmt"
	"maps"
	"net/http"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Whatever happens to the workload before and between the Actor's requests, it
// writes only to the object of the verdict while that has the regressed
// template, only the template and its two annotations, and at most once for a
// release.
func TestRollbackNeverWritesToWhatMoved(t *testing.T) {
	rolledBack := 0
	rapid.Check(t, func(rt *rapid.T) {
		api := newStandIn()
		actor := NewActor(api.client(t), Config{Cluster: testCluster})
		uids := 1
		api.create("uid-1", good)
		api.deploy(bad)
		api.settle()
		var requests []release.RollbackRequest
		act := func(label string) {
			switch rapid.SampledFrom([]string{"deploy", "scale", "annotate", "undo", "delete", "recreate", "pause", "settle", "unmark", "prune"}).Draw(rt, label) {
			case "deploy":
				api.deploy(fmt.Sprintf("registry.test/webapp:%d", rapid.IntRange(1, 4).Draw(rt, "version")))
			case "scale":
				api.scale(rapid.Int32Range(0, 5).Draw(rt, "replicas"))
			case "annotate":
				api.annotate("team", rapid.StringN(0, 3, -1).Draw(rt, "team"))
			case "undo":
				api.deploy(good)
			case "delete":
				api.mu.Lock()
				delete(api.deployments, testKey)
				api.mu.Unlock()
			case "recreate":
				uids++
				api.create(fmt.Sprintf("uid-%d", uids), bad)
			case "pause":
				api.edited(func(d *appsv1.Deployment) { d.Spec.Paused = !d.Spec.Paused })
			case "unmark":
				api.edited(func(d *appsv1.Deployment) { d.Annotations = nil })
			case "prune":
				api.prune()
			case "settle":
				api.settle()
			}
		}
		for range rapid.IntRange(1, 6).Draw(rt, "rounds") {
			for range rapid.IntRange(0, 3).Draw(rt, "before") {
				act("earlier")
			}
			if r, ok := verdictOn(rt, api); ok {
				requests = append(requests, r)
			}
			if len(requests) == 0 {
				continue
			}
			req := rapid.SampledFrom(requests).Draw(rt, "request")
			api.before = func(*http.Request) {
				if rapid.IntRange(0, 3).Draw(rt, "meanwhile") == 0 {
					act("meanwhile")
				}
			}
			lost := rapid.IntRange(0, 4).Draw(rt, "lost")
			api.after = func(r *http.Request) error {
				if lost == 0 && isPatch(r, false) {
					return fmt.Errorf("connection reset")
				}
				return nil
			}
			seen := len(api.writes)
			_, err := actor.Rollback(t.Context(), req)
			api.before, api.after = nil, nil
			for _, w := range api.writes[seen:] {
				checkWrite(rt, w, req)
			}
			if n := len(api.writes) - seen; n > 1 || (n == 1 && err != nil && lost != 0) {
				rt.Fatalf("%d writes with error %v", n, err)
			}
			rolledBack += len(api.writes) - seen
		}
	})
	if !testing.Short() && rolledBack == 0 {
		t.Error("no sequence led to a rollback: the property says nothing")
	}
}

// verdictOn makes the request that a verdict on the current state would lead to.
func verdictOn(rt *rapid.T, api *standIn) (release.RollbackRequest, bool) {
	api.mu.Lock()
	defer api.mu.Unlock()
	d := api.deployments[testKey]
	if d == nil {
		return release.RollbackRequest{}, false
	}
	r := release.RollbackRequest{
		Release:  release.ID(rapid.SampledFrom([]string{"r1", "r2", "r3"}).Draw(rt, "release")),
		Workload: testWorkload(string(d.UID)),
	}
	for _, rs := range api.sets {
		if !metav1.IsControlledBy(rs, d) {
			continue
		}
		if templateFingerprint(&rs.Spec.Template) == templateFingerprint(&d.Spec.Template) {
			r.From = version(rs)
		} else if rs.Spec.Template.Spec.Containers[0].Image == good {
			r.Target = version(rs)
		}
	}
	return r, r.From.UID != "" && r.Target.UID != ""
}

func checkWrite(rt *rapid.T, w write, req release.RollbackRequest) {
	if string(w.before.UID) != req.Workload.UID {
		rt.Fatalf("wrote to UID %s, the verdict was on %s", w.before.UID, req.Workload.UID)
	}
	if image := w.before.Spec.Template.Spec.Containers[0].Image; image != req.From.Images[0].Reference {
		rt.Fatalf("overwrote %s, the verdict was on %s", image, req.From.Images[0].Reference)
	}
	if w.before.Annotations[release.AnnotationRolledBackRelease] == string(req.Release) {
		rt.Fatalf("release %s was rolled back twice", req.Release)
	}
	if w.before.Spec.Paused {
		rt.Fatal("wrote to a paused deployment")
	}
	if w.after.Spec.Template.Spec.Containers[0].Image != good {
		rt.Fatalf("put back %s", w.after.Spec.Template.Spec.Containers[0].Image)
	}
	same := w.after.DeepCopy()
	same.Spec.Template = w.before.Spec.Template
	if !apiequality.Semantic.DeepEqual(same.Spec, w.before.Spec) {
		rt.Fatalf("changed more of the spec than the template: %+v", w.after.Spec)
	}
	for _, key := range []string{release.AnnotationRolledBackRelease, release.AnnotationRolledBackTo} {
		same.Annotations[key] = w.before.Annotations[key]
		if same.Annotations[key] == "" {
			delete(same.Annotations, key)
		}
	}
	if !maps.Equal(same.Annotations, w.before.Annotations) {
		rt.Fatalf("changed others' annotations: %v to %v", w.before.Annotations, w.after.Annotations)
	}
}

package kube

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestReplicaSetsAreTheDeploymentsOwnNewestRevisionFirst(t *testing.T) {
	api, actor, req := rolledOut(t)
	stray := newReplicaSet(newDeployment("uid-0", next), testName+"-stray", "stray", 9, epoch)
	api.sets[testNS+"/"+stray.Name] = stray
	api.sets[testNS+"/"+req.Target.Name].Status = appsv1.ReplicaSetStatus{Replicas: 3, ReadyReplicas: 2}

	got, err := actor.ReplicaSets(t.Context(), req.Workload)
	if err != nil {
		t.Fatal(err)
	}
	want := []release.RolloutReplicaSet{{ReplicaSet: req.From}, {ReplicaSet: req.Target, Replicas: 3, Ready: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	api.deploy(good) // back to the older one, which gets the highest revision
	api.settle()
	got, err = actor.ReplicaSets(t.Context(), req.Workload)
	if err != nil {
		t.Fatal(err)
	}
	if got[0].UID != req.Target.UID || got[0].Revision != 3 {
		t.Errorf("first is %s at revision %d, want %s at 3", got[0].Name, got[0].Revision, req.Target.Name)
	}
}

func TestReplicaSetsOfADeploymentMadeAgainAreVoid(t *testing.T) {
	api, actor, req := rolledOut(t)
	api.create("uid-2", good)
	_, err := actor.ReplicaSets(t.Context(), req.Workload)
	assertError(t, err, release.CodeVoid, "made again")
}

func TestRestored(t *testing.T) {
	tests := []struct {
		name   string
		change func(*standIn, release.RollbackRequest)
		want   bool
		code   release.Code
	}{
		{"not yet: the controller has not seen the patch", func(*standIn, release.RollbackRequest) {}, false, ""},
		{"not yet: one replica is not ready", func(s *standIn, _ release.RollbackRequest) {
			s.settle()
			s.deployments[testKey].Status.ReadyReplicas--
		}, false, ""},
		{"not yet: a pod of the bad version is left", func(s *standIn, _ release.RollbackRequest) {
			s.settle()
			s.deployments[testKey].Status.Replicas++
		}, false, ""},
		{"yes", func(s *standIn, _ release.RollbackRequest) { s.settle() }, true, ""},
		{"never: a newer deploy took over", func(s *standIn, _ release.RollbackRequest) { s.settle(); s.deploy(next) }, false, release.CodeVoid},
		{"never: the deployment is gone", func(s *standIn, _ release.RollbackRequest) { delete(s.deployments, testKey) }, false, release.CodeVoid},
		{"never: the target is gone", func(s *standIn, r release.RollbackRequest) { delete(s.sets, testNS+"/"+r.Target.Name) }, false, release.CodeVoid},
		{"unknown: the API server is away", func(s *standIn, _ release.RollbackRequest) {
			s.fault = func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }
		}, false, release.CodeUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api, actor, req := rolledOut(t)
			if _, err := actor.Rollback(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			tt.change(api, req)
			got, err := actor.Restored(t.Context(), req.Workload, req.Target)
			if got != tt.want || release.ErrorCode(err) != tt.code {
				t.Errorf("got %t, %v; want %t, code %q", got, err, tt.want, tt.code)
			}
		})
	}
}

func TestEventIsWrittenOncePerKey(t *testing.T) {
	api, actor, req := rolledOut(t)
	for range 2 {
		err := actor.Event(t.Context(), req.Workload, "r1/event", "ReleaseRegressed", "5 % of requests fail", true)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := actor.Event(t.Context(), req.Workload, "r1/event/2", "RolledBack", "put back", false); err != nil {
		t.Fatal(err)
	}
	if len(api.events) != 2 {
		t.Fatalf("%d events, want 2", len(api.events))
	}
	e := api.events[eventName(testName, "r1/event")]
	if e == nil || e.InvolvedObject.UID != "uid-1" || e.InvolvedObject.Kind != "Deployment" ||
		e.Type != "Warning" || e.Reason != "ReleaseRegressed" || e.Message != "5 % of requests fail" ||
		e.ReportingController != FieldManager || e.Source.Component != FieldManager {
		t.Errorf("event %+v", e)
	}
}

func TestEventWithoutAnswerIsTriedAgain(t *testing.T) {
	api, actor, req := rolledOut(t)
	api.after = func(*http.Request) error { api.after = nil; return syscall.ECONNRESET }
	err := actor.Event(t.Context(), req.Workload, "k", "R", "m", false)
	assertError(t, err, release.CodeUnavailable, "did not answer")
	if err := actor.Event(t.Context(), req.Workload, "k", "R", "m", false); err != nil || len(api.events) != 1 {
		t.Errorf("retry: %v, %d events", err, len(api.events))
	}
}

func TestEventOutsideTheClusterIsRefused(t *testing.T) {
	api, actor, req := rolledOut(t)
	req.Workload.Cluster = "other"
	assertError(t, actor.Event(t.Context(), req.Workload, "k", "R", "m", false), release.CodeRefused, `"other"`)
	if len(api.events) != 0 {
		t.Error("an event was written")
	}
}

func TestEventNamesAreValidAndMessagesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		workload := rapid.StringMatching(`[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?`).
			Filter(func(s string) bool { return len(validation.IsDNS1123Subdomain(s)) == 0 }).Draw(t, "workload")
		name := eventName(workload, rapid.String().Draw(t, "key"))
		if why := validation.IsDNS1123Subdomain(name); len(why) != 0 {
			t.Fatalf("%q: %v", name, why)
		}
		message := strings.Repeat(rapid.StringN(1, 4, -1).Draw(t, "text"), rapid.IntRange(1, 600).Draw(t, "times"))
		short := cut(message, maxEventMessageBytes)
		if len(short) > maxEventMessageBytes || (utf8.ValidString(message) && !utf8.ValidString(short)) {
			t.Fatalf("%d bytes, valid %t", len(short), utf8.ValidString(short))
		}
		if len(message) <= maxEventMessageBytes && short != message {
			t.Fatal("a message that fits was changed")
		}
	})
}

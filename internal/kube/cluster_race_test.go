package kube

import (
	"net/http"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestOnAClusterADeployBetweenReadingAndWritingVoidsTheRollback(t *testing.T) {
	c := onCluster(t)
	req := c.rolledOut()
	actor := c.racedActor(func(r *http.Request) {
		if isPatch(r, false) {
			c.edit(setImage(next))
		}
	})
	_, err := actor.Rollback(t.Context(), req)
	assertError(t, err, release.CodeVoid, "no longer has the pod template")
	c.rollout("the newer deploy stands", func(r release.Rollout) bool { return r.Current.Images[0].Reference == next })
	if c.last.Annotations["rolled-back-release"] != "" {
		t.Error("the voided rollback left its mark")
	}
}

func TestOnAClusterScalingDoesNotStandInARollbacksWay(t *testing.T) {
	c := onCluster(t)
	req := c.rolledOut()
	c.scale(5)
	dry, real := true, true
	actor := c.racedActor(func(r *http.Request) {
		switch {
		case isPatch(r, true) && dry:
			dry = false
			c.scale(6)
		case isPatch(r, false) && real:
			real = false
			c.scale(7)
		}
	})
	result, err := actor.Rollback(t.Context(), req)
	if err != nil || result.Already || dry || real {
		t.Fatalf("%+v, %v; scaled before the dry run %t, before the patch %t", result, err, !dry, !real)
	}
	c.rollout("the good replicaset is current again", func(r release.Rollout) bool { return r.Current.UID == req.Target.UID })
	if c.last.Replicas != 7 || c.last.Annotations["rolled-back-release"] != "r1" {
		t.Errorf("rollout %+v, want the 7 replicas of the last scaling and the mark", c.last)
	}
}

// scale sets the number of replicas by the subresource that autoscalers use.
func (c *realCluster) scale(replicas int32) {
	c.t.Helper()
	deployments := c.client.AppsV1().Deployments(c.ns)
	for {
		s := must[*autoscalingv1.Scale](c.t)(deployments.GetScale(c.t.Context(), testName, metav1.GetOptions{}))
		s.Spec.Replicas = replicas
		_, err := deployments.UpdateScale(c.t.Context(), testName, s, metav1.UpdateOptions{})
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			c.t.Fatal(err)
		}
	}
}

// racedActor is an Actor ahead of whose requests something happens.
func (c *realCluster) racedActor(before func(*http.Request)) *Actor {
	c.t.Helper()
	client := c.connect(func(cfg *rest.Config) {
		cfg.Wrap(func(inner http.RoundTripper) http.RoundTripper {
			return racer(func(r *http.Request) (*http.Response, error) {
				before(r)
				return inner.RoundTrip(r)
			})
		})
	})
	return NewActor(client, Config{Cluster: testCluster})
}

type racer func(*http.Request) (*http.Response, error)

func (f racer) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

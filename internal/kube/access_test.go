package kube

import (
	"context"
	"errors"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestWhatTheAccountMayDoIsAskedOfTheCluster(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("create", "selfsubjectaccessreviews", func(a kubetesting.Action) (bool, runtime.Object, error) {
		review := a.(kubetesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
		r := review.Spec.ResourceAttributes
		switch r.Verb {
		case "break":
			return true, nil, errors.New("connection refused")
		case "patch":
			review.Status.Reason = "no RBAC policy matched"
		case "watch": // an authorizer may say both
			review.Status.Allowed, review.Status.Denied = true, true
		default:
			review.Status.Allowed = r.Group == "apps" && r.Resource == "deployments" && r.Namespace == "shop"
		}
		return true, review, nil
	})
	actor := NewActor(client, Config{})
	for _, test := range []struct {
		verb, namespace string
		allowed         bool
		why             string
		fails           bool
	}{
		{"list", "shop", true, "", false},
		{"list", "pay", false, "", false},
		{"patch", "shop", false, "no RBAC policy matched", false},
		{"watch", "shop", false, "", false},
		{"break", "shop", false, "", true},
	} {
		allowed, why, err := actor.Allowed(context.Background(), test.verb, "apps", "deployments", test.namespace)
		if allowed != test.allowed || why != test.why || (err != nil) != test.fails {
			t.Errorf("%s in %s: %t, %q, %v", test.verb, test.namespace, allowed, why, err)
		}
		if err != nil && release.ErrorCode(err) != release.CodeUnavailable {
			t.Errorf("code %s", release.ErrorCode(err))
		}
	}
}

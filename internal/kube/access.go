package kube

import (
	"context"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Allowed asks the API server whether the own account may use a verb on a
// resource, in a namespace or with "" in all. why is the API server's reason, and
// may be empty. The error, a *release.Error, is that it does not tell.
func (a *Actor) Allowed(ctx context.Context, verb, group, resource, namespace string) (allowed bool, why string, err error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: group, Resource: resource, Namespace: namespace},
	}}
	answer, err := a.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, "", apiError("create", "selfsubjectaccessreviews", "", "", err)
	}
	return answer.Status.Allowed && !answer.Status.Denied, answer.Status.Reason, nil
}

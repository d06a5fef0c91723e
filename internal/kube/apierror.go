package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// apiError says what a failed request means for the caller. Whatever may pass
// by itself (no answer, overload, a conflict, credentials that are renewed) is
// CodeUnavailable; whatever stays until somebody changes something is
// CodeRefused; an object that is gone is CodeVoid.
func apiError(verb, resource, namespace, name string, err error) *release.Error {
	object := resource + " in namespace " + namespace
	if name != "" {
		object = resource + " " + namespace + "/" + name
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		words := "the API server did not answer"
		if errors.Is(err, context.DeadlineExceeded) {
			words = "the API server did not answer in time"
		}
		return release.E(release.CodeUnavailable, fmt.Sprintf("%s %s: %s", verb, object, words), err)
	}
	s := status.Status()
	switch code := int(s.Code); {
	case code == http.StatusForbidden:
		return release.E(release.CodeRefused, forbidden(verb, resource, namespace, object, s.Message), nil)
	case code == http.StatusUnauthorized:
		return release.E(release.CodeUnavailable,
			fmt.Sprintf("%s %s: the API server does not accept Watchtower's credentials", verb, object), err)
	case code == http.StatusNotFound:
		return release.E(release.CodeVoid, fmt.Sprintf("%s is gone", object), err)
	case code == http.StatusConflict, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout,
		code >= http.StatusInternalServerError, code == 0:
		return release.E(release.CodeUnavailable, fmt.Sprintf("%s %s: the API server could not do it now", verb, object), err)
	default:
		return release.E(release.CodeRefused, fmt.Sprintf("%s %s: the API server refuses it", verb, object), err)
	}
}

// forbidden tells a missing permission, with what to grant, from a veto by an
// admission webhook or a quota, which answer 403 as well.
func forbidden(verb, resource, namespace, object, message string) string {
	plural, _, _ := strings.Cut(resource, ".")
	if strings.Contains(message, fmt.Sprintf("cannot %s resource %q", verb, plural)) {
		return fmt.Sprintf("Watchtower may not %s %s: grant its service account the verb %q on %s in namespace %s",
			verb, object, verb, resource, namespace)
	}
	return fmt.Sprintf("%s %s is forbidden: %s", verb, object, message)
}

// isRejectedPatch reports a 422: a failed test of a JSON patch, or an object
// that would not be valid.
func isRejectedPatch(err error) bool {
	return apierrors.ReasonForError(err) == metav1.StatusReasonInvalid
}

// invalidFields is the API server's words on why an object is not valid, ""
// when err is a failed test of a patch, which names no field.
func invalidFields(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return ""
	}
	s := status.Status()
	if s.Details == nil || !slices.ContainsFunc(s.Details.Causes, func(c metav1.StatusCause) bool { return c.Field != "" }) {
		return ""
	}
	return s.Message
}

// isDryRunUnsupported reports that an admission webhook with side effects
// stands in the way of dry runs, and of nothing else.
func isDryRunUnsupported(err error) bool {
	return apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run")
}

package kube

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Rollback puts the target's pod template back into the Deployment, if the
// Deployment still is what the request says: the same object at the same
// generation with the regressed template. It tries the patch dry first. It
// writes at most once for a release; a second call, after a crash or a lost
// answer, finds the mark of the first and answers Already.
//
// CodeVoid: the Deployment is gone, was made again, or was changed meanwhile.
// CodeRefused: the target is gone, is the regressed one, or is what runs
// already; the Deployment is paused or belongs to another controller; the
// release came back after it was rolled back; a permission is missing; the API
// server finds the result invalid. CodeUnavailable: try again.
func (a *Actor) Rollback(ctx context.Context, req release.RollbackRequest) (release.RollbackResult, error) {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	d, err := a.deployment(ctx, req.Workload)
	if err != nil {
		return release.RollbackResult{}, err
	}
	if done, err := fence(d, req); done != nil || err != nil {
		return orZero(done), err
	}
	template, err := a.preflight(ctx, d, req)
	if err != nil {
		return release.RollbackResult{}, err
	}
	patch, err := rollbackPatch(d, req, template)
	if err != nil {
		return release.RollbackResult{}, release.E(release.CodeInternal, "write the patch for "+req.Workload.String(), err)
	}
	_, err = a.patch(ctx, req.Workload, patch, metav1.DryRunAll)
	if err != nil && !isDryRunUnsupported(err) {
		return a.rejected(ctx, req, err)
	}
	patched, err := a.patch(ctx, req.Workload, patch)
	if err != nil {
		return a.rejected(ctx, req, err)
	}
	return release.RollbackResult{Target: req.Target, Generation: patched.Generation}, nil
}

func (a *Actor) patch(ctx context.Context, w release.Workload, patch []byte, dryRun ...string) (*appsv1.Deployment, error) {
	return a.client.AppsV1().Deployments(w.Namespace).Patch(ctx, w.Name, types.JSONPatchType, patch,
		metav1.PatchOptions{FieldManager: FieldManager, DryRun: dryRun})
}

// fence compares the Deployment with the request: a result when an earlier
// attempt has patched it, an error when it must not be patched, neither when it
// may be.
func fence(d *appsv1.Deployment, req release.RollbackRequest) (*release.RollbackResult, error) {
	marked := d.Annotations[release.AnnotationRolledBackRelease] == string(req.Release)
	switch {
	case d.Generation != req.Generation && marked:
		target := req.Target
		if name := d.Annotations[release.AnnotationRolledBackTo]; name != target.Name {
			target = release.ReplicaSet{Name: name}
		}
		return &release.RollbackResult{Target: target, Already: true, Generation: d.Generation}, nil
	case d.Generation != req.Generation:
		return nil, release.E(release.CodeVoid, fmt.Sprintf(
			"deployment %s was changed meanwhile: it is at generation %d, the verdict was on generation %d",
			req.Workload, d.Generation, req.Generation), nil)
	case marked:
		return nil, release.E(release.CodeRefused, fmt.Sprintf(
			"release %s of %s was rolled back before and somebody brought it back; a release is rolled back once",
			req.Release, req.Workload), nil)
	}
	return nil, nil
}

func orZero(r *release.RollbackResult) release.RollbackResult {
	if r == nil {
		return release.RollbackResult{}
	}
	return *r
}

// preflight checks that going back would work and gives the template to write.
func (a *Actor) preflight(ctx context.Context, d *appsv1.Deployment, req release.RollbackRequest) (map[string]any, error) {
	refuse := func(format string, args ...any) error {
		return release.E(release.CodeRefused, fmt.Sprintf(format, args...), nil)
	}
	if req.Target.UID == req.From.UID {
		return nil, refuse("the target %s is the regressed replicaset itself", req.Target.Name)
	}
	if owner := metav1.GetControllerOf(d); owner != nil {
		return nil, refuse("deployment %s is controlled by %s %s (%s), which would undo the rollback: roll back there",
			req.Workload, owner.Kind, owner.Name, owner.APIVersion)
	}
	if d.Spec.Paused {
		return nil, refuse("deployment %s is paused: a changed pod template takes no effect until it is resumed", req.Workload)
	}
	from, err := a.replicaSet(ctx, req.Workload, req.From)
	if err != nil {
		return nil, err
	}
	current := templateFingerprint(&d.Spec.Template)
	if from.missing != "" || templateFingerprint(&from.Spec.Template) != current {
		return nil, release.E(release.CodeVoid,
			fmt.Sprintf("deployment %s no longer has the pod template of %s", req.Workload, req.From.Name), nil)
	}
	target, err := a.replicaSet(ctx, req.Workload, req.Target)
	if err != nil {
		return nil, err
	}
	if target.missing != "" {
		return nil, refuse("there is nothing to go back to: %s", target.missing)
	}
	if templateFingerprint(&target.Spec.Template) == current {
		return nil, refuse("the target %s has the pod template that deployment %s has already", req.Target.Name, req.Workload)
	}
	return target.template, nil
}

// rejected says what the failure of a patch means. A 422 does not tell which
// test failed, so the Deployment is read again.
func (a *Actor) rejected(ctx context.Context, req release.RollbackRequest, err error) (release.RollbackResult, error) {
	if !isRejectedPatch(err) {
		return release.RollbackResult{}, apiError("patch", "deployments.apps", req.Workload.Namespace, req.Workload.Name, err)
	}
	d, readErr := a.deployment(ctx, req.Workload)
	if readErr != nil {
		return release.RollbackResult{}, readErr
	}
	if done, err := fence(d, req); done != nil || err != nil {
		return orZero(done), err
	}
	if why := invalidFields(err); why != "" {
		return release.RollbackResult{}, release.E(release.CodeRefused,
			fmt.Sprintf("the API server does not accept the pod template of %s any more: %s", req.Target.Name, why), nil)
	}
	// Somebody changed the annotations between reading and writing.
	return release.RollbackResult{}, release.E(release.CodeUnavailable,
		fmt.Sprintf("deployment %s was annotated at the same moment", req.Workload), err)
}

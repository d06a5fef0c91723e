package kube

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// maxRollbackTries bounds how often one call of Rollback reads and writes
// again because somebody changed the Deployment in between.
const maxRollbackTries = 3

// Rollback puts the target's pod template back into the Deployment, if the
// Deployment still is what the request says: the same object with the regressed
// template. It may have been scaled, annotated or changed elsewhere meanwhile.
// What is read live is what the patch is conditional on, so nothing that comes
// between reading and writing is overwritten: the API server refuses the patch,
// and all is looked at again. It tries the patch dry first. It writes at most
// once for a release; a second call, after a crash or a lost answer, finds the
// mark of the first and answers Already.
//
// CodeVoid: the Deployment is gone, was made again, or has another template.
// CodeRefused: the target is gone, is the regressed one, or is what runs
// already; the Deployment is paused or belongs to another controller; the
// release came back after it was rolled back; a permission is missing; the API
// server finds the result invalid. CodeUnavailable: try again.
func (a *Actor) Rollback(ctx context.Context, req release.RollbackRequest) (release.RollbackResult, error) {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	var rejected error // what the API server answered to the last patch
	for try := 0; ; try++ {
		d, err := a.deployment(ctx, req.Workload)
		if err != nil {
			return release.RollbackResult{}, err
		}
		if done, err := a.fence(ctx, d, req); done != nil || err != nil {
			return orZero(done), err
		}
		if why := invalidFields(rejected); why != "" {
			return release.RollbackResult{}, release.E(release.CodeRefused,
				fmt.Sprintf("the API server does not accept the pod template of %s any more: %s", req.Target.Name, why), nil)
		}
		if try == maxRollbackTries {
			return release.RollbackResult{}, release.E(release.CodeUnavailable, fmt.Sprintf(
				"deployment %s was changed by others between reading and writing, %d times in a row", req.Workload, try), rejected)
		}
		var patched *appsv1.Deployment
		patched, rejected, err = a.putBack(ctx, d, req)
		if err != nil {
			return release.RollbackResult{}, err
		}
		if rejected == nil {
			return release.RollbackResult{Target: req.Target, Generation: patched.Generation}, nil
		}
	}
}

// putBack patches the Deployment as it was read, dry and then for good. A
// rejected patch, a 422, comes apart from other errors: it does not tell which
// test failed.
func (a *Actor) putBack(ctx context.Context, d *appsv1.Deployment, req release.RollbackRequest) (patched *appsv1.Deployment, rejected, err error) {
	template, err := a.preflight(ctx, d, req)
	if err != nil {
		return nil, nil, err
	}
	patch, err := rollbackPatch(d, req, template)
	if err != nil {
		return nil, nil, release.E(release.CodeInternal, "write the patch for "+req.Workload.String(), err)
	}
	_, err = a.patch(ctx, req.Workload, patch, metav1.DryRunAll)
	if err == nil || isDryRunUnsupported(err) {
		patched, err = a.patch(ctx, req.Workload, patch)
	}
	switch {
	case isRejectedPatch(err):
		return nil, err, nil
	case err != nil:
		return nil, nil, apiError("patch", "deployments.apps", req.Workload.Namespace, req.Workload.Name, err)
	}
	return patched, nil, nil
}

func (a *Actor) patch(ctx context.Context, w release.Workload, patch []byte, dryRun ...string) (*appsv1.Deployment, error) {
	return a.client.AppsV1().Deployments(w.Namespace).Patch(ctx, w.Name, types.JSONPatchType, patch,
		metav1.PatchOptions{FieldManager: FieldManager, DryRun: dryRun})
}

// fence compares the Deployment with the request: a result when an earlier
// attempt has patched it, an error when it must not be patched, neither when it
// may be. The generation says nothing here: scaling moves it too.
func (a *Actor) fence(ctx context.Context, d *appsv1.Deployment, req release.RollbackRequest) (*release.RollbackResult, error) {
	from, err := a.replicaSet(ctx, req.Workload, req.From)
	if err != nil {
		return nil, err
	}
	current := from.missing == "" && templateFingerprint(&from.Spec.Template) == templateFingerprint(&d.Spec.Template)
	marked := d.Annotations[release.AnnotationRolledBackRelease] == string(req.Release)
	switch {
	case current && marked:
		return nil, release.E(release.CodeRefused, fmt.Sprintf(
			"release %s of %s was rolled back before and somebody brought it back; a release is rolled back once",
			req.Release, req.Workload), nil)
	case current:
		return nil, nil
	case marked:
		target := req.Target
		if name := d.Annotations[release.AnnotationRolledBackTo]; name != target.Name {
			target = release.ReplicaSet{Name: name}
		}
		return &release.RollbackResult{Target: target, Already: true, Generation: d.Generation}, nil
	case from.missing != "":
		return nil, release.E(release.CodeVoid, fmt.Sprintf(
			"deployment %s can no longer be shown to have the pod template of %s: %s", req.Workload, req.From.Name, from.missing), nil)
	}
	return nil, release.E(release.CodeVoid, fmt.Sprintf(
		"deployment %s no longer has the pod template of %s: a newer change took its place", req.Workload, req.From.Name), nil)
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
	target, err := a.replicaSet(ctx, req.Workload, req.Target)
	if err != nil {
		return nil, err
	}
	if target.missing != "" {
		return nil, refuse("there is nothing to go back to: %s", target.missing)
	}
	if templateFingerprint(&target.Spec.Template) == templateFingerprint(&d.Spec.Template) {
		return nil, refuse("the target %s has the pod template that deployment %s has already", req.Target.Name, req.Workload)
	}
	return target.template, nil
}

// Package kube is Kubernetes in and out: which rollouts run (Watcher), how
// their pods are, and the few writes Watchtower makes (Actor): the fenced
// rollback and Events. It decides nothing: whether a rollout is a release, and
// whether one is rolled back, is for the rooms above.
//
// The service account needs: get, list, watch and patch on deployments.apps;
// get, list and watch on replicasets.apps; list and watch on pods; create on
// events. With list and watch on services it also knows by which names callers
// reach a workload; it works without.
package kube

import (
	"slices"
	"strings"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// FieldManager is the name under which Watchtower's writes stand in
// managedFields, and the component its Events report.
const FieldManager = "watchtower"

// Labels and annotations the Deployment controller writes.
const (
	labelTemplateHash  = "pod-template-hash"
	annotationRevision = "deployment.kubernetes.io/revision"
)

// Config says which part of which cluster is watched and acted on.
type Config struct {
	// Cluster is the name under which this cluster's workloads are known.
	Cluster string
	// Namespaces limits watching and acting; empty means all.
	Namespaces []string
	// Labels are keys of labels of Deployments, or of annotations where there is
	// no such label, that releases carry.
	Labels []string
}

func (c Config) covers(namespace string) bool {
	return len(c.Namespaces) == 0 || slices.Contains(c.Namespaces, namespace)
}

// Handler receives what the Watcher sees.
//
// Its methods are called one at a time, only after the caches are synced, and
// must not block: a slow Handler delays every other workload. A workload's
// calls come in the order of what happened, but states that followed each
// other within milliseconds may be seen as one.
type Handler interface {
	// Rollout tells how a Deployment stands now. It is called once for each
	// Deployment at the start and then whenever anything in the Rollout changed.
	// The Rollout is the Handler's to keep.
	Rollout(r release.Rollout)
	// Gone tells that a Deployment seen before was deleted, or that another one
	// took its name.
	Gone(w release.Workload)
}

func (c Config) scopeWords() string {
	if len(c.Namespaces) == 0 {
		return "all"
	}
	return strings.Join(c.Namespaces, ", ")
}

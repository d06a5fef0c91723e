package kube

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// The caches hold these instead of the API's objects: a Deployment with ten
// old ReplicaSets is eleven pod templates otherwise, and ten thousand of them
// fill gigabytes. The embedded ObjectMeta holds only what the informers need
// to tell objects and versions apart.

// deployment is what is kept of a Deployment.
type deployment struct {
	metav1.ObjectMeta
	template    fingerprint
	observed    int64 // generation the controller has seen
	replicas    int   // asked for
	paused      bool
	recreate    bool
	annotations map[string]string // Watchtower's, prefix removed
	labels      map[string]string // those that releases carry
	// complete: every replica runs the template and is ready, no other is left.
	complete bool
	// timedOut is the message of the ProgressDeadlineExceeded condition, "" when
	// it does not hold.
	timedOut string
}

// replicaSet is what is kept of a ReplicaSet. One that no Deployment controls
// has no owner and is never looked at.
type replicaSet struct {
	metav1.ObjectMeta
	owner    release.Workload // Cluster left empty
	template fingerprint
	version  release.ReplicaSet
	replicas int
	ready    int
}

func trimMeta(m *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion,
		Generation: m.Generation, CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp,
	}
}

// trimDeployment and trimReplicaSet are informer transforms: what is already
// trimmed, and tombstones, pass unchanged.
func trimDeployment(obj any) any {
	d, ok := obj.(*appsv1.Deployment)
	if !ok {
		return obj
	}
	return &deployment{
		ObjectMeta:  trimMeta(&d.ObjectMeta),
		template:    templateFingerprint(&d.Spec.Template),
		observed:    d.Status.ObservedGeneration,
		replicas:    wanted(d),
		paused:      d.Spec.Paused,
		recreate:    d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType,
		annotations: ownAnnotations(d.Annotations),
		complete:    complete(d),
		timedOut:    timedOut(d),
	}
}

// carrying is trimDeployment that keeps labels as well.
func carrying(keys []string) func(any) (any, error) {
	return func(obj any) (any, error) {
		trimmed := trimDeployment(obj)
		if d, ok := obj.(*appsv1.Deployment); ok {
			trimmed.(*deployment).labels = carried(d, keys)
		}
		return trimmed, nil
	}
}

// maxLabel bounds in characters what is kept of an annotation; labels are shorter.
const maxLabel = 200

func carried(d *appsv1.Deployment, keys []string) map[string]string {
	var out map[string]string
	for _, key := range keys {
		value := cmp.Or(d.Labels[key], d.Annotations[key])
		if value == "" {
			continue
		}
		if out == nil {
			out = make(map[string]string)
		}
		out[release.LabelName(key)] = release.OneLine(value, maxLabel)
	}
	return out
}

func trimReplicaSet(obj any) (any, error) {
	rs, ok := obj.(*appsv1.ReplicaSet)
	if !ok {
		return obj, nil
	}
	trimmed := &replicaSet{ObjectMeta: trimMeta(&rs.ObjectMeta)}
	owner := metav1.GetControllerOf(rs)
	if owner == nil || !isDeployment(owner) {
		return trimmed, nil
	}
	trimmed.owner = release.Workload{Namespace: rs.Namespace, Name: owner.Name, UID: string(owner.UID)}
	trimmed.template = templateFingerprint(&rs.Spec.Template)
	trimmed.version = version(rs)
	trimmed.replicas = int(rs.Status.Replicas)
	trimmed.ready = int(rs.Status.ReadyReplicas)
	return trimmed, nil
}

func isDeployment(o *metav1.OwnerReference) bool {
	return o.Kind == "Deployment" && strings.HasPrefix(o.APIVersion, "apps/")
}

// wanted is how many replicas a Deployment asks for; the API server fills in 1
// when nothing is said.
func wanted(d *appsv1.Deployment) int {
	if d.Spec.Replicas == nil {
		return 1
	}
	return int(*d.Spec.Replicas)
}

func complete(d *appsv1.Deployment) bool {
	n, s := int32(wanted(d)), d.Status
	return s.ObservedGeneration >= d.Generation &&
		s.UpdatedReplicas == n && s.Replicas == n && s.ReadyReplicas == n
}

func timedOut(d *appsv1.Deployment) string {
	if d.Status.ObservedGeneration < d.Generation {
		return "" // the condition is still that of an earlier generation
	}
	for i := range d.Status.Conditions {
		c := &d.Status.Conditions[i]
		if c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse && c.Reason == "ProgressDeadlineExceeded" {
			return c.Message
		}
	}
	return ""
}

func ownAnnotations(all map[string]string) map[string]string {
	var own map[string]string
	for k, v := range all {
		if name, ok := strings.CutPrefix(k, release.AnnotationPrefix); ok {
			if own == nil {
				own = make(map[string]string)
			}
			own[name] = v
		}
	}
	return own
}

// version describes a ReplicaSet in the project's words.
func version(rs *appsv1.ReplicaSet) release.ReplicaSet {
	revision, err := strconv.ParseInt(rs.Annotations[annotationRevision], 10, 64)
	if err != nil {
		revision = 0 // the controller has not numbered it yet
	}
	return release.ReplicaSet{
		Name:      rs.Name,
		UID:       string(rs.UID),
		Hash:      rs.Labels[labelTemplateHash],
		Revision:  revision,
		Images:    images(&rs.Spec.Template.Spec),
		CreatedAt: rs.CreationTimestamp.UTC(),
	}
}

// images lists what every container runs, init containers included: a sidecar
// is one, and a migration that fails in one stops the pod.
func images(spec *corev1.PodSpec) []release.Image {
	out := make([]release.Image, 0, len(spec.Containers)+len(spec.InitContainers))
	for i := range spec.Containers {
		out = append(out, release.Image{Container: spec.Containers[i].Name, Reference: spec.Containers[i].Image})
	}
	for i := range spec.InitContainers {
		out = append(out, release.Image{Container: spec.InitContainers[i].Name, Reference: spec.InitContainers[i].Image})
	}
	slices.SortFunc(out, func(a, b release.Image) int { return cmp.Compare(a.Container, b.Container) })
	return out
}

// newestFirst orders versions by revision, then age.
func newestFirst(a, b release.RolloutReplicaSet) int {
	return cmp.Or(
		cmp.Compare(b.Revision, a.Revision),
		b.CreatedAt.Compare(a.CreatedAt),
		cmp.Compare(a.Name, b.Name),
	)
}

// byOwner is the index of ReplicaSets by the UID of their Deployment, and of
// pods by the UID of their ReplicaSet.
const byOwner = "owner"

func ownerIndex(obj any) ([]string, error) {
	switch o := obj.(type) {
	case *replicaSet:
		if o.owner.UID != "" {
			return []string{o.owner.UID}, nil
		}
	case *pod:
		return []string{o.owner}, nil
	}
	return nil, nil
}

// earlier reports whether t is set and lies before limit.
func earlier(t metav1.Time, limit time.Time) bool { return !t.IsZero() && t.Time.Before(limit) }

// names reports whether the controller's message is about the ReplicaSet. The
// condition of a version that timed out stays, with its old message, after the
// Deployment goes back to another until that one makes progress.
func names(message, replicaSet string) bool {
	return strings.Contains(message, strconv.Quote(replicaSet))
}

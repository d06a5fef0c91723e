package kube

// What users and the Deployment controller do to the stand-in.

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	testCluster = "test"
	testNS      = "shop"
	testName    = "webapp"
	testKey     = testNS + "/" + testName
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newDeployment(uid, image string) *appsv1.Deployment {
	replicas := int32(3)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: testNS, Name: testName, UID: types.UID(uid), Generation: 1, ResourceVersion: "1",
			CreationTimestamp: metav1.NewTime(epoch),
		},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": testName}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": testName}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}},
			},
		},
	}
}

// newReplicaSet is what the controller makes for a Deployment's template.
func newReplicaSet(d *appsv1.Deployment, name, uid string, revision int, created time.Time) *appsv1.ReplicaSet {
	hash := strings.TrimPrefix(name, d.Name+"-")
	template := *d.Spec.Template.DeepCopy()
	template.Labels[labelTemplateHash] = hash
	yes := true
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: name, UID: types.UID(uid), CreationTimestamp: metav1.NewTime(created),
			Labels:      map[string]string{"app": d.Name, labelTemplateHash: hash},
			Annotations: map[string]string{annotationRevision: fmt.Sprint(revision)},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID, Controller: &yes,
			}},
		},
		Spec: appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template},
	}
}

// edited changes the Deployment as a user would.
func (s *standIn) edited(change func(*appsv1.Deployment)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deployments[testKey]
	if d == nil {
		return
	}
	next := d.DeepCopy()
	change(next)
	s.stamp(d, next)
	s.deployments[testKey] = next
}

func (s *standIn) deploy(image string) {
	s.edited(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = image })
}

// scale sets the number of replicas as an autoscaler would.
func (s *standIn) scale(replicas int32) {
	s.edited(func(d *appsv1.Deployment) { d.Spec.Replicas = &replicas })
}

// annotate sets an annotation as a user would.
func (s *standIn) annotate(key, value string) {
	s.edited(func(d *appsv1.Deployment) {
		d.Annotations = maps.Clone(d.Annotations)
		if d.Annotations == nil {
			d.Annotations = map[string]string{}
		}
		d.Annotations[key] = value
	})
}

// prune deletes the ReplicaSets that are not current, as
// revisionHistoryLimit: 0 does.
func (s *standIn) prune() {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deployments[testKey]
	maps.DeleteFunc(s.sets, func(_ string, rs *appsv1.ReplicaSet) bool {
		return d == nil || templateFingerprint(&rs.Spec.Template) != templateFingerprint(&d.Spec.Template)
	})
}

// settle lets the controller find or make the template's ReplicaSet and the
// status catch up.
func (s *standIn) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deployments[testKey]
	if d == nil {
		return
	}
	var current *appsv1.ReplicaSet
	revision := 0
	for _, rs := range s.sets {
		if metav1.IsControlledBy(rs, d) {
			revision = max(revision, int(version(rs).Revision))
			if templateFingerprint(&rs.Spec.Template) == templateFingerprint(&d.Spec.Template) {
				current = rs
			}
		}
	}
	if current == nil {
		s.serial++
		name := fmt.Sprintf("%s-%x", d.Name, s.serial)
		current = newReplicaSet(d, name, "rs-"+fmt.Sprint(s.serial), revision+1, epoch.Add(time.Duration(s.serial)*time.Second))
		s.sets[d.Namespace+"/"+name] = current
	} else if int(version(current).Revision) != revision {
		current.Annotations[annotationRevision] = fmt.Sprint(revision + 1)
	}
	s.serial++
	d.ResourceVersion = fmt.Sprint(s.serial)
	d.Status.ObservedGeneration = d.Generation
	n := *d.Spec.Replicas
	d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.ReadyReplicas = n, n, n
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[annotationRevision] = current.Annotations[annotationRevision]
}

// create makes the Deployment, anew when there was one.
func (s *standIn) create(uid, image string) {
	s.mu.Lock()
	s.deployments[testKey] = newDeployment(uid, image)
	s.mu.Unlock()
	s.settle()
}

func (s *standIn) deployment() *appsv1.Deployment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deployments[testKey].DeepCopy()
}

// image is what the Deployment's template says now.
func (s *standIn) image() string { return s.deployment().Spec.Template.Spec.Containers[0].Image }

// setOf finds the ReplicaSet that runs an image.
func (s *standIn) setOf(t testing.TB, image string) *appsv1.ReplicaSet {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rs := range s.sets {
		if rs.Spec.Template.Spec.Containers[0].Image == image {
			return rs
		}
	}
	t.Fatalf("no replicaset runs %s", image)
	return nil
}

func testWorkload(uid string) release.Workload {
	return release.Workload{Cluster: testCluster, Namespace: testNS, Name: testName, UID: uid}
}

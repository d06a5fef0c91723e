package kube

import (
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ordinary is a Deployment of the size one meets.
func ordinary(i int) *appsv1.Deployment {
	d := newDeployment(fmt.Sprintf("uid-%d", i), good)
	d.Name = fmt.Sprintf("workload-%d", i)
	c := &d.Spec.Template.Spec.Containers[0]
	for j := range 30 {
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", j), Value: "some value of ordinary length"})
	}
	c.Resources = corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("512Mi")}}
	c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz"}}}
	d.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": string(make([]byte, 4000))}
	d.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(strings.Repeat("f", 4000))}}
	return d
}

// BenchmarkCacheOf10000Workloads reports what the caches keep of ten thousand
// Deployments with five ReplicaSets each.
func BenchmarkCacheOf10000Workloads(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		kept := make([]any, 0, 60_000)
		for i := range 10_000 {
			d := ordinary(i)
			for r := range 5 {
				rs, _ := trimReplicaSet(newReplicaSet(d, fmt.Sprintf("%s-%d", d.Name, r), fmt.Sprintf("rs-%d-%d", i, r), r, epoch.Add(time.Duration(r))))
				kept = append(kept, rs)
			}
			trimmed := trimDeployment(d)
			kept = append(kept, trimmed)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-kept")
		runtime.KeepAlive(kept)
	}
}

func BenchmarkTemplateFingerprint(b *testing.B) {
	d := ordinary(1)
	b.ReportAllocs()
	for b.Loop() {
		templateFingerprint(&d.Spec.Template)
	}
}

func TestLabelsThatReleasesCarryAreKept(t *testing.T) {
	d := ordinary(1)
	d.Labels = map[string]string{"team": "shop", "app": "web"}
	d.Annotations = map[string]string{"team": "not this one", "example.com/on-call": "a\nb", "other": "x"}
	obj, err := carrying([]string{"team", "example.com/on-call", "missing"})(d)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"team": "shop", "example_com_on_call": "a b"}
	if got := obj.(*deployment).labels; !maps.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	if again, err := carrying([]string{"team"})(obj); err != nil || again != obj {
		t.Errorf("a second transform gave %v, %v", again, err)
	}
}

func TestTransformsTakeOverNothingOfTheObject(t *testing.T) {
	d := ordinary(1)
	obj := trimDeployment(d)
	got := obj.(*deployment)
	if got.ManagedFields != nil || got.Annotations != nil || got.Labels != nil {
		t.Errorf("kept %+v", got.ObjectMeta)
	}
	if again := trimDeployment(got); again != obj {
		t.Errorf("a second transform gave %v", again)
	}
	set, err := trimReplicaSet(newReplicaSet(d, d.Name+"-a", "rs-a", 1, epoch))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := trimReplicaSet(set); err != nil || again != set {
		t.Errorf("a second transform gave %v, %v", again, err)
	}
	if set.(*replicaSet).template != got.template {
		t.Error("the replicaset's template is not the deployment's after trimming")
	}
}

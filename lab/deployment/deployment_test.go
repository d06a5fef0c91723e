package deployment

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func ptr[T any](v T) *T { return &v }

func apply(t *testing.T, client *fake.Clientset, s Spec) (*appsv1.Deployment, bool) {
	t.Helper()
	d, created, err := Apply(t.Context(), client, s)
	if err != nil {
		t.Fatal(err)
	}
	return d, created
}

func TestANewDeploymentIsScrapedAndProbed(t *testing.T) {
	client := fake.NewClientset()
	d, created := apply(t, client, Spec{Namespace: "shop", Name: "webapp", Image: "mycompany/webapp:v1", Port: ptr[int32](9000)})
	if !created {
		t.Error("not told as created")
	}
	if _, err := client.CoreV1().Namespaces().Get(t.Context(), "shop", metav1.GetOptions{}); err != nil {
		t.Errorf("namespace: %v", err)
	}
	c := d.Spec.Template.Spec.Containers[0]
	if c.Image != "mycompany/webapp:v1" || c.Name != "webapp" || c.ReadinessProbe.HTTPGet.Port.IntValue() != 9000 || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("container is %+v", c)
	}
	a := d.Spec.Template.Annotations
	if a["prometheus.io/scrape"] != "true" || a["prometheus.io/port"] != "9000" || a["prometheus.io/path"] != "/metrics" {
		t.Errorf("annotations are %v", a)
	}
	if *d.Spec.Replicas != DefaultReplicas {
		t.Errorf("%d replicas, want the default", *d.Spec.Replicas)
	}
}

func TestASecondDeployChangesOnlyWhatItSays(t *testing.T) {
	client := fake.NewClientset()
	before, _ := apply(t, client, Spec{
		Namespace: "shop", Name: "webapp", Image: "webapp:1", Replicas: ptr[int32](5), MinReadySeconds: ptr[int32](3),
		Env: map[string]string{"A": "1", "B": "2"}, Annotations: map[string]string{"watchtower.dev/autonomy": "auto"},
	})
	after, created := apply(t, client, Spec{Namespace: "shop", Name: "webapp", Image: "webapp:2"})
	if created {
		t.Error("told as created again")
	}
	want := before.DeepCopy()
	want.Spec.Template.Spec.Containers[0].Image = "webapp:2"
	if after.Spec.String() != want.Spec.String() || after.Annotations["watchtower.dev/autonomy"] != "auto" {
		t.Errorf("more than the image changed:\n%v\n%v", after.Spec, want.Spec)
	}

	after, _ = apply(t, client, Spec{Namespace: "shop", Name: "webapp", Env: map[string]string{"A": "", "B": "3"}, Port: ptr[int32](8888), Annotations: map[string]string{"watchtower.dev/autonomy": ""}})
	c := after.Spec.Template.Spec.Containers[0]
	if len(c.Env) != 1 || c.Env[0] != (corev1.EnvVar{Name: "B", Value: "3"}) {
		t.Errorf("env is %v, want B=3 alone", c.Env)
	}
	if c.Image != "webapp:2" || c.ReadinessProbe.HTTPGet.Port.IntValue() != 8888 || after.Spec.Template.Annotations["prometheus.io/port"] != "8888" {
		t.Errorf("the port did not reach probe and annotation: %+v", after.Spec.Template)
	}
	if len(after.Annotations) != 0 {
		t.Errorf("annotations are %v, want the empty one removed", after.Annotations)
	}
}

func TestProbeAndScrapeCanBeLeftOut(t *testing.T) {
	d, _ := apply(t, fake.NewClientset(), Spec{Namespace: "shop", Name: "job", Image: "job:1", ReadyPath: ptr(""), MetricsPath: ptr(""), Recreate: ptr(true), Paused: ptr(true)})
	if d.Spec.Template.Spec.Containers[0].ReadinessProbe != nil || len(d.Spec.Template.Annotations) != 0 {
		t.Errorf("template is %+v", d.Spec.Template)
	}
	if d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || !d.Spec.Paused {
		t.Errorf("strategy %s, paused %v", d.Spec.Strategy.Type, d.Spec.Paused)
	}
}

func TestAServiceIsMadeOnce(t *testing.T) {
	client := fake.NewClientset()
	spec := Spec{Namespace: "shop", Name: "webapp", Image: "webapp:1", Port: ptr[int32](8888), Service: true}
	apply(t, client, spec)
	apply(t, client, spec)
	s, err := client.CoreV1().Services("shop").Get(t.Context(), "webapp", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Spec.Selector["app"] != "webapp" || len(s.Spec.Ports) != 1 || s.Spec.Ports[0].TargetPort.IntValue() != 8888 {
		t.Errorf("the service is %+v", s.Spec)
	}
	apply(t, client, Spec{Namespace: "shop", Name: "other", Image: "webapp:1"})
	if _, err := client.CoreV1().Services("shop").Get(t.Context(), "other", metav1.GetOptions{}); err == nil {
		t.Error("a service nobody asked for")
	}
}

func TestDeployRefusals(t *testing.T) {
	client := fake.NewClientset()
	apply(t, client, Spec{Namespace: "shop", Name: "webapp", Image: "webapp:1"})
	for name, c := range map[string]struct {
		spec Spec
		want string
	}{
		"no image for a new one": {Spec{Namespace: "shop", Name: "other"}, "an image is needed"},
		"no name":                {Spec{Namespace: "shop"}, "no name"},
		"no such container":      {Spec{Namespace: "shop", Name: "webapp", Container: "sidecar", Image: "x:1"}, `it has ["webapp"]`},
	} {
		if _, _, err := Apply(t.Context(), client, c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error = %v, want %q", name, err, c.want)
		}
	}
}

func TestWaitReadySaysWhatIsMissing(t *testing.T) {
	client := fake.NewClientset()
	d, _ := apply(t, client, Spec{Namespace: "shop", Name: "webapp", Image: "webapp:1"})
	steps := []struct {
		status appsv1.DeploymentStatus
		want   string
	}{
		{appsv1.DeploymentStatus{}, "0 of 2 pods are of the newest template"},
		{appsv1.DeploymentStatus{UpdatedReplicas: 2, Replicas: 3, AvailableReplicas: 1}, "1 of 2 pods are available"},
		{appsv1.DeploymentStatus{UpdatedReplicas: 2, Replicas: 3, AvailableReplicas: 2}, "1 old pods are still there"},
		{appsv1.DeploymentStatus{UpdatedReplicas: 2, Replicas: 2, AvailableReplicas: 2}, ""},
	}
	for _, s := range steps {
		d.Status = s.status
		if got := notReady(d); got != s.want {
			t.Errorf("of %+v: %q, want %q", s.status, got, s.want)
		}
	}
	d.Generation = 2
	if got := notReady(d); got == "" {
		t.Error("a change the controller has not seen counts as ready")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := WaitReady(ctx, client, "shop", "webapp"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "newest template") {
		t.Errorf("error = %v, want the deadline and what was missing", err)
	}
	if err := WaitReady(t.Context(), client, "shop", "none"); err == nil {
		t.Error("waiting for a Deployment that is not there ended well")
	}
}

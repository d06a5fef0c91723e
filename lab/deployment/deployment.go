// Package deployment creates and changes Deployments of the lab the way most
// are on a cluster: scraped by annotation, with a readiness probe.
package deployment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

// Annotations by which pods ask to be scraped.
const (
	annotationScrape = "prometheus.io/scrape"
	annotationPort   = "prometheus.io/port"
	annotationPath   = "prometheus.io/path"
)

// What a new Deployment gets where its Spec says nothing.
const (
	DefaultReplicas    = 2
	DefaultPort        = 8080
	DefaultReadyPath   = "/readyz"
	DefaultMetricsPath = "/metrics"
)

// Spec is what is wanted of a Deployment. What is nil is left as it is, or
// gets the default when the Deployment is new.
type Spec struct {
	Namespace, Name string // Namespace is created when missing
	Container       string // name; empty: the first one, or Name in a new Deployment
	Image           string // empty: left as it is; needed for a new Deployment
	Replicas        *int32
	Env             map[string]string // added; an empty value removes
	Port            *int32            // of the service, its probe and its metrics
	ReadyPath       *string           // of the readiness probe; "": no probe
	MetricsPath     *string           // "": not scraped
	MinReadySeconds *int32
	DeadlineSeconds *int32 // progressDeadlineSeconds
	HistoryLimit    *int32 // revisionHistoryLimit
	Recreate        *bool  // strategy Recreate instead of RollingUpdate
	Paused          *bool
	Annotations     map[string]string // of the Deployment, added; an empty value removes
	Service         bool              // there is to be a Service of the same name for its pods
}

// Apply creates the Deployment or changes it, and says which.
func Apply(ctx context.Context, client kubernetes.Interface, s Spec) (d *appsv1.Deployment, created bool, err error) {
	if s.Name == "" || s.Namespace == "" {
		return nil, false, errors.New("deploy: no name or no namespace")
	}
	api := client.AppsV1().Deployments(s.Namespace)
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		d, err = api.Get(ctx, s.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			if s.Image == "" {
				return errors.New("it does not exist: an image is needed to create it")
			}
			if err := ensureNamespace(ctx, client, s.Namespace); err != nil {
				return err
			}
			created = true
			d, err = api.Create(ctx, s.new(), metav1.CreateOptions{})
			return err
		}
		if err != nil {
			return err
		}
		created = false
		if err := s.change(d); err != nil {
			return err
		}
		d, err = api.Update(ctx, d, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("deploy %s/%s: %w", s.Namespace, s.Name, err)
	}
	if s.Service {
		if err := ensureService(ctx, client, d); err != nil {
			return nil, false, fmt.Errorf("deploy %s/%s: service: %w", s.Namespace, s.Name, err)
		}
	}
	return d, created, nil
}

func ensureNamespace(ctx context.Context, client kubernetes.Interface, name string) error {
	_, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	_, err = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// new is the Deployment of a Spec with the defaults filled in.
func (s Spec) new() *appsv1.Deployment {
	s.Replicas = or(s.Replicas, DefaultReplicas)
	s.Port = or(s.Port, DefaultPort)
	s.ReadyPath = or(s.ReadyPath, DefaultReadyPath)
	s.MetricsPath = or(s.MetricsPath, DefaultMetricsPath)
	if s.Container == "" {
		s.Container = s.Name
	}
	labels := map[string]string{"app": s.Name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: s.Container}}},
			},
		},
	}
	_ = s.change(d) // it can only miss a container, which is there
	return d
}

// change puts what the Spec says into a Deployment.
func (s Spec) change(d *appsv1.Deployment) error {
	c, err := s.container(d)
	if err != nil {
		return err
	}
	if s.Image != "" {
		c.Image = s.Image
	}
	setIf(&d.Spec.Replicas, s.Replicas)
	setIf(&d.Spec.ProgressDeadlineSeconds, s.DeadlineSeconds)
	setIf(&d.Spec.RevisionHistoryLimit, s.HistoryLimit)
	if s.MinReadySeconds != nil {
		d.Spec.MinReadySeconds = *s.MinReadySeconds
	}
	if s.Paused != nil {
		d.Spec.Paused = *s.Paused
	}
	if s.Recreate != nil {
		d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType}
		if *s.Recreate {
			d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
		}
	}
	d.Annotations = merge(d.Annotations, s.Annotations)
	s.changeEnv(c)
	s.changePort(c)
	s.changeProbe(c)
	s.changeMetrics(&d.Spec.Template, c)
	return nil
}

func (s Spec) container(d *appsv1.Deployment) (*corev1.Container, error) {
	containers := d.Spec.Template.Spec.Containers
	if s.Container == "" && len(containers) > 0 {
		return &containers[0], nil
	}
	names := make([]string, len(containers))
	for i := range containers {
		if containers[i].Name == s.Container {
			return &containers[i], nil
		}
		names[i] = containers[i].Name
	}
	return nil, fmt.Errorf("it has no container %q (it has %q)", s.Container, names)
}

func (s Spec) changeEnv(c *corev1.Container) {
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		i := slices.IndexFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == name })
		switch value := s.Env[name]; {
		case value == "" && i >= 0:
			c.Env = slices.Delete(c.Env, i, i+1)
		case value == "":
		case i >= 0:
			c.Env[i] = corev1.EnvVar{Name: name, Value: value}
		default:
			c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
		}
	}
}

func (s Spec) changePort(c *corev1.Container) {
	if s.Port == nil {
		return
	}
	c.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: *s.Port}}
	if p := c.ReadinessProbe; p != nil && p.HTTPGet != nil {
		p.HTTPGet.Port = intstr.FromInt32(*s.Port)
	}
}

func (s Spec) changeProbe(c *corev1.Container) {
	if s.ReadyPath == nil {
		return
	}
	if *s.ReadyPath == "" {
		c.ReadinessProbe = nil
		return
	}
	c.ReadinessProbe = &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: *s.ReadyPath, Port: intstr.FromInt32(firstPort(c))}},
		PeriodSeconds: 1,
	}
}

func (s Spec) changeMetrics(t *corev1.PodTemplateSpec, c *corev1.Container) {
	scraped := t.Annotations[annotationScrape] == "true"
	switch {
	case s.MetricsPath == nil && scraped && s.Port != nil:
		t.Annotations[annotationPort] = strconv.Itoa(int(*s.Port))
	case s.MetricsPath == nil:
	case *s.MetricsPath == "":
		t.Annotations = merge(t.Annotations, map[string]string{annotationScrape: "", annotationPort: "", annotationPath: ""})
	default:
		t.Annotations = merge(t.Annotations, map[string]string{
			annotationScrape: "true", annotationPort: strconv.Itoa(int(firstPort(c))), annotationPath: *s.MetricsPath,
		})
	}
}

func firstPort(c *corev1.Container) int32 {
	if len(c.Ports) > 0 {
		return c.Ports[0].ContainerPort
	}
	return DefaultPort
}

// WaitReady returns when every pod of the Deployment is of its newest template
// and available, or with what was missing when ctx ended.
func WaitReady(ctx context.Context, client kubernetes.Interface, namespace, name string) error {
	missing := "nothing was read yet"
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		d, err := client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case ctx.Err() != nil:
		case apierrors.IsNotFound(err):
			return fmt.Errorf("wait for %s/%s: %w", namespace, name, err)
		case err != nil:
			missing = err.Error() // the API server may be back the next time
		default:
			if missing = notReady(d); missing == "" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s/%s: %w: %s", namespace, name, context.Cause(ctx), missing)
		case <-tick.C:
		}
	}
}

// notReady says what a rollout still lacks; empty when it is through.
func notReady(d *appsv1.Deployment) string {
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	st := d.Status
	switch {
	case st.ObservedGeneration < d.Generation:
		return "the controller has not seen the newest change"
	case st.UpdatedReplicas < wanted:
		return fmt.Sprintf("%d of %d pods are of the newest template", st.UpdatedReplicas, wanted)
	case st.AvailableReplicas < wanted:
		return fmt.Sprintf("%d of %d pods are available", st.AvailableReplicas, wanted)
	case st.Replicas > st.UpdatedReplicas:
		return fmt.Sprintf("%d old pods are still there", st.Replicas-st.UpdatedReplicas)
	}
	return ""
}

func or[T any](p *T, otherwise T) *T {
	if p != nil {
		return p
	}
	return &otherwise
}

func setIf[T any](to **T, value *T) {
	if value != nil {
		v := *value
		*to = &v
	}
}

// merge adds values; an empty one removes.
func merge(to, add map[string]string) map[string]string {
	if to == nil && len(add) > 0 {
		to = map[string]string{}
	}
	for name, value := range add {
		if value == "" {
			delete(to, name)
			continue
		}
		to[name] = value
	}
	return to
}

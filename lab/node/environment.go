package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/watchtower-verify/watchtower/lab/images"
)

// environment is the environment of a container while it is put together:
// later values win, as in the kubelet.
type environment struct {
	values map[string]string
}

func (e *environment) set(name, value string) { e.values[name] = value }

// list is the environment as a process takes it.
func (e *environment) list() []string {
	out := make([]string, 0, len(e.values))
	for _, name := range slices.Sorted(maps.Keys(e.values)) {
		out = append(out, name+"="+e.values[name])
	}
	return out
}

// expand replaces $(NAME) by its value where it has one; $$ stands for $.
func (e *environment) expand(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		switch s[i+1] {
		case '$':
			out.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(s[i:], ')')
			if end < 0 {
				out.WriteByte('$')
				continue
			}
			reference := s[i : i+end+1]
			if value, ok := e.values[reference[2:end]]; ok {
				out.WriteString(value)
			} else {
				out.WriteString(reference)
			}
			i += end
		default:
			out.WriteByte('$')
		}
	}
	return out.String()
}

// places is where the pod stands; the downward API tells it to containers.
type places struct {
	podIP, hostIP, root string
}

// buildEnvironment puts together what a container sees. An error means that
// the container cannot be configured: a ConfigMap, Secret or key is missing.
func buildEnvironment(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, c *corev1.Container, im images.Image, at places) (*environment, error) {
	env := &environment{values: map[string]string{
		"PATH":          "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME":          at.root,
		"HOSTNAME":      pod.Name,
		"POD_IP":        at.podIP,
		"POD_NAMESPACE": pod.Namespace,
		"HOST":          at.podIP,
		"POD_ROOT":      at.root,
	}}
	maps.Copy(env.values, im.Env)
	for _, from := range c.EnvFrom {
		data, err := envFrom(ctx, client, pod.Namespace, from)
		if err != nil {
			return nil, err
		}
		for key, value := range data {
			env.set(from.Prefix+key, value)
		}
	}
	for _, v := range c.Env {
		if v.ValueFrom == nil {
			env.set(v.Name, env.expand(v.Value))
			continue
		}
		value, found, err := envValue(ctx, client, pod, c, v.ValueFrom, at)
		if err != nil {
			return nil, err
		}
		if found {
			env.set(v.Name, value)
		}
	}
	return env, nil
}

func envFrom(ctx context.Context, client kubernetes.Interface, namespace string, from corev1.EnvFromSource) (map[string]string, error) {
	switch {
	case from.ConfigMapRef != nil:
		return configMap(ctx, client, namespace, from.ConfigMapRef.Name, optional(from.ConfigMapRef.Optional))
	case from.SecretRef != nil:
		return secret(ctx, client, namespace, from.SecretRef.Name, optional(from.SecretRef.Optional))
	}
	return nil, nil
}

func envValue(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, c *corev1.Container, from *corev1.EnvVarSource, at places) (value string, found bool, err error) {
	var data map[string]string
	switch {
	case from.FieldRef != nil:
		value, err = fieldValue(pod, from.FieldRef.FieldPath, at)
		return value, err == nil, err
	case from.ResourceFieldRef != nil:
		value, err = resourceValue(c, from.ResourceFieldRef)
		return value, err == nil, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		if data, err = configMap(ctx, client, pod.Namespace, ref.Name, optional(ref.Optional)); err != nil {
			return "", false, err
		}
		if value, found = data[ref.Key]; !found && !optional(ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %s in ConfigMap %s/%s", ref.Key, pod.Namespace, ref.Name)
		}
		return value, found, nil
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		if data, err = secret(ctx, client, pod.Namespace, ref.Name, optional(ref.Optional)); err != nil {
			return "", false, err
		}
		if value, found = data[ref.Key]; !found && !optional(ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %s in Secret %s/%s", ref.Key, pod.Namespace, ref.Name)
		}
		return value, found, nil
	}
	return "", false, fmt.Errorf("this node cannot take a value of an environment variable from %v", from)
}

func configMap(ctx context.Context, client kubernetes.Interface, namespace, name string, optional bool) (map[string]string, error) {
	object, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && optional:
		return nil, nil
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("configmap %q not found", name)
	case err != nil:
		return nil, fmt.Errorf("get configmap %s/%s: %w", namespace, name, err)
	}
	data := maps.Clone(object.Data)
	if data == nil {
		data = map[string]string{}
	}
	for key, value := range object.BinaryData {
		data[key] = string(value)
	}
	return data, nil
}

func secret(ctx context.Context, client kubernetes.Interface, namespace, name string, optional bool) (map[string]string, error) {
	object, err := client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && optional:
		return nil, nil
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("secret %q not found", name)
	case err != nil:
		return nil, fmt.Errorf("get secret %s/%s: %w", namespace, name, err)
	}
	data := make(map[string]string, len(object.Data))
	for key, value := range object.Data {
		data[key] = string(value)
	}
	return data, nil
}

func optional(b *bool) bool { return b != nil && *b }

// fieldValue is a field of the pod as the downward API names it.
func fieldValue(pod *corev1.Pod, path string, at places) (string, error) {
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return formatMap(pod.Labels), nil
	case "metadata.annotations":
		return formatMap(pod.Annotations), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return at.podIP, nil
	case "status.hostIP", "status.hostIPs":
		return at.hostIP, nil
	}
	for prefix, from := range map[string]map[string]string{"metadata.labels": pod.Labels, "metadata.annotations": pod.Annotations} {
		if rest, ok := strings.CutPrefix(path, prefix+"['"); ok {
			if key, ok := strings.CutSuffix(rest, "']"); ok {
				return from[key], nil
			}
		}
	}
	return "", fmt.Errorf("this node knows no field %q of a pod", path)
}

func formatMap(m map[string]string) string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, key+"="+strconv.Quote(m[key]))
	}
	return strings.Join(lines, "\n")
}

func resourceValue(c *corev1.Container, ref *corev1.ResourceFieldSelector) (string, error) {
	kind, resource, _ := strings.Cut(ref.Resource, ".")
	list := map[string]corev1.ResourceList{"limits": c.Resources.Limits, "requests": c.Resources.Requests}[kind]
	if list == nil && kind != "limits" && kind != "requests" {
		return "", fmt.Errorf("this node knows no resource %q of a container", ref.Resource)
	}
	quantity := list[corev1.ResourceName(resource)]
	divisor := ref.Divisor
	if resource == string(corev1.ResourceCPU) {
		milli := int64(1000)
		if !divisor.IsZero() {
			milli = divisor.MilliValue()
		}
		return strconv.FormatInt(ceilDiv(quantity.MilliValue(), milli), 10), nil
	}
	unit := int64(1)
	if !divisor.IsZero() {
		unit = divisor.Value()
	}
	return strconv.FormatInt(ceilDiv(quantity.Value(), unit), 10), nil
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

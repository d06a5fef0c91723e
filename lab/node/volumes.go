package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// prepareRoot makes the container's directory with what it mounts and returns
// it. A process has no file system of its own here: what a manifest mounts at
// /etc/app is found at $POD_ROOT/etc/app.
func (p *pod) prepareRoot(ctx context.Context, c *corev1.Container) (string, error) {
	root := filepath.Join(p.dir, "root", c.Name)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", fmt.Errorf("root of container %s: %w", c.Name, err)
	}
	object := p.current()
	for _, mount := range c.VolumeMounts {
		source, err := p.volume(ctx, object, mount.Name)
		if err != nil {
			return "", err
		}
		if mount.SubPath != "" {
			source = filepath.Join(source, filepath.Join("/", mount.SubPath))
		}
		path := filepath.Join(root, filepath.Join("/", mount.MountPath))
		if path == root {
			return "", fmt.Errorf("volume %s is mounted at the root of container %s", mount.Name, c.Name)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", fmt.Errorf("mount %s of container %s: %w", mount.Name, c.Name, err)
		}
		if was, err := os.Readlink(path); err == nil && was == source {
			continue
		}
		if err := os.Symlink(source, path); err != nil {
			return "", fmt.Errorf("mount %s of container %s: %w", mount.Name, c.Name, err)
		}
	}
	return root, nil
}

// volume fills a volume of the pod and returns where it is.
func (p *pod) volume(ctx context.Context, object *corev1.Pod, name string) (string, error) {
	for _, v := range object.Spec.Volumes {
		if v.Name != name {
			continue
		}
		if v.HostPath != nil {
			return v.HostPath.Path, nil
		}
		dir := filepath.Join(p.dir, "volume", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("volume %s: %w", name, err)
		}
		files, err := p.files(ctx, object, v.VolumeSource)
		if err != nil {
			return "", fmt.Errorf("volume %s: %w", name, err)
		}
		for file, content := range files {
			path := filepath.Join(dir, filepath.Join("/", file))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return "", fmt.Errorf("volume %s: %w", name, err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				return "", fmt.Errorf("volume %s: %w", name, err)
			}
		}
		return dir, nil
	}
	return "", fmt.Errorf("the pod has no volume %q", name)
}

// files are the files a volume begins with.
func (p *pod) files(ctx context.Context, object *corev1.Pod, v corev1.VolumeSource) (map[string]string, error) {
	client := p.agent.cfg.Client
	switch {
	case v.EmptyDir != nil:
		return nil, nil
	case v.ConfigMap != nil:
		data, err := configMap(ctx, client, p.namespace, v.ConfigMap.Name, optional(v.ConfigMap.Optional))
		if err != nil {
			return nil, err
		}
		return project(data, v.ConfigMap.Items, optional(v.ConfigMap.Optional))
	case v.Secret != nil:
		data, err := secret(ctx, client, p.namespace, v.Secret.SecretName, optional(v.Secret.Optional))
		if err != nil {
			return nil, err
		}
		return project(data, v.Secret.Items, optional(v.Secret.Optional))
	case v.DownwardAPI != nil:
		return p.downward(object, v.DownwardAPI.Items)
	case v.Projected != nil:
		return p.projected(ctx, object, v.Projected.Sources)
	}
	return nil, fmt.Errorf("this node has emptyDir, hostPath, configMap, secret, downwardAPI and projected volumes only")
}

func (p *pod) projected(ctx context.Context, object *corev1.Pod, sources []corev1.VolumeProjection) (map[string]string, error) {
	all := map[string]string{}
	for _, s := range sources {
		var v corev1.VolumeSource
		switch {
		case s.ConfigMap != nil:
			v.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: s.ConfigMap.LocalObjectReference, Items: s.ConfigMap.Items, Optional: s.ConfigMap.Optional}
		case s.Secret != nil:
			v.Secret = &corev1.SecretVolumeSource{SecretName: s.Secret.Name, Items: s.Secret.Items, Optional: s.Secret.Optional}
		case s.DownwardAPI != nil:
			v.DownwardAPI = &corev1.DownwardAPIVolumeSource{Items: s.DownwardAPI.Items}
		}
		files, err := p.files(ctx, object, v)
		if err != nil {
			return nil, err
		}
		for name, content := range files {
			all[name] = content
		}
	}
	return all, nil
}

func (p *pod) downward(object *corev1.Pod, items []corev1.DownwardAPIVolumeFile) (map[string]string, error) {
	files := map[string]string{}
	for _, item := range items {
		if item.FieldRef == nil {
			return nil, fmt.Errorf("%s: this node puts fields of a pod into files only", item.Path)
		}
		value, err := fieldValue(object, item.FieldRef.FieldPath, places{podIP: p.address(), hostIP: hostIP})
		if err != nil {
			return nil, err
		}
		files[item.Path] = value
	}
	return files, nil
}

// project picks the items of a ConfigMap or Secret, all of them when none is
// named.
func project(data map[string]string, items []corev1.KeyToPath, optional bool) (map[string]string, error) {
	if len(items) == 0 {
		return data, nil
	}
	files := map[string]string{}
	for _, item := range items {
		content, ok := data[item.Key]
		if !ok && !optional {
			return nil, fmt.Errorf("references non-existent key: %s", item.Key)
		}
		if ok {
			files[strings.TrimPrefix(item.Path, "/")] = content
		}
	}
	return files, nil
}

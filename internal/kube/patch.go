package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// operation is one step of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// rollbackPatch puts a pod template into a Deployment, on condition that the
// Deployment is still the one that was read: same object, same generation. The
// generation moves with every change of the spec or of an annotation and with
// no change of the status. Nothing but the template and two annotations is
// written; the number of replicas stays whoever's it is.
func rollbackPatch(d *appsv1.Deployment, req release.RollbackRequest, template map[string]any) ([]byte, error) {
	ops := []operation{
		{"test", "/metadata/uid", d.UID},
		{"test", "/metadata/generation", d.Generation},
		{"replace", "/spec/template", template},
	}
	marks := [][2]string{
		{release.AnnotationRolledBackRelease, string(req.Release)},
		{release.AnnotationRolledBackTo, req.Target.Name},
	}
	if len(d.Annotations) == 0 {
		// There is no map to add to, and one that somebody else adds meanwhile must
		// not be lost.
		all := make(map[string]string)
		for _, m := range marks {
			all[m[0]] = m[1]
		}
		ops = append(ops,
			operation{"test", "/metadata/resourceVersion", d.ResourceVersion},
			operation{"add", "/metadata/annotations", all})
		return json.Marshal(ops)
	}
	for _, m := range marks {
		ops = append(ops, operation{"add", "/metadata/annotations/" + escape.Replace(m[0]), m[1]})
	}
	return json.Marshal(ops)
}

// escape makes a key a segment of a JSON pointer (RFC 6901).
var escape = strings.NewReplacer("~", "~0", "/", "~1")

// bareTemplate reads a ReplicaSet's pod template without the label that the
// Deployment controller added to it. Numbers keep every digit.
func bareTemplate(raw []byte) (map[string]any, error) {
	var template map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&template); err != nil {
		return nil, err
	}
	meta, ok := template["metadata"].(map[string]any)
	if !ok {
		return nil, errors.New("the pod template has no metadata")
	}
	if labels, ok := meta["labels"].(map[string]any); ok {
		delete(labels, labelTemplateHash)
	}
	return template, nil
}

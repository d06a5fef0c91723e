// Package release holds the words every room of Watchtower shares, as plain
// types: workload, release, image, arm, evidence, verdict, policy, action. It
// does no I/O and imports nothing of the project.
package release

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// AnnotationPrefix stands before every annotation Watchtower reads or writes.
const AnnotationPrefix = "watchtower.dev/"

// Annotations Watchtower writes on a Deployment when it rolls it back.
const (
	AnnotationRolledBackRelease = AnnotationPrefix + "rolled-back-release" // ID of the release that was undone
	AnnotationRolledBackTo      = AnnotationPrefix + "rolled-back-to"      // name of the ReplicaSet put back
)

// Workload is a Deployment, known by cluster, namespace, name and UID.
type Workload struct {
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

// String returns "namespace/name".
func (w Workload) String() string { return w.Namespace + "/" + w.Name }

// Image is what one container runs.
type Image struct {
	Container string `json:"container"`
	Reference string `json:"image"`            // as written in the pod template
	Digest    string `json:"digest,omitempty"` // "sha256:…" as run; empty until a pod has run it
	Revision  string `json:"revision,omitempty"`
	Source    string `json:"source,omitempty"` // source repository URL, when known
}

// ReplicaSet is one version of a workload's pod template.
type ReplicaSet struct {
	Name      string    `json:"name"`
	UID       string    `json:"uid"`
	Hash      string    `json:"hash"`     // pod-template-hash
	Revision  int64     `json:"revision"` // deployment.kubernetes.io/revision
	Images    []Image   `json:"images"`   // in order of container name
	CreatedAt time.Time `json:"created_at"`
}

// ID names a release. It is derived from what the release is, so that every
// replica and every restart gives the same release the same ID.
type ID string

// NewID derives the ID of the rollout of a workload to a ReplicaSet.
func NewID(cluster, workloadUID, replicaSetUID string) ID {
	sum := sha256.Sum256([]byte(cluster + "\x00" + workloadUID + "\x00" + replicaSetUID))
	return ID(hex.EncodeToString(sum[:6]))
}

// Release is one rollout of a workload to a new image identity.
type Release struct {
	ID         ID          `json:"id"`
	Workload   Workload    `json:"workload"`
	ReplicaSet ReplicaSet  `json:"replicaset"`
	Previous   *ReplicaSet `json:"previous_replicaset"` // the one it takes over from; nil at a first deployment
	Generation int64       `json:"generation"`          // of the Deployment when the release was seen
	Recreate   bool        `json:"recreate,omitempty"`  // strategy Recreate: the arms never run together
	StartedAt  time.Time   `json:"started_at"`          // creation of the ReplicaSet
	SeenAt     time.Time   `json:"seen_at"`
	// HistoryUntil is where the history arm ends: StartedAt, or the start of a
	// suspect version that ran just before.
	HistoryUntil time.Time `json:"history_until"`
	// Annotations of the Deployment under AnnotationPrefix, keys without it.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Labels of the workload that messages carry, such as team.
	Labels map[string]string `json:"labels,omitempty"`
	// SupersededBy is the newer release that overtook this one.
	SupersededBy ID `json:"superseded_by,omitempty"`
}

// Changed returns the images of the new ReplicaSet that differ from the
// previous one's in reference or, where both are known, in digest. All of
// them at a first deployment.
func (r Release) Changed() []Image {
	if r.Previous == nil {
		return r.ReplicaSet.Images
	}
	return ChangedImages(r.Previous.Images, r.ReplicaSet.Images)
}

// ChangedImages returns the images of next that are not those of prev: a new
// container, another reference, or the same reference with another digest.
func ChangedImages(prev, next []Image) []Image {
	before := make(map[string]Image, len(prev))
	for _, im := range prev {
		before[im.Container] = im
	}
	var out []Image
	for _, im := range next {
		old, ok := before[im.Container]
		same := ok && old.Reference == im.Reference &&
			(old.Digest == "" || im.Digest == "" || old.Digest == im.Digest)
		if !same {
			out = append(out, im)
		}
	}
	return out
}

// Version is a short name of what the images are, for people: tags of the
// references, or the start of a digest where there is no tag.
func Version(images []Image) string {
	var parts []string
	for _, im := range images {
		parts = append(parts, tag(im))
	}
	return strings.Join(parts, ",")
}

func tag(im Image) string {
	ref := im.Reference
	if _, digest, ok := strings.Cut(ref, "@"); ok {
		return shortDigest(digest)
	}
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[i+1:]
	}
	if im.Digest != "" {
		return shortDigest(im.Digest)
	}
	return "latest"
}

func shortDigest(d string) string {
	d = strings.TrimPrefix(d, "sha256:")
	return d[:min(12, len(d))]
}

// Package images is the lab's image catalogue: a JSON file that says which
// executable an image reference stands for, and a real OCI registry that
// serves the labels of each of them under its digest.
package images

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Labels of the OCI image specification that say where an image comes from.
const (
	LabelRevision = "org.opencontainers.image.revision" // git commit
	LabelSource   = "org.opencontainers.image.source"   // URL of the repository
	LabelVersion  = "org.opencontainers.image.version"
)

// Image is one entry of the catalogue: what a reference stands for.
type Image struct {
	// Reference is a tagged image name such as "mycompany/webapp:v1".
	Reference string `json:"reference"`
	// Digest is the digest of the image's OCI manifest, "sha256:…". It follows
	// from Command, Env and Labels; in a file written by hand it may be left out.
	Digest string `json:"digest,omitempty"`
	// Command is what runs: the path of an executable and its first arguments.
	Command []string          `json:"command"`
	Env     map[string]string `json:"env,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	// PullError makes every pull of the image fail, as of one that was deleted
	// from its registry.
	PullError bool `json:"pull_error,omitempty"`
}

// Manifest builds the OCI image the registry serves for im. It has no layers:
// the executable is already on this machine.
func (im Image) Manifest() (v1.Image, error) {
	env := make([]string, 0, len(im.Env))
	for _, name := range slices.Sorted(maps.Keys(im.Env)) {
		env = append(env, name+"="+im.Env[name])
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	file, err := base.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("image %s: read base config: %w", im.Reference, err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", "amd64"
	file.Config = v1.Config{Entrypoint: im.Command, Env: env, Labels: im.Labels}
	image, err := mutate.ConfigFile(base, file)
	if err != nil {
		return nil, fmt.Errorf("image %s: build manifest: %w", im.Reference, err)
	}
	return image, nil
}

// complete checks an entry and fills in its digest.
func (im *Image) complete() error {
	if _, err := parseTagged(im.Reference); err != nil {
		return err
	}
	if len(im.Command) == 0 || im.Command[0] == "" {
		return errors.New("command is empty: name the executable")
	}
	for name := range im.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return fmt.Errorf("env %q is no name of a variable", name)
		}
	}
	manifest, err := im.Manifest()
	if err != nil {
		return err
	}
	digest, err := manifest.Digest()
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	if im.Digest != "" && im.Digest != digest.String() {
		return fmt.Errorf("digest %s is not that of its command, env and labels, which is %s: leave digest out to have it computed", im.Digest, digest)
	}
	im.Digest = digest.String()
	return nil
}

func (im Image) clone() Image {
	im.Command = slices.Clone(im.Command)
	im.Env = maps.Clone(im.Env)
	im.Labels = maps.Clone(im.Labels)
	return im
}

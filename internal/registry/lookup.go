package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// The labels, of the image specification's annotations.
const (
	labelRevision = "org.opencontainers.image.revision"
	labelSource   = "org.opencontainers.image.source"
)

const (
	maxConfigBytes = 4 << 20
	maxSourceBytes = 512
)

// lookUp reads the labels of an image, or of the first image of an index:
// those that were built together have the same origin.
func (r *Resolver) lookUp(ctx context.Context, ref name.Digest) (origin, error) {
	// A puller keeps credentials and tokens; a new one for each look-up takes
	// renewed ones and forgets them.
	puller, err := remote.NewPuller(r.options...)
	if err != nil {
		return origin{}, err
	}
	desc, err := puller.Get(ctx, ref)
	if err != nil {
		return origin{}, err
	}
	var outer map[string]string
	if desc.MediaType.IsIndex() {
		var index v1.IndexManifest
		if err := json.Unmarshal(desc.Manifest, &index); err != nil {
			return origin{}, fmt.Errorf("read index: %w", err)
		}
		outer = index.Annotations
		child, ok := firstImage(index)
		if !ok {
			return r.origin(outer), nil
		}
		if desc, err = puller.Get(ctx, ref.Context().Digest(child.String())); err != nil {
			return origin{}, err
		}
	}
	var manifest v1.Manifest
	if err := json.Unmarshal(desc.Manifest, &manifest); err != nil {
		return origin{}, fmt.Errorf("read manifest: %w", err)
	}
	labels, err := r.labels(ctx, puller, ref, manifest.Config)
	if err != nil {
		return origin{}, err
	}
	return r.origin(labels, manifest.Annotations, outer), nil
}

// labels reads the image's configuration. Something else than an image, such
// as a chart, has none.
func (r *Resolver) labels(ctx context.Context, puller *remote.Puller, ref name.Digest, config v1.Descriptor) (map[string]string, error) {
	if config.MediaType != types.OCIConfigJSON && config.MediaType != types.DockerConfigJSON {
		return nil, nil
	}
	if config.Size > maxConfigBytes {
		return nil, errTooLarge
	}
	layer, err := puller.Layer(ctx, ref.Context().Digest(config.Digest.String()))
	if err != nil {
		return nil, err
	}
	body, err := layer.Compressed() // as stored; its digest is verified while reading
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxConfigBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(text) > maxConfigBytes {
		return nil, errTooLarge
	}
	var file struct {
		Config struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return file.Config.Labels, nil
}

// firstImage chooses an image of an index, passing over attestations, which
// call themselves of an unknown platform.
func firstImage(index v1.IndexManifest) (v1.Hash, bool) {
	for _, d := range index.Manifests {
		if d.MediaType.IsImage() && (d.Platform == nil || d.Platform.OS != "unknown") {
			return d.Digest, true
		}
	}
	return v1.Hash{}, false
}

// origin takes revision and source from the first set that has them in a form
// that is fit to be believed.
func (r *Resolver) origin(sets ...map[string]string) origin {
	var o origin
	for _, set := range sets {
		if o.revision == "" {
			o.revision = cleanRevision(set[labelRevision])
		}
		if o.source == "" {
			o.source = r.cleanSource(set[labelSource])
		}
	}
	return o
}

var revision = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._/+-]{0,127}$`)

// cleanRevision returns a revision that may stand in a URL and in a text, ""
// for anything else.
func cleanRevision(s string) string {
	if !revision.MatchString(s) || strings.Contains(s, "..") {
		return ""
	}
	return s
}

// cleanSource returns an http(s) URL of a host that is believed, without
// credentials, query or fragment; "" for anything else.
func (r *Resolver) cleanSource(s string) string {
	if s == "" || len(s) > maxSourceBytes || strings.ContainsFunc(s, func(c rune) bool {
		return c == unicode.ReplacementChar || !unicode.IsGraphic(c) || unicode.IsSpace(c)
	}) {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.Opaque != "" {
		return ""
	}
	host := strings.ToLower(u.Host)
	if !r.hosts[host] && !r.hosts[strings.TrimSuffix(host, ownPort[u.Scheme])] {
		return ""
	}
	clean := url.URL{Scheme: u.Scheme, Host: host}
	if u.Path != "" {
		clean.Path = path.Clean(u.Path)
	}
	return clean.String()
}

var ownPort = map[string]string{"http": ":80", "https": ":443"}

// typed makes of a fault of a look-up an error with a code.
func typed(ref name.Digest, err error) *release.Error {
	e := release.E(release.CodeUnavailable, "look up image "+ref.Name(), err)
	var (
		te     *transport.Error
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case errors.Is(err, errPlain):
		e.Code = release.CodeRefused
	case errors.Is(err, errTooLarge), errors.As(err, &syntax), errors.As(err, &kind), errors.Is(err, remote.ErrSchema1):
		e.Code = release.CodeInvalid
	case errors.As(err, &te):
		switch {
		case te.StatusCode == http.StatusNotFound:
			e.Code = release.CodeNotFound
		case te.StatusCode == http.StatusUnauthorized || te.StatusCode == http.StatusForbidden:
			e.Code = release.CodeRefused
		case te.StatusCode == http.StatusTooManyRequests:
			e.Code = release.CodeRateLimited
		case te.StatusCode >= 400 && te.StatusCode < 500:
			e.Code = release.CodeInvalid
		}
	}
	return e
}

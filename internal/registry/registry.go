// Package registry tells from which commit of which source repository an image
// was built, from the labels in the image's configuration.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/singleflight"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	defaultTimeout = 10 * time.Second
	cacheSize      = 10_000
	// A fault is not asked about again for this long: what is not there may be
	// pushed, a registry that is away comes back sooner.
	missingFor     = 10 * time.Minute
	unavailableFor = 30 * time.Second
)

// Config says which registries are asked, and how.
type Config struct {
	// Hosts of source repositories that are believed, host or host:port; a host
	// without port stands for the scheme's own. The labels come from whoever
	// built the image.
	Hosts []string
	// PlainHTTP are registries, host or host:port, spoken to without TLS.
	// Loopback addresses need not be named.
	PlainHTTP []string
	// Mirrors are asked instead of a registry: its host to the mirror's.
	Mirrors map[string]string
	// Timeout bounds one look-up; 0: 10 s.
	Timeout time.Duration
	// Keychain gives credentials; nil: those of the Docker configuration
	// (DOCKER_CONFIG), anonymous where there are none.
	Keychain authn.Keychain
}

// Resolver looks images up and remembers what it found. It is safe for
// concurrent use.
type Resolver struct {
	hosts   map[string]bool
	plain   map[string]bool
	mirrors map[string]string
	timeout time.Duration
	http    *http.Transport
	options []remote.Option
	found   *cache // by digest, for ever: what a digest names never changes
	flight  singleflight.Group
}

// New returns a resolver that does not connect before its first look-up. A
// registry or mirror that is no host is CodeInvalid.
func New(cfg Config) (*Resolver, error) {
	r := &Resolver{
		hosts:   map[string]bool{},
		plain:   map[string]bool{},
		mirrors: map[string]string{},
		timeout: cfg.Timeout,
		found:   newCache(cacheSize),
	}
	if r.timeout <= 0 {
		r.timeout = defaultTimeout
	}
	if cfg.Keychain == nil {
		cfg.Keychain = authn.DefaultKeychain
	}
	for _, h := range cfg.Hosts {
		r.hosts[strings.ToLower(h)] = true
	}
	for _, h := range cfg.PlainHTTP {
		if err := isRegistry(h); err != nil {
			return nil, err
		}
		r.plain[strings.ToLower(h)] = true
	}
	for from, to := range cfg.Mirrors {
		if err := errors.Join(isRegistry(from), isRegistry(to)); err != nil {
			return nil, err
		}
		r.mirrors[canonical(from)] = to
	}
	r.http = newTransport(r.timeout)
	r.options = []remote.Option{
		remote.WithTransport(&guard{next: r.http, plain: r.plain}),
		remote.WithAuthFromKeychain(cfg.Keychain),
		remote.WithUserAgent("watchtower"),
		// Whoever asks comes again; a look-up holds nobody up with retries.
		remote.WithRetryBackoff(remote.Backoff{Duration: 200 * time.Millisecond, Factor: 1, Steps: 2}),
	}
	return r, nil
}

func isRegistry(host string) error {
	if _, err := name.NewRegistry(host, name.StrictValidation); err != nil {
		return release.E(release.CodeInvalid, fmt.Sprintf("registry: %q is no host of a registry", clip(host)), err)
	}
	return nil
}

// Close drops idle connections.
func (r *Resolver) Close() { r.http.CloseIdleConnections() }

// Resolve returns the image with Revision and Source as its labels
// org.opencontainers.image.revision and .source give them, empty where there
// are none or they are not fit to be believed. The digest must be known.
//
// Errors are *release.Error: CodeInvalid (no digest, no reference, not an
// image), CodeNotFound, CodeRefused (the registry wants other credentials),
// CodeRateLimited, CodeUnavailable. With an error the image is returned as it
// was. An error is remembered for a while: asking again at once is cheap.
func (r *Resolver) Resolve(ctx context.Context, im release.Image) (release.Image, error) {
	if im.Digest == "" {
		return im, release.E(release.CodeInvalid, fmt.Sprintf("look up image %q: its digest is not known yet", clip(im.Reference)), nil)
	}
	ref, err := r.reference(im)
	if err != nil {
		return im, release.E(release.CodeInvalid, fmt.Sprintf("look up image %q", clip(im.Reference)), err)
	}
	now := time.Now()
	if o, ok := r.found.get(im.Digest, now); ok {
		return o.onto(im), nil
	}
	if o, ok := r.found.get(ref.Name(), now); ok {
		return im, o.err
	}
	// The look-up is shared by all who ask, so no single one's cancellation may
	// end it; its time-out does.
	done := r.flight.DoChan(ref.Name(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
		defer cancel()
		o, err := r.lookUp(ctx, ref)
		if err != nil {
			e := typed(ref, err)
			r.found.put(ref.Name(), origin{err: e}, time.Now().Add(pause(e)))
			return nil, e
		}
		r.found.put(im.Digest, o, time.Time{})
		return o, nil
	})
	select {
	case <-ctx.Done():
		return im, release.E(release.CodeUnavailable, "look up image "+ref.Name(), ctx.Err())
	case res := <-done:
		if res.Err != nil {
			return im, res.Err
		}
		return res.Val.(origin).onto(im), nil
	}
}

// origin is where an image was built from.
type origin struct {
	revision, source string
	err              error
}

func (o origin) onto(im release.Image) release.Image {
	im.Revision, im.Source = o.revision, o.source
	return im
}

// reference is where the digest is looked up: the repository of the image's
// reference, at the mirror if its registry has one.
func (r *Resolver) reference(im release.Image) (name.Digest, error) {
	written, err := name.ParseReference(im.Reference)
	if err != nil {
		return name.Digest{}, err
	}
	repo := written.Context()
	host := repo.RegistryStr()
	if mirror, ok := r.mirrors[canonical(host)]; ok {
		host = mirror
	}
	var opts []name.Option
	if r.plain[strings.ToLower(host)] {
		opts = append(opts, name.Insecure)
	}
	return name.NewDigest(host+"/"+repo.RepositoryStr()+"@"+im.Digest, opts...)
}

// canonical makes the names of one registry one.
func canonical(host string) string {
	switch host = strings.ToLower(host); host {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}

func clip(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), 200)], "")
}

// pause is how long an error is remembered.
func pause(e *release.Error) time.Duration {
	switch e.Code {
	case release.CodeUnavailable, release.CodeRateLimited:
		return max(unavailableFor, e.RetryAfter)
	}
	return missingFor
}

var errTooLarge = errors.New("the configuration of the image is larger than any real one")

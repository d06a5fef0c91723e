package images

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// hub is the registry of a reference that names none.
const hub = "docker.io"

// reference is an image name taken apart.
type reference struct {
	host       string // registry as written, "docker.io" when none was
	repository string // path within the registry, "library/" added for the hub's own
	tag        string // "" when a digest is given
	digest     string
}

// parse reads a reference as a container runtime does: no host means the hub,
// no tag means latest.
func parse(s string) (reference, error) {
	parsed, err := name.ParseReference(s, name.WithDefaultRegistry(hub))
	if err != nil {
		return reference{}, fmt.Errorf("image reference %q: %w", s, err)
	}
	ref := reference{host: parsed.Context().RegistryStr(), repository: parsed.Context().RepositoryStr()}
	if ref.host == name.DefaultRegistry { // go-containerregistry's name for the hub
		ref.host = hub
	}
	if ref.host == hub && !strings.Contains(ref.repository, "/") {
		ref.repository = "library/" + ref.repository
	}
	if d, ok := parsed.(name.Digest); ok {
		ref.digest = d.DigestStr()
		return ref, nil
	}
	ref.tag = parsed.Identifier()
	return ref, nil
}

func parseTagged(s string) (reference, error) {
	ref, err := parse(s)
	if err != nil {
		return reference{}, err
	}
	if ref.tag == "" {
		return reference{}, fmt.Errorf("image reference %q names a digest: the catalogue wants a tag", s)
	}
	return ref, nil
}

// local reports whether the reference names a registry on this machine.
func (r reference) local() bool {
	host, _, err := net.SplitHostPort(r.host)
	if err != nil {
		host = r.host
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// canonical is the same for "mycompany/webapp" and for
// "127.0.0.1:5000/mycompany/webapp", since the lab's registry serves both: the
// name of the repository within the catalogue.
func (r reference) canonical() string {
	if !r.local() {
		return r.host + "/" + r.repository
	}
	inner, err := parse(r.repository)
	if err != nil {
		return hub + "/" + r.repository
	}
	return inner.host + "/" + inner.repository
}

// served are the paths under which the lab's registry has the repository.
func (r reference) served() []string {
	canonical := r.canonical()
	path, onHub := strings.CutPrefix(canonical, hub+"/")
	if !onHub {
		return []string{canonical}
	}
	if short, ok := strings.CutPrefix(path, "library/"); ok {
		return []string{path, short}
	}
	return []string{path}
}

// name is the repository as a runtime reports it.
func (r reference) name() string { return r.host + "/" + r.repository }

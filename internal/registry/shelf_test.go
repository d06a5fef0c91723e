package registry

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	server "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// shelf is a real registry that counts its requests and can be told to fail.
type shelf struct {
	t        *testing.T
	host     string
	requests atomic.Int64
	fail     atomic.Pointer[http.HandlerFunc]
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{t: t}
	real := server.New(server.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if h := s.fail.Load(); h != nil {
			(*h)(w, r)
			return
		}
		real.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	t.Cleanup(remote.DefaultTransport.(*http.Transport).CloseIdleConnections)
	s.host = strings.TrimPrefix(srv.URL, "http://")
	return s
}

func (s *shelf) failWith(h http.HandlerFunc) { s.fail.Store(&h) }

// push puts an image with these labels on the shelf and returns its digest.
func (s *shelf) push(repo string, labels map[string]string) string {
	s.t.Helper()
	im, err := mutate.Config(empty.Image, v1.Config{Labels: labels})
	if err != nil {
		s.t.Fatal(err)
	}
	ref, err := name.NewTag(s.host + "/" + repo + ":v1")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := remote.Write(ref, im); err != nil {
		s.t.Fatal(err)
	}
	digest, err := im.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return digest.String()
}

// pushIndex puts an index of an attestation and an image on the shelf.
func (s *shelf) pushIndex(repo string, labels, annotations map[string]string) string {
	s.t.Helper()
	im, err := mutate.Config(empty.Image, v1.Config{Labels: labels})
	if err != nil {
		s.t.Fatal(err)
	}
	other, err := mutate.Config(empty.Image, v1.Config{Labels: map[string]string{labelRevision: "attestation"}})
	if err != nil {
		s.t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}},
		mutate.IndexAddendum{Add: im, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}},
	)
	index = mutate.Annotations(index, annotations).(v1.ImageIndex)
	ref, err := name.NewTag(s.host + "/" + repo + ":v1")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		s.t.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return digest.String()
}

func (s *shelf) image(repo, digest string) release.Image {
	return release.Image{Container: "web", Reference: s.host + "/" + repo + ":v1", Digest: digest}
}

package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Registry serves a catalogue as an OCI registry. Nobody can push to it: it
// has what the catalogue has.
type Registry struct {
	// Addr is the host:port it listens on.
	Addr string

	cat   *Catalogue
	inner http.Handler
	done  chan struct{}
	err   error

	mu     sync.Mutex
	pushed map[string]string // reference → digest
}

// Serve listens on addr ("127.0.0.1:0" picks a port) and serves cat over plain
// HTTP until ctx ends. It returns once it listens and holds every image.
// Images added to the catalogue later are served from then on; digests that
// were served once stay.
func Serve(ctx context.Context, addr string, cat *Catalogue) (*Registry, error) {
	r := &Registry{
		cat:    cat,
		inner:  registry.New(registry.Logger(log.New(io.Discard, "", 0))),
		done:   make(chan struct{}),
		pushed: map[string]string{},
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("image registry: %w", err)
	}
	r.Addr = listener.Addr().String()
	if err := r.sync(); err != nil {
		_ = listener.Close()
		return nil, err
	}
	cat.mu.Lock()
	cat.registry = r.Addr
	cat.mu.Unlock()
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		defer close(r.done)
		defer stop()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			r.err = fmt.Errorf("image registry on %s: %w", r.Addr, err)
		}
	}()
	return r, nil
}

// Wait blocks until the registry has ended; nil when its context did it.
func (r *Registry) Wait() error {
	<-r.done
	return r.err
}

// ServeHTTP answers the read-only part of the OCI distribution API.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		http.Error(w, "this registry serves an image catalogue: add images there", http.StatusMethodNotAllowed)
		return
	}
	if err := r.sync(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	r.inner.ServeHTTP(w, req)
}

// sync pushes what the catalogue has and the registry has not.
func (r *Registry) sync() error {
	images, err := r.cat.Images()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, im := range images {
		if im.PullError || r.pushed[im.Reference] == im.Digest {
			continue
		}
		if err := r.push(im); err != nil {
			return err
		}
		r.pushed[im.Reference] = im.Digest
	}
	return nil
}

func (r *Registry) push(im Image) error {
	ref, err := parseTagged(im.Reference)
	if err != nil {
		return err
	}
	manifest, err := im.Manifest()
	if err != nil {
		return err
	}
	for _, path := range ref.served() {
		tag, err := name.NewTag(r.Addr+"/"+path+":"+ref.tag, name.Insecure)
		if err != nil {
			return fmt.Errorf("push image %s: %w", im.Reference, err)
		}
		if err := remote.Write(tag, manifest, remote.WithTransport(direct{r.inner})); err != nil {
			return fmt.Errorf("push image %s: %w", im.Reference, err)
		}
	}
	return nil
}

// direct hands requests to a handler without a connection.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	server := req.Clone(req.Context())
	server.RequestURI = req.URL.RequestURI()
	if server.Body == nil {
		server.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	d.handler.ServeHTTP(rec, server)
	resp := rec.Result()
	resp.Request = req
	return resp, nil
}

package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/watchtower-verify/watchtower/lab/images"
	"github.com/watchtower-verify/watchtower/lab/node"
)

// nodeName is the name of a lab's only Node.
const nodeName = "lab-node"

// registry serves the image catalogue. It comes after the forge, whose commits
// and URL are in the labels of the sample service's images.
func (l *Lab) registry() *component {
	c := l.inside(Registry, func(ctx context.Context) (func() error, error) {
		if l.catalogue == nil {
			cat, err := l.openCatalogue()
			if err != nil {
				return nil, err
			}
			l.catalogue = cat
		}
		l.ports.release(Registry)
		r, err := serveImages(ctx, l.ports.addr(Registry), l.catalogue)
		if err != nil {
			return nil, err
		}
		return r.Wait, nil
	})
	c.after = []string{Gitea}
	c.ready = func(context.Context) error { return nil } // it listens once it has begun
	return c
}

// serveImages starts the registry. A port that was let go a moment ago may
// still be held by a child that is being started: that passes.
func serveImages(ctx context.Context, addr string, catalogue *images.Catalogue) (r *images.Registry, err error) {
	for range 20 {
		if r, err = images.Serve(ctx, addr, catalogue); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return r, err
}

// openCatalogue puts the sample service's images into the lab's own catalogue;
// a file that was named, and is there, is taken as it is.
func (l *Lab) openCatalogue() (*images.Catalogue, error) {
	cat, err := images.Open(l.opt.Catalogue)
	if err != nil || !l.fills {
		return cat, err
	}
	info := l.Info()
	source := ""
	revisions := map[string]string{}
	if info.ForgeURL != "" {
		source = info.ForgeURL + "/" + info.ForgeRepo
		for tag, c := range info.ForgeCommits {
			revisions[tag] = c.SHA
		}
	}
	if _, err := cat.Add(images.Builtin(l.opt.Webapp, source, revisions)...); err != nil {
		return nil, err
	}
	return cat, nil
}

func (l *Lab) node() *component {
	c := l.inside(Node, func(ctx context.Context) (func() error, error) {
		out, err := os.OpenFile(l.logFile(Node), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, fmt.Errorf("start the node: %w", err)
		}
		cfg := node.Config{
			RESTConfig: l.rest, NodeName: nodeName, Images: l.catalogue,
			StateDir: l.state.path("node"), PodRange: l.podRange,
			Log: slog.New(slog.NewTextHandler(out, nil)),
		}
		ended := make(chan error, 1)
		go func() {
			defer out.Close()
			err := node.Run(ctx, cfg)
			if err != nil {
				_, _ = fmt.Fprintln(out, err)
			}
			ended <- err
		}()
		return func() error { return <-ended }, nil
	})
	c.after = []string{APIServer, Registry}
	c.ready = func(ctx context.Context) error { return nodeReady(ctx, l.client) }
	return c
}

// OpenCatalogue opens the image catalogue of a state folder, whether or not a
// lab runs on it, and makes an empty one when there is none.
func OpenCatalogue(stateDir string) (*images.Catalogue, error) {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	return images.Open(filepath.Join(stateDir, catalogueName))
}

package images

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"go.uber.org/goleak"
)

func serve(t *testing.T, cat *Catalogue) *Registry {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reg, err := Serve(ctx, "127.0.0.1:0", cat)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := reg.Wait(); err != nil {
			t.Error(err)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		remote.DefaultTransport.(*http.Transport).CloseIdleConnections()
		goleak.VerifyNone(t)
	})
	return reg
}

func labels(t *testing.T, reference string) (map[string]string, error) {
	t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	im, err := remote.Image(ref)
	if err != nil {
		return nil, err
	}
	file, err := im.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return file.Config.Labels, nil
}

func TestRegistryResolvesADigestToItsLabels(t *testing.T) {
	cat := newCatalogue(t, image("mycompany/webapp:v1"), image("tool:1"), image("ghcr.io/acme/app:1"))
	reg := serve(t, cat)
	for _, reference := range []string{"mycompany/webapp:v1", "tool:1", "ghcr.io/acme/app:1"} {
		resolved, err := cat.Resolve(reg.Addr + "/" + reference)
		if err != nil {
			t.Fatal(err)
		}
		for _, by := range []string{resolved.ID, resolved.Name} {
			got, err := labels(t, by)
			if err != nil {
				t.Fatal(err)
			}
			if got[LabelRevision] != "c0ffee" {
				t.Errorf("%s has labels %v", by, got)
			}
		}
	}
}

func TestRegistryServesImagesAddedLater(t *testing.T) {
	cat := newCatalogue(t)
	reg := serve(t, cat)
	if _, err := labels(t, reg.Addr+"/app:1"); err == nil {
		t.Fatal("the image is there before it was added")
	}
	other, err := Load(cat.Path())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Add(image("app:1")); err != nil {
		t.Fatal(err)
	}
	if _, err := labels(t, reg.Addr+"/app:1"); err != nil {
		t.Fatal(err)
	}
}

func TestRegistryKeepsADigestWhenItsTagMovesOn(t *testing.T) {
	cat := newCatalogue(t, image("app:1"))
	reg := serve(t, cat)
	before, err := cat.Resolve(reg.Addr + "/app:1")
	if err != nil {
		t.Fatal(err)
	}
	moved := image("app:1")
	moved.Labels = map[string]string{LabelRevision: "beef"}
	if _, err := cat.Add(moved); err != nil {
		t.Fatal(err)
	}
	for by, want := range map[string]string{before.ID: "c0ffee", before.Name: "beef"} {
		got, err := labels(t, by)
		if err != nil {
			t.Fatal(err)
		}
		if got[LabelRevision] != want {
			t.Errorf("%s has labels %v, want revision %s", by, got, want)
		}
	}
}

func TestRegistryRefusesAPush(t *testing.T) {
	reg := serve(t, newCatalogue(t))
	resp, err := http.Post("http://"+reg.Addr+"/v2/app/blobs/uploads/", "", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Fatalf("got %s", resp.Status)
	}
}

func TestRegistryHasNoImageThatCannotBePulled(t *testing.T) {
	im := image("app:1")
	im.PullError = true
	reg := serve(t, newCatalogue(t, im))
	if _, err := labels(t, reg.Addr+"/app:1"); err == nil {
		t.Fatal("it was pulled")
	}
}

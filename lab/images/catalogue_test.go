package images

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func newCatalogue(t testing.TB, images ...Image) *Catalogue {
	t.Helper()
	cat, err := Open(filepath.Join(t.TempDir(), "images.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cat.Add(images...); err != nil {
		t.Fatal(err)
	}
	return cat
}

func image(reference string) Image {
	return Image{Reference: reference, Command: []string{"/bin/true"}, Labels: map[string]string{LabelRevision: "c0ffee"}}
}

func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"what is no JSON":          {`{`, "unexpected EOF"},
		"an unknown field":         {`{"images": [{"reference": "a:1", "command": ["x"], "comand": []}]}`, `images[0] ("a:1"): json: unknown field "comand"`},
		"an unknown key at top":    {`{"image": []}`, `unknown field "image"`},
		"no command":               {`{"images": [{"reference": "a:1"}]}`, `images[0] ("a:1"): command is empty`},
		"a bad reference":          {`{"images": [{"reference": "A B", "command": ["x"]}]}`, `images[0] ("A B")`},
		"a reference by digest":    {`{"images": [{"reference": "a@sha256:` + strings.Repeat("0", 64) + `", "command": ["x"]}]}`, "wants a tag"},
		"a digest that is not its": {`{"images": [{"reference": "a:1", "command": ["x"], "digest": "sha256:0"}]}`, "is not that of its command"},
		"the same reference twice": {`{"images": [{"reference": "a:1", "command": ["x"]}, {"reference": "docker.io/library/a:1", "command": ["y"]}]}`, `images[1] ("docker.io/library/a:1"): the reference is there twice`},
		"something after the end":  {`{"images": []} {}`, "after the end"},
		"a bad name of a variable": {`{"images": [{"reference": "a:1", "command": ["x"], "env": {"A=B": "1"}}]}`, "no name of a variable"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "images.json")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v, want an error with %q and the path", err, c.want)
			}
		})
	}
	t.Run("a file that is not there", func(t *testing.T) {
		if _, err := Load(filepath.Join(t.TempDir(), "none.json")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestResolve(t *testing.T) {
	deleted := image("gone:1")
	deleted.PullError = true
	cat := newCatalogue(t, image("mycompany/webapp:v1"), image("tool"), image("ghcr.io/acme/app:2"), deleted)
	cat.registry = "127.0.0.1:5000"
	all, err := cat.Images()
	if err != nil {
		t.Fatal(err)
	}
	digest := all[0].Digest
	for name, c := range map[string]struct {
		reference, full, id string
		err                 error
	}{
		"a name on the hub":                {"mycompany/webapp:v1", "docker.io/mycompany/webapp:v1", "docker.io/mycompany/webapp@" + digest, nil},
		"the hub's host written out":       {"docker.io/mycompany/webapp:v1", "docker.io/mycompany/webapp:v1", "docker.io/mycompany/webapp@" + digest, nil},
		"the hub's other host":             {"index.docker.io/mycompany/webapp:v1", "docker.io/mycompany/webapp:v1", "docker.io/mycompany/webapp@" + digest, nil},
		"the lab's own registry":           {"127.0.0.1:5000/mycompany/webapp:v1", "127.0.0.1:5000/mycompany/webapp:v1", "127.0.0.1:5000/mycompany/webapp@" + digest, nil},
		"a digest":                         {"mycompany/webapp@" + digest, "docker.io/mycompany/webapp@" + digest, "docker.io/mycompany/webapp@" + digest, nil},
		"no tag, which is latest":          {"tool", "docker.io/library/tool:latest", "docker.io/library/tool@" + digest, nil},
		"a hub image in the lab":           {"127.0.0.1:5000/tool", "127.0.0.1:5000/tool:latest", "127.0.0.1:5000/tool@" + digest, nil},
		"another registry":                 {"ghcr.io/acme/app:2", "ghcr.io/acme/app:2", "ghcr.io/acme/app@" + digest, nil},
		"another registry through the lab": {"127.0.0.1:5000/ghcr.io/acme/app:2", "127.0.0.1:5000/ghcr.io/acme/app:2", "127.0.0.1:5000/ghcr.io/acme/app@" + digest, nil},
		"a registry of another lab":        {"127.0.0.1:5001/mycompany/webapp:v1", "", "", ErrNotFound},
		"a tag that is not there":          {"mycompany/webapp:v9", "", "", ErrNotFound},
		"a digest that is not there":       {"mycompany/webapp@sha256:" + strings.Repeat("0", 64), "", "", ErrNotFound},
		"the same path at another host":    {"quay.io/mycompany/webapp:v1", "", "", ErrNotFound},
		"no image name":                    {"My Company", "", "", ErrInvalidName},
		"an image that cannot be pulled":   {"gone:1", "", "", ErrPull},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cat.Resolve(c.reference)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if got.Name != c.full || got.ID != c.id {
				t.Fatalf("got %q, %q, want %q, %q", got.Name, got.ID, c.full, c.id)
			}
		})
	}
}

func TestDigestFollowsFromTheContent(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) Image {
		words := rapid.MapOf(rapid.StringMatching(`[A-Z]{1,4}`), rapid.StringMatching(`[a-z]{0,4}`))
		return Image{
			Reference: "a:1",
			Command:   rapid.SliceOfN(rapid.StringMatching(`[a-z/]{1,6}`), 1, 3).Draw(t, "command"),
			Env:       words.Draw(t, "env"),
			Labels:    words.Draw(t, "labels"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		one := gen.Draw(t, "image")
		same, other := one.clone(), one.clone()
		same.Reference = "b:2"
		other.Labels = map[string]string{"changed": fmt.Sprint(one.Labels)}
		for _, im := range []*Image{&one, &same, &other} {
			if err := im.complete(); err != nil {
				t.Fatal(err)
			}
		}
		if one.Digest != same.Digest {
			t.Fatalf("the same content has digests %s and %s", one.Digest, same.Digest)
		}
		if one.Digest == other.Digest {
			t.Fatalf("other labels, the same digest %s", one.Digest)
		}
	})
}

func TestAddByTwoProcessesLosesNothing(t *testing.T) {
	cat := newCatalogue(t)
	var wg sync.WaitGroup
	for p := range 4 {
		other, err := Load(cat.Path()) // as another process has it
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := range 10 {
				if _, err := other.Add(image(fmt.Sprintf("app%d:%d", p, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all, err := cat.Images()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 40 {
		t.Fatalf("%d images of 40 are there", len(all))
	}
}

func TestAddReplacesTheSameReference(t *testing.T) {
	cat := newCatalogue(t, image("a:1"), image("b:1"))
	next := image("docker.io/library/a:1")
	next.Command = []string{"/bin/false"}
	if _, err := cat.Add(next); err != nil {
		t.Fatal(err)
	}
	all, err := cat.Images()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Command[0] != "/bin/false" {
		t.Fatalf("got %+v", all)
	}
}

func TestAddOfABadImageChangesNothing(t *testing.T) {
	cat := newCatalogue(t, image("a:1"))
	before, _ := os.ReadFile(cat.Path())
	if _, err := cat.Add(image("b:1"), Image{Reference: "c:1"}); err == nil || !strings.Contains(err.Error(), `"c:1"`) {
		t.Fatalf("got %v", err)
	}
	after, _ := os.ReadFile(cat.Path())
	if string(before) != string(after) {
		t.Fatalf("the file changed to %s", after)
	}
}

func TestRemove(t *testing.T) {
	cat := newCatalogue(t, image("a:1"), image("b:1"))
	if err := cat.Remove("a:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := cat.Resolve("a:1"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	if err := cat.Remove("a:1"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}

func TestBuiltinImagesAreDifferentAndWhole(t *testing.T) {
	built := Builtin("/opt/webapp", "http://127.0.0.1:3000/shop/webapp", map[string]string{"v1": "1111"})
	cat := newCatalogue(t, built...)
	seen := map[string]string{}
	all, err := cat.Images()
	if err != nil {
		t.Fatal(err)
	}
	for _, im := range all {
		if other, ok := seen[im.Digest]; ok {
			t.Errorf("%s and %s have the same digest", other, im.Reference)
		}
		seen[im.Digest] = im.Reference
		if im.Labels[LabelSource] == "" {
			t.Errorf("%s has no source", im.Reference)
		}
	}
	v1, err := cat.Resolve("mycompany/webapp:v1")
	if err != nil {
		t.Fatal(err)
	}
	if v1.Image.Labels[LabelRevision] != "1111" {
		t.Errorf("v1 has labels %v", v1.Image.Labels)
	}
	if _, err := cat.Resolve("mycompany/webapp:unpullable"); !errors.Is(err, ErrPull) {
		t.Errorf("unpullable: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"images": [{"reference": "a:1", "command": ["x"], "env": {"A": "B"}}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		images, err := decode(content)
		if err != nil {
			return
		}
		for _, im := range images {
			if im.Digest == "" || len(im.Command) == 0 || indexOf(images, im.Reference) < 0 {
				t.Fatalf("accepted %+v", im)
			}
		}
	})
}

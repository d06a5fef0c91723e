package parts

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/modfile"
)

const helloMod = "module example.org/hello\n\ngo 1.26.0\n"

// hello is a part that needs nothing but Go: it prints word.
func hello(word string) (Part, fs.FS) {
	return Part{Name: "hello", Module: "hello", Path: "example.org/hello", Package: "example.org/hello", Version: "v1.0.0", ColdSecs: 2, Assets: []string{"words"}},
		fstest.MapFS{
			"hello/part.mod":      {Data: []byte(helloMod)},
			"hello/part.sum":      {Data: nil},
			"hello/main.go":       {Data: []byte("package main\n\nfunc main() { print(\"" + word + "\") }\n")},
			"hello/words/one.txt": {Data: []byte("one")},
		}
}

func build(t *testing.T, b *Builder, p ...Part) map[string]Built {
	t.Helper()
	built, err := b.Build(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func TestBuildMakesOnlyWhatIsMissing(t *testing.T) {
	part, src := hello("first")
	var out bytes.Buffer
	b := &Builder{Cache: t.TempDir(), Out: &out, src: src}

	first := build(t, b, part)["hello"]
	said, err := exec.Command(first.Binary).CombinedOutput()
	if err != nil || string(said) != "first" {
		t.Fatalf("the built part said %q (%v), want first", said, err)
	}
	if !strings.Contains(out.String(), "hello v1.0.0 built in") {
		t.Errorf("progress does not tell of the built part:\n%s", out.String())
	}
	if word, err := os.ReadFile(filepath.Join(first.Assets, "words", "one.txt")); err != nil || string(word) != "one" {
		t.Errorf("asset reads %q (%v), want one", word, err)
	}

	before, err := os.Stat(first.Binary)
	if err != nil {
		t.Fatal(err)
	}
	out.Reset()
	second := build(t, b, part)["hello"]
	after, err := os.Stat(second.Binary)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) || out.Len() > 0 {
		t.Errorf("a part in the cache was built again, saying %q", out.String())
	}

	_, b.src = hello("second")
	third := build(t, b, part)["hello"]
	if third.Binary == first.Binary {
		t.Error("another content of the part's module took the binary of the old one")
	}
	if _, err := os.Stat(first.Binary); err != nil {
		t.Errorf("the old binary is gone: %v", err)
	}
}

func TestFlagsOfAPartMakeAnotherBinary(t *testing.T) {
	part, src := hello("x")
	files, err := part.files(src)
	if err != nil {
		t.Fatal(err)
	}
	plain := hash(part, files)
	for name, change := range map[string]func(*Part){
		"tags":    func(p *Part) { p.Tags = "a" },
		"ldflags": func(p *Part) { p.LDFlags = "-X a.b=c" },
		"package": func(p *Part) { p.Package += "/cmd" },
		"assets":  func(p *Part) { p.Assets = nil },
	} {
		changed := part
		change(&changed)
		if hash(changed, files) == plain {
			t.Errorf("other %s give the same hash", name)
		}
	}
}

func TestAFailedBuildShowsTheCompilersWordsAndLeavesNothing(t *testing.T) {
	part, _ := hello("")
	src := fstest.MapFS{
		"hello/part.mod":      {Data: []byte(helloMod)},
		"hello/main.go":       {Data: []byte("package main\n\nfunc main() { undefinedThing() }\n")},
		"hello/words/one.txt": {Data: nil},
	}
	b := &Builder{Cache: t.TempDir(), Out: &bytes.Buffer{}, src: src}
	_, err := b.Build(t.Context(), []Part{part})
	if err == nil || !strings.Contains(err.Error(), "undefined: undefinedThing") || !strings.Contains(err.Error(), "build part hello") {
		t.Fatalf("error = %v, want the part and what the compiler said", err)
	}
	left, _ := filepath.Glob(filepath.Join(b.Cache, "*hello-*"))
	if hidden, _ := filepath.Glob(filepath.Join(b.Cache, ".building-*")); len(left)+len(hidden) > 0 {
		t.Errorf("a failed build left %v %v", left, hidden)
	}
}

func TestAGoThatIsTooOldIsNamed(t *testing.T) {
	t.Setenv("GOTOOLCHAIN", "local")
	part, _ := hello("")
	src := fstest.MapFS{"hello/part.mod": {Data: []byte("module example.org/hello\n\ngo 1.999.0\n")}}
	_, err := (&Builder{Cache: t.TempDir(), Out: &bytes.Buffer{}, src: src}).Build(t.Context(), []Part{part})
	if err == nil || !strings.Contains(err.Error(), "1.999.0") {
		t.Fatalf("error = %v, want one that says which Go is needed", err)
	}
}

func TestWithoutGoTheErrorSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	part, src := hello("")
	_, err := (&Builder{Cache: t.TempDir(), Out: &bytes.Buffer{}, src: src}).Build(t.Context(), []Part{part})
	if !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "install Go") {
		t.Fatalf("error = %v, want one that says to install Go", err)
	}
}

func TestTwoBuildsAtOnceWaitForOneAnother(t *testing.T) {
	part, src := hello("once")
	cache := t.TempDir()
	var outs [2]bytes.Buffer
	var group sync.WaitGroup
	for i := range outs {
		group.Go(func() {
			if _, err := (&Builder{Cache: cache, Out: &outs[i], src: src}).Build(t.Context(), []Part{part}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := strings.Count(outs[0].String()+outs[1].String(), "built in"); n != 1 {
		t.Errorf("two builds compiled the part %d times, want once:\n%s\n%s", n, &outs[0], &outs[1])
	}
}

func TestAWaitForAnotherBuildEndsWithItsContext(t *testing.T) {
	cache := t.TempDir()
	unlock, err := lockFile(t.Context(), filepath.Join(cache, "build.lock"), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	part, src := hello("")
	waiting := writerFunc(func(p []byte) { cancel() })
	_, err = (&Builder{Cache: cache, Out: waiting, src: src}).Build(ctx, []Part{part})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error = %v, want the cancelled context's", err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestSelectKeepsBuildOrderAndRefusesUnknownNames(t *testing.T) {
	selected, err := Select("gitea", "etcd", "kube-apiserver", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range selected {
		names = append(names, p.Name)
	}
	if got := strings.Join(names, " "); got != "etcd kube-apiserver gitea" {
		t.Errorf("selected %q, want each once in build order", got)
	}
	_, err = Select("etdc")
	if err == nil || !strings.Contains(err.Error(), `"etdc"`) || !strings.Contains(err.Error(), "kube-controller-manager") {
		t.Errorf("error = %v, want the unknown name and the known ones", err)
	}
}

func TestVersionsAreThoseOfThePinnedModules(t *testing.T) {
	for _, p := range All() {
		files, err := p.files(modules)
		if err != nil {
			t.Fatal(err)
		}
		if len(files["go.sum"]) == 0 {
			t.Errorf("%s: no go.sum", p.Name)
		}
		mod, err := modfile.Parse("go.mod", files["go.mod"], nil)
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		pinned := ""
		for _, r := range mod.Require {
			if r.Mod.Path == p.Path {
				pinned = r.Mod.Version
			}
		}
		if pinned != p.Version {
			t.Errorf("%s says %s, its requirements say %q", p.Name, p.Version, pinned)
		}
		if p.ColdSecs <= 0 || !strings.HasPrefix(p.Package, p.Path) {
			t.Errorf("%s: incomplete: %+v", p.Name, p)
		}
	}
}

func TestEstimateFollowsTheMachine(t *testing.T) {
	part := func(secs int) Part { return Part{ColdSecs: secs} }
	var fresh Estimate
	start := fresh.Remaining(part(100), 0, []Part{part(200)})

	slow := fresh
	slow.Done(part(300), time.Duration(fresh.Scale()*3*300*float64(time.Second)))
	if got := slow.Remaining(part(100), 0, []Part{part(200)}); got < 2*start || got > 3*start {
		t.Errorf("after a part that took three times its figure %s are left, want two to three times %s", got, start)
	}
	cached := fresh
	cached.Done(part(300), time.Second)
	if got := cached.Remaining(part(100), 0, []Part{part(200)}); got > start/3 {
		t.Errorf("after a part out of the build cache %s are left, want at most a third of %s", got, start)
	}
	if got := fresh.Remaining(part(100), time.Hour, nil); got <= 0 {
		t.Errorf("a part that overran its figure has %s left, want more than nothing", got)
	}
	if earlier, later := fresh.Remaining(part(100), time.Second, nil), fresh.Remaining(part(100), 10*time.Second, nil); later >= earlier {
		t.Errorf("the estimate does not sink while a part runs: %s then %s", earlier, later)
	}
}

func TestCompilerLogCountsPackagesAndKeepsWhatWentWrong(t *testing.T) {
	log := &compilerLog{progress: &progress{}}
	for _, chunk := range []string{"go: downloading example.org/x v1", ".0.0\nexample.org/x\nexample.org/x/y\n# example.org/z\nz.go:3:1: undefined: a\n", "last words"} {
		if _, err := log.Write([]byte(chunk)); err != nil {
			t.Fatal(err)
		}
	}
	if log.progress.compiled != 2 || log.progress.fetching != "example.org/x v1.0.0" {
		t.Errorf("compiled %d, fetching %q; want 2 and example.org/x v1.0.0", log.progress.compiled, log.progress.fetching)
	}
	if want := "# example.org/z\nz.go:3:1: undefined: a\nlast words"; log.tail() != want {
		t.Errorf("tail = %q, want %q", log.tail(), want)
	}
}

func TestCacheIsNamedByTheEnvironment(t *testing.T) {
	t.Setenv("WATCHTOWER_LAB_CACHE", "/somewhere/parts")
	if dir, err := DefaultCache(); err != nil || dir != "/somewhere/parts" {
		t.Errorf("cache = %q (%v)", dir, err)
	}
	t.Setenv("WATCHTOWER_LAB_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", "/home/x/.cache")
	if dir, err := DefaultCache(); err != nil || dir != "/home/x/.cache/watchtower-lab" {
		t.Errorf("cache = %q (%v)", dir, err)
	}
}

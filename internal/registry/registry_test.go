package registry

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newResolver(t *testing.T, cfg Config) *Resolver {
	t.Helper()
	if cfg.Keychain == nil {
		cfg.Keychain = anonymous{}
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

const commit = "0123456789abcdef0123456789abcdef01234567"

func TestResolve(t *testing.T) {
	long := "https://git.example.com/" + strings.Repeat("a", 600)
	for title, c := range map[string]struct {
		labels           map[string]string
		revision, source string
	}{
		"commit and source of an allowed host are taken": {
			map[string]string{labelRevision: commit, labelSource: "https://git.example.com/shop/webapp"}, commit, "https://git.example.com/shop/webapp",
		},
		"no labels give nothing":                         {nil, "", ""},
		"a source of another host is dropped":            {map[string]string{labelRevision: commit, labelSource: "https://evil.example.org/shop/webapp"}, commit, ""},
		"a host that only ends like an allowed one":      {map[string]string{labelSource: "https://xgit.example.com/a/b"}, "", ""},
		"a host that only begins like an allowed one":    {map[string]string{labelSource: "https://git.example.com.evil.org/a/b"}, "", ""},
		"another port is another host":                   {map[string]string{labelSource: "https://git.example.com:8443/a/b"}, "", ""},
		"the scheme's own port is the same host":         {map[string]string{labelSource: "https://git.example.com:443/a/b"}, "", "https://git.example.com:443/a/b"},
		"a host with a port that is allowed":             {map[string]string{labelSource: "http://127.0.0.1:3000/a/b.git"}, "", "http://127.0.0.1:3000/a/b.git"},
		"capitals in the host do not matter":             {map[string]string{labelSource: "https://Git.Example.com/a/b"}, "", "https://git.example.com/a/b"},
		"script for a source is dropped":                 {map[string]string{labelSource: "javascript:alert(1)//git.example.com"}, "", ""},
		"a git URL for a source is dropped":              {map[string]string{labelSource: "git://git.example.com/a/b"}, "", ""},
		"credentials in the source drop it":              {map[string]string{labelSource: "https://me:pw@git.example.com/a/b"}, "", ""},
		"the allowed host as a user name is no host":     {map[string]string{labelSource: "https://git.example.com@evil.org/a/b"}, "", ""},
		"query and fragment of the source are cut off":   {map[string]string{labelSource: "https://git.example.com/a/b?x=1#main"}, "", "https://git.example.com/a/b"},
		"dots in the path are resolved":                  {map[string]string{labelSource: "https://git.example.com/a/b/../../c/d"}, "", "https://git.example.com/c/d"},
		"a source that is too long is dropped":           {map[string]string{labelSource: long}, "", ""},
		"control characters in the source drop it":       {map[string]string{labelSource: "https://git.example.com/a\x1b[31m/b"}, "", ""},
		"white space in the source drops it":             {map[string]string{labelSource: "https://git.example.com/a b"}, "", ""},
		"text that runs backwards in the source":         {map[string]string{labelSource: "https://git.example.com/a\u202eb/c"}, "", ""},
		"a huge revision is dropped":                     {map[string]string{labelRevision: strings.Repeat("a", 1<<20)}, "", ""},
		"control characters in the revision drop it":     {map[string]string{labelRevision: "abc\ndef"}, "", ""},
		"Markdown in the revision is dropped":            {map[string]string{labelRevision: "[x](https://evil.org)"}, "", ""},
		"a revision that climbs out of a URL is dropped": {map[string]string{labelRevision: "a/../../b"}, "", ""},
		"a tag as revision is taken":                     {map[string]string{labelRevision: "v1.2.3-rc.1+build"}, "v1.2.3-rc.1+build", ""},
	} {
		t.Run(title, func(t *testing.T) {
			s := newShelf(t)
			r := newResolver(t, Config{Hosts: []string{"git.example.com", "127.0.0.1:3000"}})
			in := s.image("shop/webapp", s.push("shop/webapp", c.labels))
			got, err := r.Resolve(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			want := in
			want.Revision, want.Source = c.revision, c.source
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestIndexIsReadThroughItsFirstRealImage(t *testing.T) {
	s := newShelf(t)
	r := newResolver(t, Config{Hosts: []string{"git.example.com"}})
	digest := s.pushIndex("shop/multi", map[string]string{labelRevision: commit}, map[string]string{labelSource: "https://git.example.com/a/b"})
	got, err := r.Resolve(t.Context(), s.image("shop/multi", digest))
	if err != nil {
		t.Fatal(err)
	}
	if got.Revision != commit {
		t.Errorf("revision %q is not that of the image's labels", got.Revision)
	}
	if got.Source != "https://git.example.com/a/b" {
		t.Errorf("source %q is not that of the index's annotation", got.Source)
	}
}

func TestWhatWasFoundIsNotAskedForAgain(t *testing.T) {
	s := newShelf(t)
	r := newResolver(t, Config{})
	im := s.image("shop/webapp", s.push("shop/webapp", map[string]string{labelRevision: commit}))
	if _, err := r.Resolve(t.Context(), im); err != nil {
		t.Fatal(err)
	}
	before := s.requests.Load()
	im.Reference = s.host + "/elsewhere/copy:v9" // the digest says it all
	got, err := r.Resolve(t.Context(), im)
	if err != nil || got.Revision != commit {
		t.Errorf("got %+v, %v", got, err)
	}
	if n := s.requests.Load() - before; n != 0 {
		t.Errorf("%d requests for a digest that is known", n)
	}
}

func TestManyAskersShareOneLookUp(t *testing.T) {
	s := newShelf(t)
	r := newResolver(t, Config{})
	im := s.image("shop/webapp", s.push("shop/webapp", map[string]string{labelRevision: commit}))
	before := s.requests.Load()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got, err := r.Resolve(t.Context(), im); err != nil || got.Revision != commit {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := s.requests.Load() - before; n > 3 { // ping, manifest, configuration
		t.Errorf("%d requests for one image", n)
	}
}

func TestFaultsAreTypedAndRememberedForAWhile(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	afterPing := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				h(w, r)
			}
		}
	}
	for title, c := range map[string]struct {
		handler http.HandlerFunc
		code    release.Code
	}{
		"not there":                   {afterPing(status(404)), release.CodeNotFound},
		"wants credentials":           {status(401), release.CodeRefused},
		"forbids":                     {afterPing(status(403)), release.CodeRefused},
		"too many requests":           {afterPing(status(429)), release.CodeRateLimited},
		"broken":                      {afterPing(status(500)), release.CodeUnavailable},
		"bad gateway":                 {status(502), release.CodeUnavailable},
		"odd request":                 {afterPing(status(400)), release.CodeInvalid},
		"a page of HTML":              {afterPing(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }), release.CodeUnavailable},
		"a body without end":          {afterPing(flood), release.CodeInvalid},
		"a connection that is cut":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, release.CodeUnavailable},
		"an answer that never begins": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, release.CodeUnavailable},
	} {
		t.Run(title, func(t *testing.T) {
			s := newShelf(t)
			s.failWith(c.handler)
			r := newResolver(t, Config{Timeout: time.Second})
			im := s.image("shop/webapp", "sha256:"+strings.Repeat("a", 64))
			got, err := r.Resolve(t.Context(), im)
			if code := release.ErrorCode(err); code != c.code {
				t.Errorf("code %q of %v, want %q", code, err, c.code)
			}
			if got != im {
				t.Errorf("the image changed: %+v", got)
			}
			before := s.requests.Load()
			if _, again := r.Resolve(t.Context(), im); release.ErrorCode(again) != c.code {
				t.Errorf("second time: %v", again)
			}
			if n := s.requests.Load() - before; n != 0 {
				t.Errorf("asked again at once, %d requests", n)
			}
		})
	}
}

func flood(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	chunk := []byte(strings.Repeat(" ", 1<<20))
	for range 64 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func TestAManifestThatIsNotItsDigestIsNotBelieved(t *testing.T) {
	s := newShelf(t)
	s.push("shop/webapp", map[string]string{labelRevision: commit})
	s.failWith(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		_, _ = io.WriteString(w, `{"schemaVersion":2,"annotations":{"org.opencontainers.image.revision":"forged"}}`)
	})
	r := newResolver(t, Config{})
	got, err := r.Resolve(t.Context(), s.image("shop/webapp", "sha256:"+strings.Repeat("b", 64)))
	if err == nil || got.Revision != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAHugeConfigurationIsNotRead(t *testing.T) {
	s := newShelf(t)
	r := newResolver(t, Config{})
	im := s.image("shop/webapp", s.push("shop/webapp", map[string]string{labelRevision: commit, "x": strings.Repeat("y", maxConfigBytes)}))
	if _, err := r.Resolve(t.Context(), im); release.ErrorCode(err) != release.CodeInvalid {
		t.Errorf("got %v", err)
	}
}

func TestBadImagesAreRefusedWithoutARequest(t *testing.T) {
	s := newShelf(t)
	r := newResolver(t, Config{})
	for title, im := range map[string]release.Image{
		"no digest yet":    s.image("shop/webapp", ""),
		"no digest at all": s.image("shop/webapp", "latest"),
		"a short digest":   s.image("shop/webapp", "sha256:abc"),
		"no reference":     {Digest: "sha256:" + strings.Repeat("a", 64)},
		"a wild reference": {Reference: "UPPER/../x y", Digest: "sha256:" + strings.Repeat("a", 64)},
	} {
		t.Run(title, func(t *testing.T) {
			if _, err := r.Resolve(t.Context(), im); release.ErrorCode(err) != release.CodeInvalid {
				t.Errorf("got %v", err)
			}
		})
	}
	if n := s.requests.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestAMirrorStandsInForARegistry(t *testing.T) {
	s := newShelf(t)
	digest := s.push("mycompany/webapp", map[string]string{labelRevision: commit})
	library := s.push("library/nginx", map[string]string{labelRevision: "nginx-1"})
	r := newResolver(t, Config{Mirrors: map[string]string{"docker.io": s.host}})
	for reference, want := range map[string]release.Image{
		"mycompany/webapp:1.0.1":             {Digest: digest, Revision: commit},
		"docker.io/mycompany/webapp":         {Digest: digest, Revision: commit},
		"index.docker.io/mycompany/webapp:x": {Digest: digest, Revision: commit},
		"mycompany/webapp@" + digest:         {Digest: digest, Revision: commit},
		"nginx":                              {Digest: library, Revision: "nginx-1"},
		"mycompany/webapp:1@" + digest:       {Digest: digest, Revision: commit},
	} {
		got, err := r.Resolve(t.Context(), release.Image{Reference: reference, Digest: want.Digest})
		if err != nil || got.Revision != want.Revision {
			t.Errorf("%s: got %+v, %v", reference, got, err)
		}
	}
}

func TestHostsThatAreNoneAreRefused(t *testing.T) {
	for _, cfg := range []Config{
		{PlainHTTP: []string{"http://r:5000"}}, {PlainHTTP: []string{""}}, {Mirrors: map[string]string{"docker.io": "r:5000/path"}}, {Mirrors: map[string]string{"https://docker.io": "r:5000"}},
	} {
		if _, err := New(cfg); release.ErrorCode(err) != release.CodeInvalid {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	r := newResolver(t, Config{PlainHTTP: []string{"registry.lan", "10.1.2.3:5000", "[::1]:5000"}, Mirrors: map[string]string{"docker.io": "127.0.0.1:5000"}})
	if len(r.plain) != 3 || r.mirrors["docker.io"] == "" {
		t.Errorf("%+v", r)
	}
}

func TestPlainHTTPIsForNamedHostsOnly(t *testing.T) {
	var asked atomic.Int64
	next := roundTripper(func(*http.Request) (*http.Response, error) {
		asked.Add(1)
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	g := &guard{next: next, plain: map[string]bool{"registry.lan:5000": true}}
	for target, allowed := range map[string]bool{
		"http://10.1.2.3:5000/v2/":     false,
		"http://registry.lan/v2/":      false,
		"http://registry.lan:5000/v2/": true,
		"http://127.0.0.1:5000/v2/":    true,
		"http://[::1]:5000/v2/":        true,
		"https://example.com/v2/":      true,
	} {
		before := asked.Load()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := g.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != allowed || (asked.Load() > before) != allowed {
			t.Errorf("%s: err %v, want allowed=%v", target, err, allowed)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestACancelledAskerLeavesTheLookUpToTheOthers(t *testing.T) {
	s := newShelf(t)
	digest := s.push("shop/webapp", map[string]string{labelRevision: commit})
	arrived, go_ := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.failWith(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(arrived) })
		<-go_
		s.fail.Store(nil)
		http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
	})
	r := newResolver(t, Config{})
	im := s.image("shop/webapp", digest)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := r.Resolve(ctx, im)
		first <- err
	}()
	<-arrived
	cancel()
	if err := <-first; release.ErrorCode(err) != release.CodeUnavailable {
		t.Errorf("cancelled asker got %v", err)
	}
	close(go_)
	got, err := r.Resolve(t.Context(), im)
	if err != nil || got.Revision != commit {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCredentialsOfTheDockerConfigurationAreUsed(t *testing.T) {
	s := newShelf(t)
	digest := s.push("shop/webapp", map[string]string{labelRevision: commit})
	var seen atomic.Value
	s.failWith(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user+":"+password != "me:pw-7f3a" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		seen.Store(user)
		w.WriteHeader(http.StatusNotFound)
	})
	folder := t.TempDir()
	text := `{"auths":{"` + s.host + `":{"username":"me","password":"pw-7f3a"}}}`
	if err := os.WriteFile(filepath.Join(folder, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", folder)
	r, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = r.Resolve(t.Context(), s.image("shop/webapp", digest))
	if seen.Load() != "me" {
		t.Errorf("the credentials were not sent: %v", err)
	}
	if err == nil || strings.Contains(err.Error(), "pw-7f3a") {
		t.Errorf("got %v", err)
	}
}

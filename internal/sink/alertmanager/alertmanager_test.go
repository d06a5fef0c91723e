package alertmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/outbound/outboundtest"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "am-token-7f3a"

// server is an Alertmanager that refuses what the real one refuses and keeps
// what it was given.
type server struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	status int // 0: accept
	header http.Header
	body   string
	token  string
	posts  int
	alerts map[string]postable
}

type postable struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
}

func newInstance(t *testing.T) *server {
	in := &server{t: t, alerts: map[string]postable{}}
	srv := httptest.NewServer(in)
	t.Cleanup(srv.Close)
	in.url = srv.URL
	return in
}

func (in *server) fail(status int, body string, header ...string) *server {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.status, in.body, in.header = status, body, http.Header{}
	for i := 0; i < len(header); i += 2 {
		in.header.Set(header[i], header[i+1])
	}
	return in
}

func (in *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.posts++
	if in.status != 0 {
		for k, v := range in.header {
			w.Header()[k] = v
		}
		w.WriteHeader(in.status)
		_, _ = io.WriteString(w, in.body)
		return
	}
	if in.token != "" && r.Header.Get("Authorization") != "Bearer "+in.token {
		http.Error(w, "wrong token", http.StatusUnauthorized)
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/api/v2/alerts" || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "no such operation", http.StatusNotFound)
		return
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	var list []postable
	if err := dec.Decode(&list); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, a := range list {
		if len(a.Labels) == 0 || (!a.EndsAt.IsZero() && a.EndsAt.Before(a.StartsAt)) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `"start time must be before end time"`)
			return
		}
		in.alerts[fmt.Sprint(a.Labels)] = a
	}
}

func (in *server) count() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.posts
}

func newSink(t *testing.T, cfg Config) *Sink {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

var (
	started = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.FixedZone("x", 3600))
	firing  = release.Alert{
		Labels:       map[string]string{"alertname": "WatchtowerRegression", "namespace": "shop", "workload": "web\"app\n"},
		Annotations:  map[string]string{"summary": "5 % of requests fail <!channel>"},
		StartsAt:     started,
		EndsAt:       started.Add(5 * time.Minute),
		GeneratorURL: "http://127.0.0.1:9477/releases/abc",
	}
)

func TestPostReachesEveryInstance(t *testing.T) {
	a, b := newInstance(t), newInstance(t)
	s := newSink(t, Config{URLs: []string{a.url, b.url + "/"}})
	bare := release.Alert{Labels: map[string]string{"alertname": "x"}}
	if err := s.Post(t.Context(), []release.Alert{firing, bare}); err != nil {
		t.Fatal(err)
	}
	want := map[string]postable{
		fmt.Sprint(firing.Labels): {firing.Labels, firing.Annotations, started.UTC(), started.Add(5 * time.Minute).UTC(), firing.GeneratorURL},
		fmt.Sprint(bare.Labels):   {Labels: bare.Labels},
	}
	for i, in := range []*server{a, b} {
		if diff := cmp.Diff(want, in.alerts); diff != "" {
			t.Errorf("instance %d: %s", i, diff)
		}
	}
}

func TestNothingToPostIsNoRequest(t *testing.T) {
	in := newInstance(t)
	if err := newSink(t, Config{URLs: []string{in.url}}).Post(t.Context(), nil); err != nil || in.count() != 0 {
		t.Errorf("%v, %d requests", err, in.count())
	}
}

func TestEachStatusHasItsCode(t *testing.T) {
	for status, want := range map[int]release.Code{
		200: "", 202: "",
		301: release.CodeInvalid, 400: release.CodeInvalid, 401: release.CodeInvalid, 403: release.CodeInvalid, 404: release.CodeInvalid,
		405: release.CodeInvalid, 413: release.CodeInvalid, 415: release.CodeInvalid, 422: release.CodeInvalid,
		408: release.CodeUnavailable, 429: release.CodeRateLimited,
		500: release.CodeUnavailable, 502: release.CodeUnavailable, 503: release.CodeUnavailable, 504: release.CodeUnavailable,
	} {
		in := newInstance(t).fail(status, "", "Retry-After", "30")
		err := newSink(t, Config{URLs: []string{in.url}}).Post(t.Context(), []release.Alert{firing})
		if got := release.ErrorCode(err); got != want {
			t.Errorf("status %d: code %q of %v, want %q", status, got, err, want)
		}
		if want == release.CodeRateLimited && release.RetryAfter(err) != 30*time.Second {
			t.Errorf("status %d: retry after %s", status, release.RetryAfter(err))
		}
	}
}

func TestAPageOfHTMLIsNoSuccess(t *testing.T) {
	in := newInstance(t).fail(200, "<!doctype html><title>log in</title>", "Content-Type", "text/html")
	err := newSink(t, Config{URLs: []string{in.url}}).Post(t.Context(), []release.Alert{firing})
	if release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), "HTML") {
		t.Errorf("got %v", err)
	}
}

func TestOneInstanceThatAcceptsIsEnough(t *testing.T) {
	good, bad := newInstance(t), newInstance(t).fail(500, "")
	var lines bytes.Buffer
	s := newSink(t, Config{URLs: []string{bad.url, good.url}, Log: slog.New(slog.NewTextHandler(&lines, nil))})
	for range 3 {
		if err := s.Post(t.Context(), []release.Alert{firing}); err != nil {
			t.Fatal(err)
		}
	}
	if len(good.alerts) != 1 || bad.count() != 3 {
		t.Errorf("%d alerts, %d tries of the broken one", len(good.alerts), bad.count())
	}
	if n := strings.Count(lines.String(), "does not accept alerts"); n != 1 {
		t.Errorf("the broken instance is told of %d times:\n%s", n, &lines)
	}
	bad.fail(0, "")
	if err := s.Post(t.Context(), []release.Alert{firing}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(lines.String(), "accepts alerts again") {
		t.Errorf("its return is not told:\n%s", &lines)
	}
}

func TestWhenNoneAcceptsTheMostHopefulFaultCounts(t *testing.T) {
	refuses := func(t *testing.T) string { return newInstance(t).fail(400, `"bad labels"`).url }
	limits := func(seconds string) func(t *testing.T) string {
		return func(t *testing.T) string { return newInstance(t).fail(429, "", "Retry-After", seconds).url }
	}
	breaks := func(t *testing.T) string { return newInstance(t).fail(503, "").url }
	away := func(t *testing.T) string {
		srv := httptest.NewServer(http.NotFoundHandler())
		srv.Close()
		return srv.URL
	}
	for title, c := range map[string]struct {
		instances []func(t *testing.T) string
		code      release.Code
		after     time.Duration
	}{
		"all refuse":                   {[]func(t *testing.T) string{refuses, refuses}, release.CodeInvalid, 0},
		"one refuses and one is away":  {[]func(t *testing.T) string{refuses, away}, release.CodeUnavailable, 0},
		"one is away and one refuses":  {[]func(t *testing.T) string{away, refuses}, release.CodeUnavailable, 0},
		"one refuses and one limits":   {[]func(t *testing.T) string{refuses, limits("9")}, release.CodeRateLimited, 9 * time.Second},
		"two limit: the shorter wait":  {[]func(t *testing.T) string{limits("9"), limits("4")}, release.CodeRateLimited, 4 * time.Second},
		"two limit, the other way":     {[]func(t *testing.T) string{limits("4"), limits("9")}, release.CodeRateLimited, 4 * time.Second},
		"one limits and one is broken": {[]func(t *testing.T) string{limits("9"), breaks}, release.CodeUnavailable, 0},
	} {
		t.Run(title, func(t *testing.T) {
			var urls []string
			for _, f := range c.instances {
				urls = append(urls, f(t))
			}
			err := newSink(t, Config{URLs: urls}).Post(t.Context(), []release.Alert{firing})
			if release.ErrorCode(err) != c.code || release.RetryAfter(err) != c.after {
				t.Errorf("got %s after %s: %v", release.ErrorCode(err), release.RetryAfter(err), err)
			}
		})
	}
}

func TestTheTokenIsSentAndNeverTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	in := newInstance(t)
	in.token = token
	s := newSink(t, Config{URLs: []string{in.url}, BearerTokenFile: file})
	if err := s.Post(t.Context(), []release.Alert{firing}); err != nil {
		t.Fatal(err)
	}
	in.fail(403, `{"message":"token `+token+` is revoked"}`)
	err := s.Post(t.Context(), []release.Alert{firing})
	if err == nil || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "is revoked") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(file, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	in.fail(0, "")
	if err := s.Post(t.Context(), []release.Alert{firing}); release.ErrorCode(err) != release.CodeInvalid {
		t.Errorf("a wrong token: %v", err)
	}
}

func TestASlowInstanceIsGivenUpAfterTheTimeOut(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(srv.Close)
	good := newInstance(t)
	s := newSink(t, Config{URLs: []string{srv.URL, good.url}, Timeout: 100 * time.Millisecond})
	if err := s.Post(t.Context(), []release.Alert{firing}); err != nil || len(good.alerts) != 1 {
		t.Errorf("the other one did not get it: %v", err)
	}
	s = newSink(t, Config{URLs: []string{srv.URL}, Timeout: 100 * time.Millisecond})
	if err := s.Post(t.Context(), []release.Alert{firing}); release.ErrorCode(err) != release.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Post(ctx, []release.Alert{firing}); release.ErrorCode(err) != release.CodeUnavailable {
		t.Errorf("cancelled: %v", err)
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	for _, urls := range [][]string{nil, {""}, {"a:9093"}, {"http://a:9093", "ftp://b"}, {"http://me:" + token + "@a:9093"}} {
		if _, err := New(Config{URLs: urls}); release.ErrorCode(err) != release.CodeInvalid || strings.Contains(err.Error(), token) {
			t.Errorf("%v: %v", urls, err)
		}
	}
}

func TestAnErrorNamesTheInstanceItIsOf(t *testing.T) {
	a, b := newInstance(t).fail(400, `"bad labels"`), newInstance(t).fail(503, "")
	err := newSink(t, Config{URLs: []string{a.url, b.url}}).Post(t.Context(), []release.Alert{firing})
	for _, want := range []string{
		"post alerts at Alertmanager " + strings.TrimPrefix(a.url, "http://") + ": status 400 Bad Request: bad labels",
		"post alerts at Alertmanager " + strings.TrimPrefix(b.url, "http://") + ": status 503",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestCertificatesAndProxies(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	defer srv.Close()
	ca := sinktest.File(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	for name, test := range map[string]struct {
		cfg  Config
		want string // of the error; "": it is posted
	}{
		"an authority that is not known names the setting": {Config{}, "ca_file"},
		"one that is named is trusted":                     {Config{CAFile: ca}, ""},
		"a proxy that is away names the setting":           {Config{CAFile: ca, ProxyURL: "http://" + sinktest.Nowhere(t)}, "proxy_url"},
		"through a proxy":                                  {Config{CAFile: ca, ProxyURL: "http://" + outboundtest.HTTP(t, srv.Listener.Addr().String()).Address()}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.cfg.URLs = []string{srv.URL}
			s, err := New(test.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			now := time.Now()
			err = s.Post(t.Context(), []release.Alert{{Labels: map[string]string{"alertname": "x"}, StartsAt: now, EndsAt: now.Add(time.Minute)}})
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

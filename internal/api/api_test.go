package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is an API over releases in memory, with its log.
type site struct {
	http.Handler
	releases *apitest.Memory
	signals  *apitest.Reports
	log      *bytes.Buffer
}

func newSite(t *testing.T, change ...func(*api.Deps)) site {
	t.Helper()
	s := site{releases: apitest.Sample(), signals: apitest.SampleReports(), log: &bytes.Buffer{}}
	d := api.Deps{
		Releases: s.releases,
		Signals:  s.signals,
		Registry: prometheus.NewRegistry(),
		Pages: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "page "+r.URL.Path)
		}),
		Version: "v1.2.3",
		Log:     slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&d)
	}
	s.Handler = api.New(d)
	return s
}

func (s site) do(t *testing.T, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("answer %d is no %T: %v", w.Code, v, err)
	}
	return v
}

func ids(l wire.List) []string {
	out := []string{}
	for _, r := range l.Releases {
		out = append(out, string(r.Release.ID))
	}
	return out
}

func TestListReleases(t *testing.T) {
	tests := map[string]struct {
		query string
		want  []string
	}{
		"without a filter all are listed, newest first": {"", []string{"4be1a0c93f27", "c07de5518a44", "1f2ab8c7740d", "77aa10be6cd3", "90c3d2e1b6a5", "e5d4c3b2a190"}},
		"by namespace":                                   {"?namespace=payments", []string{"77aa10be6cd3"}},
		"by workload, in all namespaces":                 {"?workload=webapp", []string{"4be1a0c93f27", "90c3d2e1b6a5"}},
		"by verdict":                                     {"?verdict=regressed", []string{"4be1a0c93f27", "1f2ab8c7740d"}},
		"those still being watched":                      {"?live=true", []string{"c07de5518a44", "77aa10be6cd3"}},
		"those no longer being watched":                  {"?live=false&namespace=shop", []string{"4be1a0c93f27", "1f2ab8c7740d", "90c3d2e1b6a5"}},
		"those seen before a moment":                     {"?before=2026-03-01T12:00:00Z", []string{"90c3d2e1b6a5", "e5d4c3b2a190"}},
		"the first few":                                  {"?limit=2", []string{"4be1a0c93f27", "c07de5518a44"}},
		"a filter that nothing matches gives empty list": {"?namespace=nowhere", []string{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newSite(t).do(t, "GET", "/api/v1/releases"+tt.query)
			if w.Code != http.StatusOK {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if diff := cmp.Diff(tt.want, ids(decode[wire.List](t, w))); diff != "" {
				t.Errorf("releases (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListHoldsNoNullLists(t *testing.T) {
	for _, target := range []string{"/api/v1/releases?namespace=nowhere", "/api/v1/releases?namespace=payments", "/api/v1/releases/77aa10be6cd3"} {
		body := newSite(t).do(t, "GET", target).Body.String()
		for _, field := range []string{"releases", "evidence", "actions", "audit"} {
			if strings.Contains(body, `"`+field+`":null`) {
				t.Errorf("GET %s answers %s: null: %s", target, field, body)
			}
		}
	}
}

func TestPagesOfTheListFollowTheCursor(t *testing.T) {
	s := newSite(t)
	var got []string
	target := "/api/v1/releases?limit=2"
	for range 4 {
		l := decode[wire.List](t, s.do(t, "GET", target))
		got = append(got, ids(l)...)
		if l.NextBefore == nil {
			break
		}
		target = "/api/v1/releases?limit=2&before=" + l.NextBefore.Format(time.RFC3339Nano)
	}
	want := ids(decode[wire.List](t, s.do(t, "GET", "/api/v1/releases")))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages together (-want +got):\n%s", diff)
	}
}

func TestDetailHoldsEverythingKnownOfARelease(t *testing.T) {
	w := newSite(t).do(t, "GET", "/api/v1/releases/4be1a0c93f27")
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	want := apitest.Regressed()
	got := decode[wire.Detail](t, w)
	if diff := cmp.Diff(wire.Detail{
		Release: want.Release, Verdict: want.Verdict, Policy: want.Policy, Live: false,
		Actions: want.Actions, Audit: want.Audit,
	}, got); diff != "" {
		t.Errorf("detail (-want +got):\n%s", diff)
	}
	if len(got.Verdict.Evidence[0].Curve) == 0 || len(got.Verdict.Evidence[0].Queries) == 0 {
		t.Error("the evidence came without its curve or queries")
	}
}

type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Errors []struct {
		Message, Location string
		Value             any
	} `json:"errors"`
}

func TestErrorsAreProblemsThatSayWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		method, target string
		status         int
		says           string
	}{
		"an unknown release":                 {"GET", "/api/v1/releases/000000000000", 404, "release 000000000000 is not known"},
		"an ID that can be none":             {"GET", "/api/v1/releases/..%2e%3Cscript%3E", 422, "path.id"},
		"an unknown verdict":                 {"GET", "/api/v1/releases?verdict=bad", 422, "query.verdict"},
		"a limit of none":                    {"GET", "/api/v1/releases?limit=0", 422, "query.limit"},
		"a limit above the largest":          {"GET", "/api/v1/releases?limit=501", 422, "query.limit"},
		"a limit that is no number":          {"GET", "/api/v1/releases?limit=ten", 422, "query.limit"},
		"a cursor that is no time":           {"GET", "/api/v1/releases?before=yesterday", 422, "query.before"},
		"an observation that is no boolean":  {"GET", "/api/v1/releases?live=yes", 422, "query.live"},
		"a parameter there is not":           {"GET", "/api/v1/releases?name=webapp", 422, "name"},
		"an operation there is not":          {"GET", "/api/v1/rollbacks", 404, "openapi.json"},
		"a method the address does not know": {"DELETE", "/api/v1/releases/4be1a0c93f27", 405, "DELETE"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newSite(t).do(t, tt.method, tt.target)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d", w.Code, tt.status)
			}
			if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("Content-Type %q", ct)
			}
			body := w.Body.String()
			p := decode[problem](t, w)
			if p.Status != tt.status || p.Title == "" || !strings.Contains(body, tt.says) {
				t.Errorf("problem %s does not speak of %q", body, tt.says)
			}
		})
	}
}

func TestAnInnerErrorIsLoggedAndNotShown(t *testing.T) {
	for _, target := range []string{"/api/v1/releases", "/api/v1/releases/4be1a0c93f27"} {
		s := newSite(t)
		s.releases.Err = errors.New("open /var/lib/watchtower.db: password=hunter2")
		w := s.do(t, "GET", target, "X-Request-Id", "abc-123")
		body := w.Body.String()
		if w.Code != http.StatusInternalServerError || strings.Contains(body, "hunter2") || !strings.Contains(body, "abc-123") {
			t.Errorf("GET %s: %d %s", target, w.Code, body)
		}
		if log := s.log.String(); !strings.Contains(log, "hunter2") || !strings.Contains(log, "request=abc-123") {
			t.Errorf("GET %s: log has not the reason: %s", target, log)
		}
	}
}

func TestAnErrorWithACodeIsAnsweredByItsWords(t *testing.T) {
	s := newSite(t)
	s.releases.Err = release.E(release.CodeUnavailable, "the database is being moved", errors.New("secret inner"))
	w := s.do(t, "GET", "/api/v1/releases")
	if p := decode[problem](t, w); p.Status != http.StatusServiceUnavailable || p.Detail != "the database is being moved" {
		t.Errorf("problem %+v", p)
	}
}

func TestMetricsCountByRouteTemplate(t *testing.T) {
	s := newSite(t)
	s.do(t, "GET", "/api/v1/releases/4be1a0c93f27")
	s.do(t, "GET", "/api/v1/releases/90c3d2e1b6a5")
	s.do(t, "GET", "/wp-login.php")
	s.do(t, "BREW", "/api/v1/releases")
	got := s.do(t, "GET", "/metrics").Body.String()
	for _, want := range []string{
		`watchtower_http_requests_total{code="200",method="GET",route="/api/v1/releases/:id"} 2`,
		`watchtower_http_requests_total{code="404",method="GET",route="unmatched"} 1`,
		`watchtower_http_requests_total{code="405",method="other",route="unmatched"} 1`,
		`watchtower_http_request_duration_seconds_count{method="GET",route="/api/v1/releases/:id"} 2`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(got, "4be1a0c93f27") || strings.Contains(got, "wp-login") || strings.Contains(got, "BREW") {
		t.Error("a caller can add series")
	}
}

func TestEveryAnswerIsFencedIn(t *testing.T) {
	s := newSite(t)
	for _, target := range []string{"/", "/releases/x", "/assets/style.css", "/api/v1/releases", "/api/v1/none", "/healthz", "/metrics", "/nowhere"} {
		h := s.do(t, "GET", target).Header()
		policy := h.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") {
			t.Errorf("GET %s: Content-Security-Policy %q", target, policy)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"} {
			if got := h.Get(name); got != want {
				t.Errorf("GET %s: %s is %q, want %q", target, name, got, want)
			}
		}
	}
}

func TestARequestIDIsKeptOnlyWhenItIsSound(t *testing.T) {
	s := newSite(t)
	if got := s.do(t, "GET", "/healthz", "X-Request-Id", "ci-42.a_b").Header().Get("X-Request-Id"); got != "ci-42.a_b" {
		t.Errorf("a sound ID became %q", got)
	}
	for _, forged := range []string{"", "a b", "x\" level=ERROR", strings.Repeat("a", 65)} {
		got := s.do(t, "GET", "/healthz", "X-Request-Id", forged).Header().Get("X-Request-Id")
		if got == forged || len(got) != 16 {
			t.Errorf("ID %q became %q, want a new one", forged, got)
		}
	}
}

func TestAPanicIsAnsweredLoggedAndCounted(t *testing.T) {
	s := newSite(t, func(d *api.Deps) {
		d.Pages = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("hunter2 fell over") })
	})
	w := s.do(t, "GET", "/")
	if w.Code != 500 || strings.Contains(w.Body.String(), "hunter2") {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	if log := s.log.String(); !strings.Contains(log, "hunter2 fell over") || !strings.Contains(log, "api_test.go") {
		t.Errorf("log lacks the panic or its stack: %s", log)
	}
	if m := s.do(t, "GET", "/metrics").Body.String(); !strings.Contains(m, `watchtower_http_requests_total{code="500",method="GET",route="/"} 1`) {
		t.Error("the panic is not counted")
	}
}

func TestPagesAreServedBesideTheAPI(t *testing.T) {
	s := newSite(t)
	for _, target := range []string{"/", "/releases/4be1a0c93f27", "/assets/style.css", "/elsewhere"} {
		if got := s.do(t, "GET", target).Body.String(); got != "page "+target {
			t.Errorf("GET %s: %q", target, got)
		}
	}
}

func TestTheDescriptionIsOpenAPI31OfAllOperations(t *testing.T) {
	w := newSite(t).do(t, "GET", "/api/v1/openapi.json")
	var d struct {
		OpenAPI string `json:"openapi"`
		Info    struct{ Title, Version string }
		Paths   map[string]map[string]struct {
			OperationID string                    `json:"operationId"`
			Parameters  []struct{ Name string }   `json:"parameters"`
			Responses   map[string]map[string]any `json:"responses"`
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1") || d.Info.Title != "Watchtower" || d.Info.Version != "v1.2.3" {
		t.Errorf("description of %s %s in OpenAPI %s", d.Info.Title, d.Info.Version, d.OpenAPI)
	}
	list := d.Paths["/api/v1/releases"]["get"]
	var names []string
	for _, p := range list.Parameters {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"before", "limit", "live", "namespace", "verdict", "workload"}, names); diff != "" {
		t.Errorf("parameters of the list (-want +got):\n%s", diff)
	}
	if d.Paths["/api/v1/releases/{id}"]["get"].OperationID != "get-release" {
		t.Error("the operation that shows one release is not described")
	}
	if d.Paths["/api/v1/workloads/{namespace}/{name}/signals"]["get"].OperationID != "get-signals" {
		t.Error("the operation that shows a workload's signals is not described")
	}
	for _, target := range []string{"/docs", "/schemas/List.json"} {
		if got := newSite(t).do(t, "GET", target).Body.String(); got != "page "+target {
			t.Errorf("GET %s is served by the API: %q", target, got)
		}
	}
}

func TestALargeBodyIsRefused(t *testing.T) {
	var readErr error
	s := newSite(t, func(d *api.Deps) {
		d.Pages = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, readErr = io.Copy(io.Discard, r.Body) })
	})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", strings.NewReader(strings.Repeat("x", 2<<20)))
	s.ServeHTTP(httptest.NewRecorder(), r)
	var tooLarge *http.MaxBytesError
	if !errors.As(readErr, &tooLarge) {
		t.Errorf("reading two megabytes gave %v", readErr)
	}
}

package client_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/client"
	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}))
}

// connect returns a client of a server with this handler.
func connect(t *testing.T, h http.Handler) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	c, err := client.New(s.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func watchtower(m *apitest.Memory) http.Handler {
	return api.New(api.Deps{
		Releases: m, Registry: prometheus.NewRegistry(), Pages: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler),
	})
}

func TestReleasesPassesEveryFilterOn(t *testing.T) {
	yes, no := true, false
	tests := map[string]struct {
		f    client.Filter
		want []release.ID
	}{
		"none":        {client.Filter{}, []release.ID{"4be1a0c93f27", "c07de5518a44", "1f2ab8c7740d", "77aa10be6cd3", "90c3d2e1b6a5", "e5d4c3b2a190"}},
		"namespace":   {client.Filter{Namespace: "batch"}, []release.ID{"e5d4c3b2a190"}},
		"workload":    {client.Filter{Workload: "webapp"}, []release.ID{"4be1a0c93f27", "90c3d2e1b6a5"}},
		"verdict":     {client.Filter{Verdict: release.SourceBroken}, []release.ID{"77aa10be6cd3"}},
		"live":        {client.Filter{Live: &yes}, []release.ID{"c07de5518a44", "77aa10be6cd3"}},
		"not live":    {client.Filter{Live: &no, Workload: "cart"}, []release.ID{"1f2ab8c7740d"}},
		"limit":       {client.Filter{Limit: 1}, []release.ID{"4be1a0c93f27"}},
		"seen before": {client.Filter{Before: apitest.Start.Add(-27 * time.Hour)}, []release.ID{"e5d4c3b2a190"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, err := connect(t, watchtower(apitest.Sample())).Releases(t.Context(), tt.f)
			if err != nil {
				t.Fatal(err)
			}
			var got []release.ID
			for _, r := range l.Releases {
				got = append(got, r.Release.ID)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("releases (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReleaseGivesAllThatIsKnown(t *testing.T) {
	want := apitest.Regressed()
	got, err := connect(t, watchtower(apitest.Sample())).Release(t.Context(), want.Release.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Verdict, got.Verdict); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
	if len(got.Actions) != len(want.Actions) || len(got.Audit) != len(want.Audit) || got.Policy.Name != "default" {
		t.Errorf("%d actions, %d audit rows, policy %q", len(got.Actions), len(got.Audit), got.Policy.Name)
	}
}

func TestFind(t *testing.T) {
	m := apitest.Sample()
	twin := apitest.Regressed()
	twin.Release.ID = "4bffffffffff"
	twin.Release.SeenAt = twin.Release.SeenAt.Add(-30 * 24 * time.Hour)
	m.Entries = append(m.Entries, twin)
	tests := map[string]struct {
		name string
		want release.ID
		code release.Code
		says string
	}{
		"by its ID":          {name: "90c3d2e1b6a5", want: "90c3d2e1b6a5"},
		"by the start of it": {name: "90", want: "90c3d2e1b6a5"},
		"by a longer start where a short one is not enough": {name: "4be", want: "4be1a0c93f27"},
		"by its workload, whose newest it is":               {name: "shop/webapp", want: "4be1a0c93f27"},
		"a start that two share":                            {name: "4b", code: release.CodeInvalid, says: "4be1a0c93f27 (shop/webapp), 4bffffffffff (shop/webapp): give more of the ID"},
		"a start that none has":                             {name: "abc", code: release.CodeNotFound, says: "watchtower releases"},
		"an ID that none has":                               {name: "000000000000", code: release.CodeNotFound, says: "000000000000"},
		"a workload without releases":                       {name: "shop/none", code: release.CodeNotFound, says: "no release of shop/none"},
		"a workload of another namespace":                   {name: "batch/webapp", code: release.CodeNotFound, says: "no release of batch/webapp"},
		"no namespace":                                      {name: "/webapp", code: release.CodeInvalid, says: "namespace/workload"},
		"too many parts":                                    {name: "a/b/c", code: release.CodeInvalid, says: "namespace/workload"},
		"nothing":                                           {name: "", code: release.CodeInvalid, says: "namespace/workload"},
		"what can be no ID":                                 {name: "WEBAPP", code: release.CodeInvalid, says: "namespace/workload"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, err := connect(t, watchtower(m)).Find(t.Context(), tt.name)
			if d.Release.ID != tt.want || release.ErrorCode(err) != tt.code {
				t.Fatalf("found %q, error %v; want %q, code %q", d.Release.ID, err, tt.want, tt.code)
			}
			if err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q does not say %q", err, tt.says)
			}
		})
	}
}

func TestFindLooksBeyondTheFirstPage(t *testing.T) {
	m := &apitest.Memory{}
	for i := range 700 {
		e := apitest.Regressed()
		e.Release.ID = release.NewID("c", "w", strings.Repeat("x", i))
		e.Release.SeenAt = e.Release.SeenAt.Add(-time.Duration(i) * time.Second)
		m.Entries = append(m.Entries, e)
	}
	oldest := m.Entries[len(m.Entries)-1].Release.ID
	d, err := connect(t, watchtower(m)).Find(t.Context(), string(oldest[:10]))
	if err != nil || d.Release.ID != oldest {
		t.Errorf("found %q, %v; want %q", d.Release.ID, err, oldest)
	}
}

func answer(status int, kind, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func TestAnswersThatAreNoneAreErrorsThatSayWhatToDo(t *testing.T) {
	tests := map[string]struct {
		h    http.Handler
		code release.Code
		says string
	}{
		"a page of something else":      {answer(200, "text/html", "<h1>hello</h1>"), release.CodeUnavailable, "is `watchtower serve` running there? Set --server or WATCHTOWER_SERVER"},
		"an error of a proxy before it": {answer(502, "text/plain", "bad gateway"), release.CodeUnavailable, "502 Bad Gateway"},
		"an answer that broke off":      {answer(200, "application/json", `{"releases":[`), release.CodeUnavailable, "watchtower version"},
		"a problem without words":       {answer(500, "application/problem+json", `{}`), release.CodeInternal, "answered 500 Internal Server Error"},
		"a problem that is no JSON":     {answer(503, "application/problem+json", `oops`), release.CodeUnavailable, "answered 503"},
		"a problem with words":          {answer(404, "application/problem+json", `{"detail":"release x is not known"}`), release.CodeNotFound, "release x is not known"},
		"a problem with a place": {
			answer(422, "application/problem+json", `{"detail":"validation failed","errors":[{"message":"expected number","location":"query.limit"}]}`),
			release.CodeInvalid, "validation failed; limit: expected number",
		},
		"too many requests": {answer(429, "application/problem+json", `{"detail":"slow down"}`), release.CodeRateLimited, "slow down"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := connect(t, tt.h).Releases(t.Context(), client.Filter{})
			if release.ErrorCode(err) != tt.code || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want code %s and %q", err, tt.code, tt.says)
			}
		})
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	c, err := client.New(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Releases(t.Context(), client.Filter{})
	if release.ErrorCode(err) != release.CodeUnavailable {
		t.Errorf("error %v, want code unavailable", err)
	}
	for _, want := range []string{"cannot reach " + s.URL, "connection refused", "WATCHTOWER_SERVER"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

func TestTheCallerCanStopWaiting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	c := connect(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	go func() {
		<-asked
		cancel()
	}()
	if _, err := c.Releases(ctx, client.Filter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestAnAddressThatIsNoneIsRefused(t *testing.T) {
	for _, server := range []string{"", "localhost:9477", "ftp://x", "http://", "http://x?a=b", "http://x#y", "://", "http://[::1"} {
		if _, err := client.New(server); release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), "http://host:port") {
			t.Errorf("New(%q): %v", server, err)
		}
	}
}

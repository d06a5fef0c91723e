package gitea

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var marker = release.Marker("abc123abc123")

func TestAnIssueIsFoundByItsMarker(t *testing.T) {
	for title, c := range map[string]struct {
		newer, older int // issues around the one with the marker
		state        string
		perPage      int
		want         bool
	}{
		"the only one":                        {0, 0, "open", 50, true},
		"closed":                              {0, 0, "closed", 50, true},
		"on a later page":                     {120, 30, "open", 50, true},
		"with a server that gives few a page": {40, 0, "closed", 7, true},
		"older than all that are looked at":   {maxIssuePages * issuesPerPage, 0, "open", 50, false},
		"the oldest that is looked at":        {maxIssuePages*issuesPerPage - 1, 5, "open", 50, true},
	} {
		t.Run(title, func(t *testing.T) {
			s := newStandIn(t)
			s.perPage = c.perPage
			for i := range c.older {
				s.issues = append(s.issues, storedIssue{Body: fmt.Sprint("older ", i), State: "open", URL: "wrong"})
			}
			s.issues = append(s.issues, storedIssue{Body: "text\n" + marker + "\n", State: c.state, URL: "http://forge/right"})
			for i := range c.newer {
				s.issues = append(s.issues, storedIssue{Body: fmt.Sprint("newer ", i, release.Marker("ffffffffffff")), State: "open", URL: "wrong"})
			}
			url, found, err := s.client.FindIssue(t.Context(), "shop/webapp", marker)
			if err != nil || found != c.want || (found && url != "http://forge/right") {
				t.Errorf("got %q %v %v", url, found, err)
			}
			if len(s.requests) > maxIssuePages {
				t.Errorf("%d requests", len(s.requests))
			}
		})
	}
}

func TestOfTwoIssuesTheNewestIsFound(t *testing.T) {
	s := newStandIn(t)
	s.issues = []storedIssue{{Body: marker, State: "closed", URL: "old"}, {Body: marker, State: "open", URL: "new"}}
	if url, found, err := s.client.FindIssue(t.Context(), "", marker); url != "new" || !found || err != nil {
		t.Errorf("got %q %v %v", url, found, err)
	}
}

func TestNoIssueIsNoError(t *testing.T) {
	s := newStandIn(t)
	if url, found, err := s.client.FindIssue(t.Context(), "shop/webapp", marker); url != "" || found || err != nil {
		t.Errorf("got %q %v %v", url, found, err)
	}
	if _, _, err := s.client.FindIssue(t.Context(), "shop/webapp", " "); release.ErrorCode(err) != release.CodeInvalid {
		t.Errorf("an empty marker: %v", err)
	}
}

func TestAnIssueIsOpenedAndFoundAgain(t *testing.T) {
	s := newStandIn(t)
	in := release.Issue{Title: "shop/webapp 1.2.0\nregressed", Body: "It fails.\n" + marker, Labels: []string{"hotfix", "Regression", "regression"}}
	url, err := s.client.OpenIssue(t.Context(), "shop/webapp", in)
	if err != nil {
		t.Fatal(err)
	}
	want := []storedIssue{{"shop/webapp 1.2.0 regressed", in.Body, "open", url, []int64{10, 11, 11}}}
	if diff := cmp.Diff(want, s.issues); diff != "" {
		t.Error(diff)
	}
	if again, found, err := s.client.FindIssue(t.Context(), "shop/webapp", marker); again != url || !found || err != nil {
		t.Errorf("got %q %v %v", again, found, err)
	}
}

func TestLabelsThatAreThereAreUsed(t *testing.T) {
	s := newStandIn(t)
	s.perPage = 3
	for i := range 10 {
		s.labels = append(s.labels, label{ID: int64(100 + i), Name: fmt.Sprint("other-", i)})
	}
	s.labels = append(s.labels, label{ID: 7, Name: "HotFix"})
	if _, err := s.client.OpenIssue(t.Context(), "", release.Issue{Title: "t", Body: "b", Labels: []string{"hotfix"}}); err != nil {
		t.Fatal(err)
	}
	if len(s.labels) != 11 || !slices.Equal(s.issues[0].Labels, []int64{7}) {
		t.Errorf("labels %v, issue %+v", s.labels, s.issues[0])
	}
}

func TestALabelThatCannotBeMadeIsLeftOut(t *testing.T) {
	for _, status := range []int{403, 404, 405, 409, 422} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			s := newStandIn(t)
			s.labels = []label{{ID: 7, Name: "bug"}}
			s.fail = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/labels") && r.Method == method {
					s.refuse(w, status, "not with this token")
					return true
				}
				return false
			}
			if _, err := s.client.OpenIssue(t.Context(), "", release.Issue{Title: "t", Body: "b", Labels: []string{"hotfix", "bug"}}); err != nil {
				t.Errorf("%s labels %d: %v", method, status, err)
				continue
			}
			var want []int64
			if method == http.MethodPost {
				want = []int64{7}
			}
			if !slices.Equal(s.issues[0].Labels, want) {
				t.Errorf("%s labels %d: issue %+v", method, status, s.issues[0])
			}
		}
	}
}

func TestAForgeThatIsAwayOpensNoIssueWithoutLabels(t *testing.T) {
	s := newStandIn(t)
	s.fail = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/labels") {
			s.refuse(w, http.StatusServiceUnavailable, "later")
			return true
		}
		return false
	}
	_, err := s.client.OpenIssue(t.Context(), "", release.Issue{Title: "t", Body: "b", Labels: []string{"hotfix"}})
	if release.ErrorCode(err) != release.CodeUnavailable || len(s.issues) != 0 {
		t.Errorf("got %v and %d issues", err, len(s.issues))
	}
}

func TestATextThatIsTooLongIsCut(t *testing.T) {
	s := newStandIn(t)
	body := marker + "\n```\n" + strings.Repeat("Zeile für Zeile\n", 10000) + "```\nend"
	if _, err := s.client.OpenIssue(t.Context(), "", release.Issue{Title: strings.Repeat("ü", 400), Body: body}); err != nil {
		t.Fatal(err)
	}
	got := s.issues[0]
	if n := utf8.RuneCountInString(got.Title); n != 255 {
		t.Errorf("a title of %d characters", n)
	}
	if strings.Count(got.Body, marker) != 1 || !strings.Contains(got.Body, "Cut here") || strings.Count(got.Body, "```")%2 != 0 || len(got.Body) < maxBodyBytes-4000 {
		t.Errorf("%d bytes: …%s", len(got.Body), got.Body[len(got.Body)-300:])
	}
	if _, found, err := s.client.FindIssue(t.Context(), "", marker); !found || err != nil {
		t.Errorf("the issue is not found again: %v", err)
	}
}

func TestACutBodyFitsAndKeepsTheMarker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"```\n", "text ", "ü", "\n", "🚨", "\xff", "| a | b |\n"})
		body := strings.Join(rapid.SliceOfN(piece, 0, 300).Draw(t, "before"), "")
		with := rapid.Bool().Draw(t, "marker")
		if with {
			body += marker
		}
		body += strings.Join(rapid.SliceOfN(piece, 0, 300).Draw(t, "after"), "")
		limit := rapid.IntRange(300, 1500).Draw(t, "limit")
		got := cutBody(body, limit)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Fatalf("%d bytes of at most %d, valid %v", len(got), limit, utf8.ValidString(got))
		}
		if with && strings.Count(got, marker) != 1 {
			t.Fatalf("the marker is in it %d times", strings.Count(got, marker))
		}
		whole := strings.ToValidUTF8(body, "�")
		if len(whole) <= limit && got != whole {
			t.Fatal("a text that fits was changed")
		}
	})
}

func TestCommits(t *testing.T) {
	s := newStandIn(t)
	s.compare = `{"total_commits":2,"unknown":1,"commits":[
		{"sha":"bbbb","html_url":"http://f/bbbb","commit":{"message":"checkout: cut the\u001b[31m time-out\n\nlong text","author":{"name":"Ada\nX","email":"a@x"}},"author":null},
		{"sha":"aaaa","html_url":"http://f/aaaa","commit":{"message":"` + strings.Repeat("x", 500) + `","author":null}}]}`
	got, err := s.client.Commits(t.Context(), "shop/webapp", "v1.0", "feature/x")
	want := []release.Commit{
		{SHA: "bbbb", Title: "checkout: cut the [31m time-out", Author: "Ada X", URL: "http://f/bbbb"},
		{SHA: "aaaa", Title: strings.Repeat("x", 199) + "…", URL: "http://f/aaaa"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if r := s.requests[0]; !strings.HasPrefix(r, "GET /api/v1/repos/shop/webapp/compare/v1.0...feature%2Fx?") {
		t.Errorf("asked %s", r)
	}
}

func TestCommitsAreBounded(t *testing.T) {
	s := newStandIn(t)
	s.compare = `{"commits":[` + strings.TrimSuffix(strings.Repeat(`{"sha":"a"},`, 1000), ",") + `]}`
	if got, err := s.client.Commits(t.Context(), "", "a", "b"); err != nil || len(got) != maxCommits {
		t.Errorf("%d commits, %v", len(got), err)
	}
}

func TestRevisionsThatAreNoneAreNotAskedFor(t *testing.T) {
	s := newStandIn(t)
	for _, rev := range []string{"", "..", "a..b", "../../x", "-x", "a b", "a?b", "a\nb", strings.Repeat("a", 129)} {
		if _, err := s.client.Commits(t.Context(), "", rev, "main"); release.ErrorCode(err) != release.CodeInvalid {
			t.Errorf("from %q: %v", rev, err)
		}
		if _, err := s.client.Commits(t.Context(), "", "main", rev); release.ErrorCode(err) != release.CodeInvalid {
			t.Errorf("to %q: %v", rev, err)
		}
	}
	if len(s.requests) != 0 {
		t.Errorf("asked %v", s.requests)
	}
}

func TestRepositoryOfASource(t *testing.T) {
	for base, sources := range map[string]map[string]string{
		"https://git.example.com": {
			"https://git.example.com/shop/webapp": "shop/webapp", "https://git.example.com/shop/webapp.git": "shop/webapp",
			"https://git.example.com/shop/webapp/": "shop/webapp", "https://GIT.example.com:443/shop/webapp": "shop/webapp",
			"http://git.example.com/shop/webapp": "shop/webapp", "https://git.example.com/shop/webapp?x#y": "shop/webapp",
			"https://git.example.com:8443/shop/webapp": "", "https://other.example.com/shop/webapp": "", "https://git.example.com/shop": "",
			"https://git.example.com/shop/webapp/src/branch/main": "", "https://git.example.com/": "", "https://git.example.com/../x": "",
			"git@git.example.com:shop/webapp.git": "", "": "", "javascript:alert(1)": "", "https://git.example.com/a b/c": "", "https://git.example.com/shop/..": "",
		},
		"http://127.0.0.1:3000/forge/": {
			"http://127.0.0.1:3000/forge/shop/webapp": "shop/webapp", "http://127.0.0.1:3000/shop/webapp": "", "http://127.0.0.1/forge/shop/webapp": "",
		},
	} {
		c, err := New(Config{URL: base, TokenFile: "t"})
		if err != nil {
			t.Fatal(err)
		}
		for source, want := range sources {
			got, ok := c.Repository(source)
			if ok != (want != "") || (ok && got != want) {
				t.Errorf("%s at %s: got %q %v, want %q", source, base, got, ok, want)
			}
		}
	}
}

// calls are all ways to turn to the forge.
func calls(c *Client, repo string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"FindIssue": func(ctx context.Context) error { _, _, err := c.FindIssue(ctx, repo, marker); return err },
		"OpenIssue": func(ctx context.Context) error {
			_, err := c.OpenIssue(ctx, repo, release.Issue{Title: "t", Body: marker})
			return err
		},
		"Commits": func(ctx context.Context) error { _, err := c.Commits(ctx, repo, "a", "b"); return err },
	}
}

func TestEachStatusHasItsCode(t *testing.T) {
	for status, want := range map[int]release.Code{
		301: release.CodeInvalid, 400: release.CodeInvalid, 401: release.CodeInvalid, 403: release.CodeInvalid, 404: release.CodeNotFound, 405: release.CodeInvalid,
		408: release.CodeUnavailable, 409: release.CodeInvalid, 413: release.CodeInvalid, 422: release.CodeInvalid, 423: release.CodeInvalid,
		429: release.CodeRateLimited, 500: release.CodeUnavailable, 502: release.CodeUnavailable, 503: release.CodeUnavailable, 504: release.CodeUnavailable,
	} {
		s := newStandIn(t)
		s.fail = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "12")
			s.refuse(w, status, "because of "+r.Header.Get("Authorization"))
			return true
		}
		for name, call := range calls(s.client, "shop/webapp") {
			err := call(t.Context())
			if got := release.ErrorCode(err); got != want {
				t.Errorf("%s, status %d: code %q of %v, want %q", name, status, got, err, want)
				continue
			}
			if strings.Contains(err.Error(), token) {
				t.Errorf("%s, status %d: the token is in %v", name, status, err)
			}
			if want == release.CodeRateLimited && release.RetryAfter(err) != 12*time.Second {
				t.Errorf("%s: retry after %s", name, release.RetryAfter(err))
			}
			if !strings.Contains(err.Error(), "shop/webapp") {
				t.Errorf("%s: the repository is not named in %v", name, err)
			}
		}
	}
}

func TestAnswersThatAreNoneAreFaults(t *testing.T) {
	for title, answer := range map[string]string{"a page": "<!doctype html><form>", "nothing": "", "another shape": `"x"`, "half": `[{"body":`} {
		s := newStandIn(t)
		s.fail = func(w http.ResponseWriter, _ *http.Request) bool { _, _ = io.WriteString(w, answer); return true }
		for name, call := range calls(s.client, "") {
			if err := call(t.Context()); release.ErrorCode(err) != release.CodeUnavailable {
				t.Errorf("%s, %s: %v", name, title, err)
			}
		}
	}
}

func TestAForgeThatIsDownIsNoHindranceToTheStart(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	c, err := New(Config{URL: srv.URL, TokenFile: filepath.Join(t.TempDir(), "not there yet")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, call := range calls(c, "shop/webapp") {
		if err := call(t.Context()); release.ErrorCode(err) != release.CodeUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWithoutARepositoryThereIsNobodyToAsk(t *testing.T) {
	s := newStandIn(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{URL: s.url, TokenFile: file})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, repo := range []string{"", "webapp", "a/b/c", "../..", "a/..", "a b/c", "/b"} {
		for name, call := range calls(c, repo) {
			if err := call(t.Context()); release.ErrorCode(err) != release.CodeInvalid {
				t.Errorf("%s in %q: %v", name, repo, err)
			}
		}
	}
	if len(s.requests) != 0 {
		t.Errorf("asked %v", s.requests)
	}
}

func TestAWrongTokenIsRefused(t *testing.T) {
	s := newStandIn(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("wrong-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{URL: s.url, TokenFile: file, Repository: "shop/webapp"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.FindIssue(t.Context(), "", marker); release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), "401") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.FindIssue(t.Context(), "", marker); err != nil {
		t.Errorf("after the token was renewed: %v", err)
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	for _, cfg := range []Config{
		{URL: ""}, {URL: "git.example.com"}, {URL: "ftp://h"}, {URL: "http://me:pw-7f3a@h"}, {URL: "http://h", Repository: "webapp"}, {URL: "http://h", Repository: "../x"},
	} {
		if _, err := New(cfg); release.ErrorCode(err) != release.CodeInvalid || strings.Contains(err.Error(), "pw-7f3a") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

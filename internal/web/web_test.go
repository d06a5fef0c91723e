package web_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/web"
)

// site is the pages over releases in memory, with their log.
type site struct {
	http.Handler
	log *bytes.Buffer
}

func newSite(m *apitest.Memory) site {
	var log bytes.Buffer
	return site{web.New(web.Deps{
		Releases: m, PrometheusURL: "http://prometheus.example.com:9090/",
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	}), &log}
}

// page fetches and parses a page, and checks what holds of every page.
func (s site) page(t *testing.T, target string, status int) node {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", target, nil))
	if w.Code != status {
		t.Fatalf("GET %s: status %d, want %d", target, w.Code, status)
	}
	if ct := w.Header().Get("Content-Type"); ct != "text/html; charset=utf-8" {
		t.Errorf("GET %s: Content-Type %q", target, ct)
	}
	root, err := html.Parse(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	n := node{root}
	// The Content-Security-Policy would stop these anyway, and break the page.
	for _, x := range n.all("script", "") {
		t.Errorf("GET %s has a script: %s", target, x.text())
	}
	seen := map[string]bool{}
	for _, x := range n.every() {
		for _, a := range x.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("GET %s: <%s> has an inline %s", target, x.Data, a.Key)
			}
			if a.Key == "id" {
				if seen[a.Val] {
					t.Errorf("GET %s: id %q stands twice", target, a.Val)
				}
				seen[a.Val] = true
			}
			if (a.Key == "href" || a.Key == "src") && strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
				t.Errorf("GET %s links to %s", target, a.Val)
			}
		}
	}
	if len(n.all("h1", "")) != 1 || len(n.all("main", "")) != 1 {
		t.Errorf("GET %s has not one heading and one main part", target)
	}
	return n
}

// node asks an HTML tree questions.
type node struct{ *html.Node }

func (n node) every() []node {
	var out []node
	for x := range n.Descendants() {
		if x.Type == html.ElementNode {
			out = append(out, node{x})
		}
	}
	return out
}

// all returns the elements of a tag ("" any) that carry a class ("" any).
func (n node) all(tag, class string) []node {
	var out []node
	for _, x := range n.every() {
		if (tag == "" || x.Data == tag) && (class == "" || x.has(class)) {
			out = append(out, x)
		}
	}
	return out
}

func (n node) one(t *testing.T, tag, class string) node {
	t.Helper()
	found := n.all(tag, class)
	if len(found) != 1 {
		t.Fatalf("there are %d <%s class=%q>, want one", len(found), tag, class)
	}
	return found[0]
}

func (n node) has(class string) bool {
	for c := range strings.FieldsSeq(n.attr("class")) {
		if c == class {
			return true
		}
	}
	return false
}

func (n node) attr(key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// text is what stands in the node, words parted by one space.
func (n node) text() string {
	var b strings.Builder
	for x := range n.Descendants() {
		if x.Type == html.TextNode {
			b.WriteString(x.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func (n node) links() []string {
	var out []string
	for _, a := range n.all("a", "") {
		out = append(out, a.attr("href"))
	}
	return out
}

// section is the part of a release's page under a heading.
func (n node) section(t *testing.T, id string) node {
	t.Helper()
	for _, s := range n.all("section", "") {
		if s.attr("aria-labelledby") == id {
			return s
		}
	}
	t.Fatalf("there is no section %q", id)
	return node{}
}

func says(t *testing.T, where node, phrases ...string) {
	t.Helper()
	text := where.text()
	for _, p := range phrases {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not said in: %s", p, text)
		}
	}
}

// at runs f as if it were ten minutes after the newest sample release.
func at(t *testing.T, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(apitest.Start.Add(10 * time.Minute)))
		f(t)
	})
}

func TestListShowsEachReleaseWithVersionsAndVerdict(t *testing.T) {
	at(t, func(t *testing.T) {
		p := newSite(apitest.Sample()).page(t, "/", 200)
		var got []string
		for _, tr := range p.one(t, "tbody", "").all("tr", "") {
			got = append(got, tr.text())
		}
		want := []string{
			"▼ Regressed shop/webapp v2 → v3 Error ratio 0.07 % → 3.1 % 10 min ago",
			"… Pending live shop/checkout 2026.2.1,1.4 → 2026.3.0,1.5 This release is being watched 11 min ago",
			"▼ Regressed shop/cart v11 → v12 CrashLoopBackOff in 2 pods of the release, in none of the previous ve… 51 min ago",
			"! Source broken live payments/ledger 5.0.1 → 5.0.2 This release cannot be judged: its measurements are not to be had 3 h ago",
			"✓ Healthy shop/webapp v1 → v2 This release is healthy 26 h ago",
			"? Not enough data batch/report v1,1.4 (first deployment) This release could not be judged: 600 more requests needed 2 d ago",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		if href := p.one(t, "tbody", "").links()[0]; href != "/releases/4be1a0c93f27" {
			t.Errorf("the first release links to %s", href)
		}
	})
}

func TestListFilterWorksWithoutScript(t *testing.T) {
	p := newSite(apitest.Sample()).page(t, "/?namespace=shop&verdict=regressed&live=false", 200)
	if n := len(p.one(t, "tbody", "").all("tr", "")); n != 2 {
		t.Errorf("%d releases match, want 2", n)
	}
	form := p.one(t, "form", "filter")
	if form.attr("method") != "get" || form.attr("action") != "/" || len(form.all("button", "")) != 1 {
		t.Error("the form does not send itself")
	}
	got := map[string]string{}
	for _, in := range form.all("input", "") {
		got[in.attr("name")] = in.attr("value")
	}
	for _, sel := range form.all("select", "") {
		for _, o := range sel.all("option", "") {
			for _, a := range o.Attr {
				if a.Key == "selected" {
					got[sel.attr("name")] = o.attr("value")
				}
			}
		}
	}
	want := map[string]string{"namespace": "shop", "workload": "", "verdict": "regressed", "live": "false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the form forgot what was asked (-want +got):\n%s", diff)
	}
}

func TestListSaysWhatItDidNotUnderstand(t *testing.T) {
	for query, want := range map[string]string{
		"verdict=great":    "“great” is unknown",
		"live=maybe":       "“maybe” was left out",
		"before=yesterday": "“yesterday”, is no time",
	} {
		p := newSite(apitest.Sample()).page(t, "/?"+query, 200)
		says(t, p.one(t, "p", "complaint"), want)
		if n := len(p.one(t, "tbody", "").all("tr", "")); n != 6 {
			t.Errorf("%s: %d releases are shown, want all 6", query, n)
		}
	}
}

func TestEmptyListSaysWhy(t *testing.T) {
	says(t, newSite(&apitest.Memory{}).page(t, "/", 200), "No release yet.")
	says(t, newSite(apitest.Sample()).page(t, "/?namespace=nowhere", 200), "No release matches this filter.")
}

func TestListIsReadOnByLinksThatKeepTheFilter(t *testing.T) {
	m := &apitest.Memory{}
	for i := range 120 {
		e := apitest.Regressed()
		e.Release.ID = release.ID(strings.Repeat("a", 9) + string(rune('a'+i/26)) + string(rune('a'+i%26)))
		e.Release.SeenAt = e.Release.SeenAt.Add(-time.Duration(i) * time.Second)
		m.Entries = append(m.Entries, e)
	}
	s := newSite(m)
	seen, target := map[string]bool{}, "/?namespace=shop"
	for pages := 0; target != "" && pages < 5; pages++ {
		p := s.page(t, target, 200)
		for _, href := range p.one(t, "tbody", "").links() {
			seen[href] = true
		}
		target = ""
		for _, a := range p.all("a", "") {
			if a.attr("rel") == "next" {
				target = a.attr("href")
			}
		}
		if target != "" && !strings.Contains(target, "namespace=shop") {
			t.Errorf("the next page %s forgot the filter", target)
		}
	}
	if len(seen) != 120 {
		t.Errorf("the pages show %d releases, want 120", len(seen))
	}
}

func TestUnknownPagesAndReleasesSaySo(t *testing.T) {
	s := newSite(apitest.Sample())
	says(t, s.page(t, "/releases/000000000000", 404), "There is no such release")
	says(t, s.page(t, "/elsewhere", 404), "There is no such page")
	says(t, s.page(t, "/assets/none.css", 404), "There is no such page")
}

func TestAnInnerErrorIsLoggedAndNotShown(t *testing.T) {
	for _, target := range []string{"/", "/releases/4be1a0c93f27"} {
		m := apitest.Sample()
		m.Err = errors.New("password=hunter2")
		s := newSite(m)
		if text := s.page(t, target, 500).text(); strings.Contains(text, "hunter2") {
			t.Errorf("GET %s shows %s", target, text)
		}
		if !strings.Contains(s.log.String(), "hunter2") {
			t.Errorf("GET %s: the log lacks the reason: %s", target, s.log)
		}
	}
}

func TestAssetsAreServedWithTheirTypeForGood(t *testing.T) {
	s := newSite(apitest.Sample())
	p := s.page(t, "/", 200)
	types := map[string]string{"stylesheet": "text/css; charset=utf-8", "icon": "image/svg+xml"}
	for _, l := range p.all("link", "") {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", l.attr("href"), nil))
		if w.Code != 200 || w.Header().Get("Content-Type") != types[l.attr("rel")] || w.Body.Len() == 0 {
			t.Errorf("GET %s: %d %s, %d bytes", l.attr("href"), w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
		if cc := w.Header().Get("Cache-Control"); !strings.Contains(cc, "immutable") || !strings.Contains(l.attr("href"), "?v=") {
			t.Errorf("GET %s: Cache-Control %q", l.attr("href"), cc)
		}
		delete(types, l.attr("rel"))
	}
	if len(types) > 0 {
		t.Errorf("no link to %v", types)
	}
}

func TestEveryPageTellsOfAnOpenBreaker(t *testing.T) {
	until := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	breakers := []release.Breaker{
		{Cluster: "prod", Open: true, ChangedAt: until.Add(-time.Hour), ClosesAt: &until, Actor: "watchtower", Why: "12 workloads regressed <b>within</b> 5 min"},
		{Cluster: "prod", Namespace: "shop", ChangedAt: until, Actor: "ann", Why: "fine now"},
	}
	var err error
	s := site{web.New(web.Deps{
		Releases: apitest.Sample(), Log: slog.New(slog.DiscardHandler),
		Breakers: func(context.Context) ([]release.Breaker, error) { return breakers, err },
	}), nil}
	for target, status := range map[string]int{"/": http.StatusOK, "/nosuch": http.StatusNotFound} {
		page := s.page(t, target, status)
		text := page.text()
		for _, words := range []string{"Rollbacks of cluster prod wait for a person.", "12 workloads regressed <b>within</b> 5 min", "It closes"} {
			if !strings.Contains(text, words) {
				t.Errorf("GET %s does not say %q", target, words)
			}
		}
		if strings.Contains(text, "fine now") {
			t.Errorf("GET %s tells of a closed breaker", target)
		}
	}
	err = errors.New("the database is away")
	if text := s.page(t, "/", http.StatusOK).text(); strings.Contains(text, "wait for a person") {
		t.Error("what could not be read is shown")
	}
}

package web_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestReleasePageGivesTheAnswerFirst(t *testing.T) {
	p := newSite(apitest.Sample()).page(t, "/releases/4be1a0c93f27", 200)
	says(t, p.one(t, "h1", ""), "shop/webapp v2 → v3")
	answer := p.one(t, "section", "answer")
	if !answer.has("regressed") {
		t.Error("the answer does not look regressed")
	}
	says(t, answer, "Regressed", "Error ratio 0.07 % → 3.1 %", "is at most 0.1 %, however often one looks")
	says(t, p.one(t, "dl", "facts"), "2026-03-02 10:15:47 UTC, after 47 s", "default, autonomy auto", "webapp-7c9f8d6b54, revision 8", "webapp-5f6d7c8b9d, revision 7")
}

func TestReleasePageTellsWhatWasDoneWhenAndWhere(t *testing.T) {
	done := newSite(apitest.Sample()).page(t, "/releases/4be1a0c93f27", 200).section(t, "done")
	var got []string
	for _, li := range done.all("li", "") {
		got = append(got, li.text())
	}
	want := []string{
		"Alert done firing in 2 of 2 Alertmanager instances 2026-03-02 10:15:47 UTC (100 ms after the verdict) http://alertmanager.example.com/#/alerts",
		"Rollback done put back webapp-5f6d7c8b9d (v2); all 3 replicas ready after 6.2 s 2026-03-02 10:15:47 UTC (300 ms after the verdict)",
		"Kubernetes Event done 2026-03-02 10:15:47 UTC (400 ms after the verdict)",
		"Hotfix issue done opened with the evidence and 3 suspect commits 2026-03-02 10:15:48 UTC (1.4 s after the verdict) https://git.example.com/mycompany/webapp/issues/12",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"http://alertmanager.example.com/#/alerts", "https://git.example.com/mycompany/webapp/issues/12"}, done.links()); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

func TestReleasePageSaysWhyNothingWasDone(t *testing.T) {
	s := newSite(apitest.Sample())
	says(t, s.page(t, "/releases/1f2ab8c7740d", 200).section(t, "done"), "The policy default only observes.")
	says(t, s.page(t, "/releases/90c3d2e1b6a5", 200).section(t, "done"), "Only a regressed release leads to an action.")
}

func TestReleasePageExplainsEachVerdict(t *testing.T) {
	tests := map[string]struct {
		id   string
		want []string
	}{
		"a state of pods needs no statistics": {"1f2ab8c7740d", []string{"needs no statistics", "back-off 10s restarting failed container"}},
		"healthy says against which limit":    {"90c3d2e1b6a5", []string{"1.5 times its baseline", "at most 5 %"}},
		"pending says what it takes": {"c07de5518a44", []string{
			"about 1,450 more requests, 4 min at today's traffic (undecided: error ratio)", "It is watched until 10:43:30 UTC",
		}},
		"too little data is no verdict either way":  {"e5d4c3b2a190", []string{"no verdict for it nor against it", "600 more requests", "there is no traffic now"}},
		"a broken source never leads to a rollback": {"77aa10be6cd3", []string{"more than 2 min", "never leads to a rollback"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			says(t, newSite(apitest.Sample()).page(t, "/releases/"+tt.id, 200).one(t, "section", "answer"), tt.want...)
		})
	}
}

func TestReleasePageDrawsBothArmsAndTheEvidence(t *testing.T) {
	p := newSite(apitest.Sample()).page(t, "/releases/4be1a0c93f27", 200)
	panels := p.all("figure", "panel")
	if len(panels) != 2 {
		t.Fatalf("%d panels, want error ratio and latency", len(panels))
	}
	says(t, panels[0], "Error ratio", "this release", "the previous version")
	says(t, panels[1], "P90 latency")
	charts := p.all("svg", "chart")
	if len(charts) != 4 {
		t.Fatalf("%d charts, want 4", len(charts))
	}
	for _, c := range charts {
		says(t, c, "time, UTC", "10:15:15", "rollout", "regressed")
		if c.attr("role") != "img" || len(c.all("title", "")) != 1 || len(c.all("desc", "")) != 1 {
			t.Error("a chart has no words for those who do not see it")
		}
		labelled := strings.Fields(c.attr("aria-labelledby"))
		if len(labelled) != 2 || labelled[0] != c.one(t, "title", "").attr("id") || labelled[1] != c.one(t, "desc", "").attr("id") {
			t.Errorf("a chart is labelled by %v", labelled)
		}
	}
	values, evidence := charts[0], charts[1]
	says(t, values, "Error ratio, %", "release 3.1 % of 512 requests")
	for _, class := range []string{"release", "baseline"} {
		if d := values.one(t, "path", class).attr("d"); strings.Count(d, "L") < 6 {
			t.Errorf("the curve of %s is %q", class, d)
		}
	}
	says(t, evidence, "e-value, log scale", "threshold 1,000")
	if len(evidence.all("line", "threshold")) != 1 || evidence.one(t, "path", "evidence").attr("d") == "" {
		t.Error("the e-value or its threshold is not drawn")
	}
	says(t, charts[2], "P90 latency, ms")
}

func TestReleasePageListsTheEvidenceInNumbers(t *testing.T) {
	p := newSite(apitest.Sample()).page(t, "/releases/4be1a0c93f27", 200)
	says(t, p.section(t, "evidence"),
		"Error ratio against the previous version read as prometheus client 3.1 % 16 of 512 0.07 % 1 of 1,405 × 44 (13 to 161) 12,144",
		"All signals together regressed at 1,000 or more 6,940")
	says(t, p.section(t, "findings"), "webapp-7c9f8d6b54-x2k8p fails twice as often")
	says(t, p.section(t, "images"), "webapp changed registry.example.com/mycompany/webapp:v2 sha256:", "proxy registry.example.com/mesh/proxy:1.4")
	says(t, p.section(t, "audit"), "2026-03-02 10:15:00 UTC release seen judging shop/webapp rolls out v3 in place of v2 watchtower", "the policy allows it (auto)")
}

func TestReleasePageLinksTheCommitTheImageWasBuiltFrom(t *testing.T) {
	links := newSite(apitest.Sample()).page(t, "/releases/4be1a0c93f27", 200).section(t, "images").links()
	want := "https://git.example.com/mycompany/webapp/commit/" + apitest.Regressed().Release.ReplicaSet.Images[0].Revision
	if diff := cmp.Diff([]string{want}, links); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

func TestReleasePageGivesQueriesToCopyAndToOpen(t *testing.T) {
	q := newSite(apitest.Sample()).page(t, "/releases/4be1a0c93f27", 200).section(t, "queries")
	var got []string
	for _, pre := range q.all("pre", "") {
		got = append(got, pre.text())
	}
	want := []string{
		`http_requests_total{namespace="shop",pod=~"webapp-(7c9f8d6b54|5f6d7c8b9d)-.{5}"}[35s]`,
		`http_request_duration_seconds_bucket{namespace="shop",pod=~"webapp-(7c9f8d6b54|5f6d7c8b9d)-.{5}"}[35s]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
	says(t, q, "Error ratio from prometheus, 2026-03-02 10:15:00 to 10:15:47 UTC Open in Prometheus")
	if href := q.links()[0]; !strings.HasPrefix(href, "http://prometheus.example.com:9090/graph?g0.expr=http_requests_total%7B") {
		t.Errorf("the query opens at %s", href)
	}
}

func TestOnlyALiveReleaseLoadsItselfAgain(t *testing.T) {
	s := newSite(apitest.Sample())
	for target, want := range map[string]string{
		"/releases/c07de5518a44":             "5",
		"/releases/c07de5518a44?refresh=off": "",
		"/releases/4be1a0c93f27":             "",
		"/":                                  "",
	} {
		got := ""
		for _, m := range s.page(t, target, 200).all("meta", "") {
			if m.attr("http-equiv") == "refresh" {
				got = m.attr("content")
			}
		}
		if got != want {
			t.Errorf("GET %s refreshes after %q seconds, want %q", target, got, want)
		}
	}
	if links := s.page(t, "/releases/c07de5518a44", 200).one(t, "p", "refresh").links(); len(links) != 1 || links[0] != "/releases/c07de5518a44?refresh=off" {
		t.Errorf("one cannot hold the page still: %v", links)
	}
}

func TestASupersededReleaseNamesTheNewerOne(t *testing.T) {
	m := apitest.Sample()
	m.Entries[0].Release.SupersededBy = "c07de5518a44"
	answer := newSite(m).page(t, "/releases/4be1a0c93f27", 200).one(t, "section", "answer")
	if diff := cmp.Diff([]string{"/releases/c07de5518a44"}, answer.links()); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

// Whatever a cluster, an image or a forge says must stay text.
func TestHostileTextStaysText(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>`
	m := apitest.Sample()
	e := &m.Entries[0]
	r := &e.Release
	r.Workload.Name, r.Workload.Namespace, r.Workload.Cluster = evil, evil, evil
	r.ReplicaSet.Name = evil
	for i := range r.ReplicaSet.Images {
		r.ReplicaSet.Images[i] = release.Image{Container: evil, Reference: evil, Digest: evil, Revision: evil, Source: "javascript:alert(3)"}
	}
	r.SupersededBy = release.ID("javascript:alert(4)" + evil)
	v := &e.Verdict
	v.Kind, v.Summary, v.Reason = release.VerdictKind(evil), evil, evil
	v.Needs = &release.Needs{Requests: 3, Signals: []string{evil}}
	v.Findings = []release.Finding{{Kind: evil, Pod: evil, Message: evil}}
	for i := range v.Evidence {
		ev := &v.Evidence[i]
		ev.Signal, ev.Baseline, ev.Reason, ev.Dialect, ev.Unit = evil, release.Arm(evil), evil, evil, release.Unit(evil)
		ev.Queries = []release.Query{{Source: evil, Expr: evil}, {Source: "prometheus", Expr: evil}}
	}
	e.Policy.Name, e.Policy.Autonomy = evil, evil
	e.Actions = []release.Action{{Kind: evil, State: evil, Detail: evil, URL: "javascript:alert(5)"}, {URL: "https://x.example/" + evil}}
	e.Audit = []release.AuditRow{{Actor: evil, What: evil, Outcome: evil, Why: evil}}
	s := newSite(m)
	// page fails the test on a script, an inline handler or a javascript: link.
	p := s.page(t, "/releases/4be1a0c93f27", 200)
	if n := len(p.all("img", "")); n != 0 {
		t.Errorf("%d images came from hostile text", n)
	}
	says(t, p, "<script>alert(1)</script>")
	list := s.page(t, "/?namespace=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&verdict=%3Cscript%3E&before=%3Cscript%3E", 200)
	says(t, list.one(t, "p", "complaint"), "<script>")
	s.page(t, "/", 200)
}

func TestReleasePageTellsWhatPeopleDid(t *testing.T) {
	m := apitest.Sample()
	e := &m.Entries[0]
	for i := range m.Entries {
		if m.Entries[i].Release.ID == "4be1a0c93f27" {
			e = &m.Entries[i]
		}
	}
	at := time.Date(2026, 3, 2, 10, 20, 0, 0, time.UTC)
	e.Verdict.Wrong = &release.Mark{At: at, By: "ann", Why: "the load test did it"}
	by := func(actor, what, outcome, why string) release.AuditRow {
		return release.AuditRow{At: at, Actor: actor, Release: e.Release.ID, What: what, Outcome: outcome, Why: why}
	}
	e.Audit = append(e.Audit,
		by("Ada <b>", "incident", "acknowledged", "at PagerDuty, 2026-03-02T10:19:00Z"), by("eve", "mark_wrong", "refused", "it takes the role approve"),
		by("ann", "rollback", "asked for", "checkout fails"), by("ann", "message", "snoozed", "chat until 2026-03-02T11:00:00Z"),
		by("ann", "verdict", "marked wrong", "the load test did it"), by("bob", "action", "retried", "the forge is back"))
	p := newSite(m).page(t, "/releases/4be1a0c93f27", 200)
	says(t, p.one(t, "section", "answer"), "marked wrong", "Marked wrong by ann, 2026-03-02 10:20:00 UTC: the load test did it. It counts as a false alarm.")
	var got []string
	for _, li := range p.section(t, "people").all("li", "") {
		got = append(got, strings.ReplaceAll(li.text(), " 2026-03-02 10:20:00 UTC", ""))
	}
	want := []string{
		"Ada <b> acknowledged the incident at PagerDuty, 2026-03-02T10:19:00Z", "ann asked for a rollback checkout fails",
		"ann snoozed messages chat until 2026-03-02T11:00:00Z", "ann marked the verdict wrong the load test did it", "bob action retried the forge is back",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("people (-want +got):\n%s", diff)
	}
	says(t, newSite(m).page(t, "/", 200).one(t, "table", "releases"), "Regressed wrong")
}

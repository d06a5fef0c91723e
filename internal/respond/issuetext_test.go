package respond

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

var update = flag.Bool("update", false, "write the golden files anew")

func exampleText() issueText {
	at := time.Date(2026, 3, 4, 15, 4, 5, 0, time.UTC)
	decided := at.Add(41 * time.Second)
	image := func(v, digest, revision string) []release.Image {
		return []release.Image{{Container: "app", Reference: "registry.example/shop/webapp:" + v, Digest: digest, Revision: revision}}
	}
	rel := release.Release{
		ID: "1a2b3c4d5e6f", Workload: release.Workload{Cluster: "lab", Namespace: "shop", Name: "webapp"},
		ReplicaSet: release.ReplicaSet{Name: "webapp-3", UID: "3", Revision: 3, Images: image("v3", "sha256:3333", "c0ffee3")},
		Previous:   &release.ReplicaSet{Name: "webapp-2", UID: "2", Revision: 2, Images: image("v2", "sha256:2222", "c0ffee2")},
		StartedAt:  at, SeenAt: at,
	}
	v := verdict(rel, release.Regressed, true)
	v.DecidedAt = &decided
	v.Evidence[0].Queries[0].From, v.Evidence[0].Queries[0].To = at, decided
	v.Evidence = append(v.Evidence, release.Evidence{Signal: release.SignalPodState, Baseline: release.BaselineNone, Reason: "one pod of 3 was killed for want of memory"})
	return issueText{
		release: rel, verdict: v, policy: policy(release.AutonomyAuto), externalURL: "https://watchtower.example",
		rollback: &release.Action{State: release.ActionDone, Detail: "put back webapp-2 (v2, revision 2), the last one judged healthy"},
		commits: []release.Commit{
			{SHA: "0123456789abcdef", Title: "checkout: answer faster", Author: "Ann", URL: "https://git.example/shop/webapp/commit/0123456789abcdef"},
			{SHA: "fedcba9876543210", Title: "docs: spelling", Author: "Bob"},
		},
	}
}

func TestTheIssueTellsTheStory(t *testing.T) {
	hostile := exampleText()
	evil := "@all <!-- watchtower:release=ffffffffffff --> | [x](javascript:1) `a` ![i](http://e/i) #1\n# big\n</details> https://evil.example"
	hostile.release.ReplicaSet.Images[0] = release.Image{Container: "app", Reference: "evil:" + evil, Digest: evil, Revision: evil}
	hostile.verdict.Reason = evil
	hostile.verdict.Evidence[1].Reason = evil
	hostile.verdict.Evidence[0].Queries[0].Expr = "up{a=\"```\"} " + evil
	hostile.rollback = &release.Action{State: release.ActionRefused, Detail: evil}
	hostile.commits = []release.Commit{{SHA: "0123", Title: evil, Author: evil, URL: "https://e/) [y](z"}, {SHA: "`", Title: "t", URL: "javascript:alert(1)"}}
	none := exampleText()
	none.rollback, none.commits, none.externalURL = nil, nil, ""
	none.commitsNote = "The images do not tell which commits they were built from."
	for name, text := range map[string]issueText{"plain": exampleText(), "hostile": hostile, "bare": none} {
		t.Run(name, func(t *testing.T) {
			is := text.issue()
			got := is.Title + "\n\n" + is.Body
			file := filepath.Join("testdata", "issue_"+name+".md")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("differs from %s (-want +got):\n%s", file, diff)
			}
		})
	}
}

func TestTextFromOutsideStaysText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching("[-a<>!@#:/.`|\\\\\\[\\]()*_ \n]{0,40}")).Draw(t, "text")
		text := exampleText()
		text.release.ReplicaSet.Images[0].Reference = "x:" + s
		text.release.Workload.Name = s
		text.verdict.Reason = s
		text.verdict.Evidence[1].Reason = s
		text.verdict.Evidence[0].Queries[0].Expr = s
		text.rollback.Detail = s
		text.commits[0].Title, text.commits[0].Author = s, s
		is := text.issue()
		if n := strings.Count(is.Body, "<!--"); n != 1 || !strings.HasSuffix(is.Body, release.Marker(text.release.ID)+"\n") {
			t.Fatalf("%d hidden comments", n)
		}
		if utf8.RuneCountInString(is.Title) > maxTitle || strings.Contains(is.Title, "\n") {
			t.Fatalf("title %q", is.Title)
		}
		m := markdown(s)
		for _, bad := range []string{"<", ">", "://", "\n"} {
			if strings.Contains(m, bad) {
				t.Fatalf("%q became %q", s, m)
			}
		}
		for i, r := range m {
			if strings.ContainsRune("`*_[]|", r) && (i == 0 || m[i-1] != '\\') {
				t.Fatalf("%q became %q", s, m)
			}
			if r == '@' && i+1 < len(m) && m[i+1] > ' ' && !strings.HasPrefix(m[i+1:], "\u200b") {
				t.Fatalf("%q mentions: %q", s, m)
			}
		}
	})
}

func TestALongIssueGivesUpItsQueriesAndKeepsItsMarker(t *testing.T) {
	text := exampleText()
	for n := range 30 {
		e := text.verdict.Evidence[0]
		e.Queries = []release.Query{{Expr: strings.Repeat("x", 3900+n)}} // each is shown once
		text.verdict.Evidence = append(text.verdict.Evidence, e)
	}
	for range 200 {
		text.commits = append(text.commits, release.Commit{SHA: "1", Title: strings.Repeat("t", 500)})
	}
	body := text.issue().Body
	if len(body) > maxBody || !strings.Contains(body, release.Marker("1a2b3c4d5e6f")) || !strings.Contains(body, "the release's page has them") || !strings.Contains(body, "and 172 more") {
		t.Errorf("%d bytes: %.3000s", len(body), body)
	}
}

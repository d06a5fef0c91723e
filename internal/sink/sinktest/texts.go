package sinktest

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func story(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	m := Regressed("story")
	ref := deliver(t, w, nil, m)
	if shown := one(t, w); !strings.Contains(shown.First, "made things worse") {
		t.Errorf("the first line is %q", shown.First)
	}
	for _, next := range []struct {
		state    release.MessageState
		headline string
	}{
		{release.SaysWaiting, "shop/webapp waits for an approval"},
		{release.SaysRollingBack, "shop/webapp goes back to 1.4.0"},
		{release.SaysRestored, "shop/webapp runs 1.4.0 again"},
	} {
		m = Then(m, next.state, next.headline)
		ref = deliver(t, w, ref, m)
		if shown := one(t, w); !strings.Contains(shown.Text, next.headline) {
			t.Errorf("%s is not shown: %s", next.state, shown.Text)
		}
	}
	// Once more without what was remembered, as after a crash.
	deliver(t, w, nil, m)
	one(t, w)
}

func apart(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	deliver(t, w, nil, Regressed("apart1"))
	deliver(t, w, nil, Regressed("apart2"))
	if n := len(w.Shown()); n != 2 {
		t.Errorf("%d are shown, not two", n)
	}
}

func long(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	m := Regressed("long")
	huge := strings.Repeat("ein sehr langer Name über alles & noch mehr ", 3000)
	m.Headline = release.OneLine(huge, release.HeadlineLimit)
	m.Since, m.Sure, m.Did, m.Next, m.Why, m.To, m.From = huge, huge, huge, huge, huge, huge, huge
	m.Workload.Name, m.Workload.Namespace, m.Workload.Cluster = strings.Repeat("n", 253), strings.Repeat("s", 63), huge
	for i := range 300 {
		c := m.HowBad[0]
		c.Signal, c.Name, c.Sentence = fmt.Sprintf("s%d", i), huge, huge
		m.HowBad = append(m.HowBad, c)
		m.Members = append(m.Members, release.Member{Key: fmt.Sprintf("watchtower/%d", i), Headline: release.OneLine(huge, 120), URL: Page(release.ID(fmt.Sprintf("m%d", i)))})
		m.Links = append(m.Links, release.Link{Kind: release.LinkRunbook, Title: huge, URL: "https://runbooks.example/" + strings.Repeat("x", 4000)})
		m.Labels[fmt.Sprintf("label%d", i)] = huge
	}
	m.Offers = []release.Offer{release.OfferApprove, release.OfferReject, release.OfferRollBack, release.OfferFreeze, release.OfferMarkWrong, release.OfferSnooze}
	ref := deliver(t, w, nil, m)
	if shown := one(t, w); !strings.Contains(shown.Text, Page("long")) {
		t.Error("what was cut has no link to the release's page")
	}
	deliver(t, w, ref, Then(m, release.SaysRestored, "shop/webapp runs 1.4.0 again"))
	one(t, w)
}

func states(t *testing.T, s Subject) {
	for i, state := range release.MessageStates {
		w := s.New(t, Settings{})
		m := Regressed(release.ID(fmt.Sprintf("state%d", i)))
		m.State, m.HowBad, m.Commit, m.From, m.Since, m.Links = state, nil, "", "", "", nil
		if state == release.SaysVerifying {
			m.Verdict, m.DecidedAt = release.Pending, nil
		}
		ref := deliver(t, w, nil, m)
		deliver(t, w, ref, m)
	}
}

func hostile(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	m := Regressed("hostile")
	m.Acknowledged = &release.Acknowledgement{What: release.Acknowledged, Who: Hostile, Where: "PagerDuty", At: m.At}
	m.Headline = release.OneLine("worse: "+Hostile, release.HeadlineLimit)
	m.Since, m.Sure, m.Did, m.Next, m.Why, m.To, m.From, m.Commit = Hostile, Hostile, Hostile, Hostile, Hostile, Hostile, Hostile, Hostile
	m.Workload.Name, m.Workload.Namespace, m.Workload.Cluster = Hostile, Hostile, Hostile
	m.HowBad[0].Sentence, m.HowBad[0].Name = Hostile, Hostile
	m.Members = []release.Member{{Key: "watchtower/x", Headline: Hostile, URL: Page("x")}, {Key: "watchtower/y", Headline: Hostile, URL: Page("y")}}
	m.Links[1].Title = Hostile
	m.Labels["team"] = Hostile
	ref := deliver(t, w, nil, m)
	deliver(t, w, ref, Then(m, release.SaysRestored, release.OneLine("again well: "+Hostile, release.HeadlineLimit)))
	shown := one(t, w)
	for _, raw := range s.Raw {
		if strings.Contains(shown.Text, raw) {
			t.Errorf("%q is more than text: %s", raw, shown.Text)
		}
	}
	if !strings.Contains(shown.Text, "channel") {
		t.Errorf("the text is gone: %s", shown.Text)
	}
}

func first(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	m := Regressed("first")
	m.Headline = strings.Repeat("x", release.HeadlineLimit)
	deliver(t, w, nil, m)
	if n := utf8.RuneCountInString(one(t, w).First); n > release.HeadlineLimit {
		t.Errorf("the first line has %d characters: %s", n, one(t, w).First)
	}
}

func test(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	m := Regressed("test")
	m.Test, m.Headline, m.State, m.Severity = true, "Watchtower asks whether its messages arrive", release.SaysVerifying, release.SeverityInfo
	deliver(t, w, nil, m)
	for _, shown := range w.Shown() {
		if !strings.Contains(shown.Text, "TEST") {
			t.Errorf("it does not say that it is a test: %s", shown.Text)
		}
	}
}

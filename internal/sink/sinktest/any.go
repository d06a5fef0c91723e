package sinktest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// anything is a message of any texts and numbers, whatever a message promises
// of them.
func anything(t *rapid.T, id release.ID) release.Message {
	text := rapid.OneOf(
		rapid.String(), rapid.StringN(0, 20, -1), rapid.SampledFrom([]string{"", Hostile, "\x00", "a\r\nBcc: b@example.com", "\u202eevil", strings.Repeat("語", 5000), "\xff\xfe", "..", "\n.\n"}),
	)
	words := func(name string) string { return text.Draw(t, name) }
	at := time.Unix(rapid.Int64Range(1_700_000_000, 1_900_000_000).Draw(t, "at"), 0)
	m := release.Message{
		Key: release.MessageKey(id), Sequence: rapid.IntRange(1, 5).Draw(t, "sequence"), Release: id, StartedAt: at, At: at,
		State: rapid.SampledFrom(release.MessageStates).Draw(t, "state"), Severity: rapid.SampledFrom(release.Severities).Draw(t, "severity"),
		Headline: "x" + release.OneLine(words("headline"), release.HeadlineLimit-1), Verdict: release.Regressed,
		Workload: release.Workload{Cluster: words("cluster"), Namespace: words("namespace"), Name: words("workload")},
		From:     words("from"), To: words("to"), Commit: words("commit"), Since: words("since"), Sure: words("sure"), Did: words("did"), Next: words("next"), Why: words("why"),
		Labels: map[string]string{words("label"): words("value")},
	}
	if rapid.Bool().Draw(t, "decided") {
		decided := at.Add(time.Duration(rapid.Int64Range(-100, 100).Draw(t, "after")) * time.Second)
		m.DecidedAt, m.ExpiresAt, m.EndedAt = &decided, &decided, &decided
	}
	if rapid.Bool().Draw(t, "acknowledged") {
		m.Acknowledged = &release.Acknowledgement{What: release.Acknowledged, Who: words("who"), Where: words("where"), At: at}
	}
	for range rapid.IntRange(0, 8).Draw(t, "changes") {
		c := release.Change{Signal: words("signal"), Name: words("name"), Sentence: words("sentence"), Before: rapid.Float64().Draw(t, "before"), Now: rapid.Float64().Draw(t, "now")}
		m.HowBad = append(m.HowBad, c)
	}
	for range rapid.IntRange(0, 3).Draw(t, "links") {
		url := rapid.OneOf(text, rapid.SampledFrom([]string{"https://a.example/x", "javascript:alert(1)", "https://a.example/" + strings.Repeat("y", 5000), "http://[::1", "//x"})).Draw(t, "url")
		m.Links = append(m.Links, release.Link{Kind: release.LinkLogs, Title: words("title"), URL: url})
	}
	for range rapid.IntRange(0, 30).Draw(t, "members") {
		m.Members = append(m.Members, release.Member{Headline: words("member"), URL: words("memberURL")})
	}
	m.Offers = rapid.SliceOfN(rapid.SampledFrom([]release.Offer{
		release.OfferApprove, release.OfferReject, release.OfferRollBack, release.OfferMarkWrong, release.OfferSnooze, release.OfferFreeze, "unknown",
	}), 0, 7).Draw(t, "offers")
	return m
}

func everything(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		sink := w.Start()
		defer sink.Close()
		n++
		m := anything(rt, release.ID(fmt.Sprintf("any%d", n)))
		ref, err := sink.Deliver(t.Context(), m, nil)
		if err == nil {
			m.Sequence++
			_, err = sink.Deliver(t.Context(), m, ref)
		}
		if err != nil {
			rt.Fatalf("it was refused: %v", err)
		}
	})
}

package pagerduty

import (
	"cmp"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	pd "github.com/PagerDuty/go-pagerduty"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/plain"
)

// PagerDuty's limits, with room for what surrounds the details.
const (
	maxSummary  = 1024 // characters
	maxDedupKey = 255  // characters
	maxField    = 4096 // characters of one detail
	maxDetails  = 256 << 10
	maxLinks    = 20
	maxURL      = 2048 // bytes
)

const client = "Watchtower"

func (s *Sink) trigger(m release.Message) *pd.V2Event {
	e := &pd.V2Event{
		Action: "trigger", DedupKey: m.Key, Client: client, ClientURL: m.URL(release.LinkRelease), Links: links(m),
		Payload: &pd.V2Payload{
			Summary:   plain.Cut(plain.Title(m), maxSummary),
			Source:    cmp.Or(plain.Place(m), client),
			Severity:  string(cmp.Or(m.Severity, release.SeverityError)),
			Timestamp: stamp(m.At),
			Component: plain.Cut(m.Workload.Name, maxField),
			Group:     plain.Cut(m.Workload.Namespace, maxField),
			Class:     string(m.State),
			Details:   details(m),
		},
	}
	if s.cfg.ImageURL != nil {
		if src := s.cfg.ImageURL(m); strings.HasPrefix(src, "https://") {
			e.Images = []any{map[string]string{"src": src, "href": cmp.Or(m.URL(release.LinkRelease), src), "alt": "how it went"}}
		}
	}
	return e
}

// resolution says how it ended, as far as PagerDuty keeps what a resolving
// event carries.
func (s *Sink) resolution(m release.Message) *pd.V2Event {
	e := s.trigger(m)
	e.Action, e.Images = "resolve", nil
	return e
}

func changeEvent(m release.Message) pd.ChangeEvent {
	version := m.To
	if m.From != "" {
		version = m.From + " → " + m.To
	}
	summary := "Rolls out " + m.Workload.String() + " " + version
	if m.Test {
		summary = plain.Headline(m)
	}
	e := pd.ChangeEvent{Payload: pd.ChangeEventPayload{
		Summary: plain.Cut(summary, maxSummary), Source: cmp.Or(plain.Place(m), client), Timestamp: stamp(m.StartedAt),
		CustomDetails: map[string]any{"release": string(m.Release), "from": m.From, "to": m.To, "commit": m.Commit},
	}}
	for _, l := range kept(m) {
		e.Links = append(e.Links, pd.ChangeEventLink{Href: l.URL, Text: l.Title})
	}
	return e
}

// details are the parts of the message by name, as PagerDuty shows them, within
// its limit for all of an event.
func details(m release.Message) map[string]any {
	out := map[string]any{"release": string(m.Release), "state": string(m.State), "verdict": string(m.Verdict), "from": m.From, "to": m.To}
	put := func(name, value string) {
		out[name] = plain.Cut(value, maxField)
		if text, err := json.Marshal(out); err != nil || len(text) > maxDetails {
			delete(out, name)
			out["more"] = "cut: see the release's page"
		}
	}
	if m.Own.Text != "" {
		put("text", m.Own.Text)
	} else {
		for _, p := range plain.Parts(m) {
			put(p.Field, p.Text())
		}
	}
	for k, v := range m.Labels {
		put("label "+plain.Cut(k, 200), v)
	}
	return out
}

// kept are the links that PagerDuty takes.
func kept(m release.Message) []release.Link {
	var out []release.Link
	for _, l := range m.Links {
		u, err := url.Parse(l.URL)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || len(l.URL) > maxURL || len(out) == maxLinks {
			continue
		}
		l.Title = plain.Cut(cmp.Or(l.Title, string(l.Kind)), 200)
		out = append(out, l)
	}
	return out
}

func links(m release.Message) (out []any) {
	for _, l := range kept(m) {
		out = append(out, map[string]string{"href": l.URL, "text": l.Title})
	}
	return out
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

package pagerduty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/pagerduty/pagerdutytest"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a PagerDuty with one service and the means to reach it.
type world struct {
	pd    *pagerdutytest.Server
	key   string
	place sinktest.Place
	file  string
}

func newWorld(t *testing.T, s sinktest.Settings) world {
	key := pagerdutytest.NewKey()
	pd := pagerdutytest.New(map[string]string{key: "webapp"})
	return world{pd, key, sinktest.Serve(t, pd.Handler(), s), sinktest.File(t, key+"\n")}
}

func (w world) sink(t *testing.T, tune func(*Config)) *Sink {
	t.Helper()
	cfg := Config{
		Name: "night", RoutingKeyFile: w.file, URL: w.place.URL, Changes: true,
		CAFile: w.place.CAFile, ProxyURL: w.place.ProxyURL, Timeout: w.place.Timeout,
	}
	if tune != nil {
		tune(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Subject{
		Name: "PagerDuty (receiver night)", SecretSetting: "routing_key_file",
		New: func(t *testing.T, s sinktest.Settings) sinktest.World {
			w := newWorld(t, s)
			_, log := sinktest.Log()
			return sinktest.World{
				Start: func() sinktest.Sink { return w.sink(t, nil) }, Door: &w.pd.Door, Shown: w.shown,
				Secrets: []string{w.key}, Log: log, Revoke: func() { w.pd.Revoke(w.key) },
			}
		},
	})
}

func (w world) shown() (out []sinktest.Shown) {
	for _, in := range w.pd.Incidents() {
		text, _ := json.Marshal(in.Events)
		out = append(out, sinktest.Shown{First: in.Last.Payload.Summary, Text: string(text)})
	}
	for _, c := range w.pd.Changes() {
		if strings.Contains(c.Payload.Summary, "TEST") {
			text, _ := json.Marshal(c)
			out = append(out, sinktest.Shown{First: c.Payload.Summary, Text: string(text)})
		}
	}
	return out
}

func TestAnIncidentIsTriggeredAcknowledgedAndResolved(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	s := w.sink(t, func(c *Config) {
		c.AcknowledgeRollback = true
		c.ImageURL = func(m release.Message) string {
			return "https://watchtower.example/curve/" + string(m.Release) + ".png"
		}
	})
	m := sinktest.Regressed("abc")
	var ref []byte
	back := sinktest.Then(m, release.SaysRollingBack, "goes back")
	worse := sinktest.Then(back, release.SaysNotHelped, "still bad")
	for _, step := range []struct {
		m    release.Message
		want string
	}{
		{m, "triggered"},
		{back, "acknowledged"},
		{worse, "acknowledged"},
		{sinktest.Then(worse, release.SaysRestored, "well again"), "resolved"},
		{back, "resolved"}, // it comes late, and is dropped
	} {
		var err error
		if ref, err = s.Deliver(t.Context(), step.m, ref); err != nil {
			t.Fatal(err)
		}
		if got := w.pd.Incidents()[0].Status; got != step.want {
			t.Errorf("after %s the incident is %s, want %s", step.m.State, got, step.want)
		}
	}
	p := w.pd.Incidents()[0].Events[0].Payload
	if p.Severity != "critical" || p.Component != "webapp" || p.Group != "shop" || p.Class != "regressed" || p.Source != "lab/shop/webapp" || p.Summary != m.Headline {
		t.Errorf("got %+v", p)
	}
	for field, want := range map[string]string{"how_bad": m.HowBad[0].Sentence, "next": m.Next, "commit": m.Commit, "label workload": "webapp"} {
		if p.Details[field] != want {
			t.Errorf("detail %s is %v, want %q", field, p.Details[field], want)
		}
	}
	e := w.pd.Incidents()[0].Events[0]
	if len(e.Links) != 2 || e.Links[0].Href != sinktest.Page("abc") || e.ClientURL != sinktest.Page("abc") || len(e.Images) != 1 {
		t.Errorf("links %v, images %v, client %s", e.Links, e.Images, e.ClientURL)
	}
}

func TestEachReleaseIsOneChangeEvent(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	s := w.sink(t, nil)
	m := sinktest.Regressed("abc")
	m.State = release.SaysVerifying
	ref, err := s.Deliver(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(w.pd.Incidents()); n != 0 {
		t.Errorf("%d incidents although nothing is wrong yet", n)
	}
	for _, state := range []release.MessageState{release.SaysRegressed, release.SaysRestored} {
		m = sinktest.Then(m, state, "…")
		if ref, err = s.Deliver(t.Context(), m, ref); err != nil {
			t.Fatal(err)
		}
	}
	changes := w.pd.Changes()
	if len(changes) != 1 || changes[0].Payload.Details["commit"] != m.Commit || changes[0].Links[0].Href != sinktest.Page("abc") {
		t.Errorf("got %+v", changes)
	}
	if _, err := s.Deliver(t.Context(), m, []byte("C1:2.3")); release.ErrorCode(err) != release.CodeInvalid {
		t.Errorf("another receiver's ref: %v", err)
	}
	if _, err := w.sink(t, func(c *Config) { c.Changes = false }).Deliver(t.Context(), m, nil); err != nil || len(w.pd.Changes()) != 1 {
		t.Errorf("a change event although none was asked for: %v", err)
	}
}

func TestEachReleaseOfAGroupIsOneChangeEvent(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	s := w.sink(t, nil)
	a, b := sinktest.Regressed("abc"), sinktest.Regressed("def")
	b.To = "2.0"
	group := func(sequence int, ms ...*release.Message) release.Message {
		m := sinktest.Regressed("")
		m.Key, m.Release, m.Sequence = "group-1", "", sequence
		for _, one := range ms {
			m.Members = append(m.Members, release.Member{Key: one.Key, State: one.State, Headline: one.Headline, Message: one})
		}
		return m
	}
	ref, err := s.Deliver(t.Context(), group(1, &a), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.Deliver(t.Context(), group(2, &b, &a), ref); err != nil {
		t.Fatal(err)
	}
	changes := w.pd.Changes()
	if len(changes) != 2 || changes[0].Payload.Details["release"] != "abc" || changes[1].Payload.Details["release"] != "def" || len(w.pd.Incidents()) != 1 {
		t.Errorf("%d incidents, changes %+v", len(w.pd.Incidents()), changes)
	}
	var many []*release.Message
	for i := range 200 {
		m := sinktest.Regressed(release.ID(fmt.Sprintf("%012x", i*7919)))
		many = append(many, &m)
	}
	if ref, err = s.Deliver(t.Context(), group(1, many...), nil); err != nil || len(ref) > 1024 {
		t.Errorf("%d bytes to remember, more than 1024: %v", len(ref), err)
	}
}

func TestATemplatesTextsTakeThePlaceOfTheBuiltInOnes(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("own")
	m.Own = release.OwnText{Title: strings.Repeat("ö", 2000), Text: "see the wiki"}
	if _, err := w.sink(t, nil).Deliver(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	p := w.pd.Incidents()[0].Last.Payload
	if p.Summary != strings.Repeat("ö", 1023)+"…" || p.Details["text"] != "see the wiki" || p.Details["next"] != nil {
		t.Errorf("got %+v", p)
	}
}

func TestATestWakesNobody(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("test")
	m.Test = true
	if _, err := w.sink(t, func(c *Config) { c.Changes = false }).Deliver(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	if len(w.pd.Incidents()) != 0 || len(w.pd.Changes()) != 1 || !strings.HasPrefix(w.pd.Changes()[0].Payload.Summary, "[TEST]") {
		t.Errorf("got %+v %+v", w.pd.Incidents(), w.pd.Changes())
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	for _, cfg := range []Config{
		{Name: "night"}, {Name: "night", RoutingKeyFile: "f", URL: "events.example"}, {Name: "night", RoutingKeyFile: "f", URL: "https://u:s3cret@events.example"},
	} {
		if _, err := New(cfg); release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), "night") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestAMissingKeyFileIsNamed(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("abc")
	_, err := w.sink(t, func(c *Config) { c.RoutingKeyFile = "/no/such/file" }).Deliver(t.Context(), m, nil)
	if release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), "/no/such/file") || !strings.Contains(err.Error(), "night") {
		t.Errorf("got %v", err)
	}
}

const webhookSecret = "wh-s3cr3t-9f"

func TestWebhooksTellWhoAcknowledged(t *testing.T) {
	var told []Acknowledgement
	var fail error
	log, lines := sinktest.Log()
	h := &Webhook{SecretFiles: []string{sinktest.File(t, "older"), sinktest.File(t, webhookSecret)}, Log: log, Told: func(_ context.Context, a Acknowledgement) error {
		told = append(told, a)
		return fail
	}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	make := func(secret, event, who string) *http.Request {
		r, err := pagerdutytest.Webhook(t.Context(), "http://watchtower.example/hooks/pagerduty", secret, event, "watchtower/abc", who, at)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	post := func(r *http.Request) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	first := make(webhookSecret, "incident.acknowledged", "Ada\nLovelace <b>")
	replay := first.Clone(t.Context())
	replay.Body, _ = first.GetBody()
	if status := post(first); status != 200 || len(told) != 1 {
		t.Fatalf("status %d, told %v", status, told)
	}
	if a := told[0]; a.Key != "watchtower/abc" || a.What != "acknowledged" || a.Who != "Ada Lovelace <b>" || !a.At.Equal(at) || a.URL == "" {
		t.Errorf("got %+v", a)
	}
	for name, c := range map[string]struct {
		r    *http.Request
		want int
	}{
		"the same again is taken and not told": {replay, 200},
		"an event that does not matter":        {make(webhookSecret, "incident.priority_updated", "x"), 200},
		"a wrong secret":                       {make("guessed", "incident.acknowledged", "x"), 403},
		"no signature":                         {httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{}`)), 400},
		"another method":                       {httptest.NewRequest(http.MethodGet, "/", nil), 405},
	} {
		if got := post(c.r); got != c.want || len(told) != 1 {
			t.Errorf("%s: status %d, want %d, told %d times", name, got, c.want, len(told))
		}
	}
	huge := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", maxWebhook+1)))
	huge.Header.Set("X-PagerDuty-Signature", "v1=00")
	if got := post(huge); got != 413 {
		t.Errorf("a huge body: status %d", got)
	}
	fail = errors.New("the database is away")
	if got := post(make(webhookSecret, "incident.resolved", "Ada")); got != 503 {
		t.Errorf("an event that could not be kept: status %d", got)
	}
	fail = nil
	if got := post(make(webhookSecret, "incident.resolved", "Ada")); got != 200 || told[len(told)-1].What != "resolved" {
		t.Errorf("the event sent again: status %d, told %+v", got, told)
	}
	if strings.Contains(lines(), webhookSecret) {
		t.Error("the secret is logged")
	}
}

func FuzzWebhook(f *testing.F) {
	f.Add([]byte(`{"event":{"id":"1","event_type":"incident.acknowledged","occurred_at":"2026-01-02T03:04:05Z","agent":null,"data":{"incident_key":"k"}}}`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`{"event":{"agent":3}}`))
	secret := sinktest.File(f, webhookSecret)
	log, _ := sinktest.Log()
	f.Fuzz(func(t *testing.T, body []byte) {
		h := &Webhook{SecretFiles: []string{secret}, Log: log, Told: func(_ context.Context, a Acknowledgement) error {
			if a.Key == "" || strings.ContainsAny(a.Who, "\n\x00") {
				t.Errorf("told %+v", a)
			}
			return nil
		}}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
		r.Header.Set("X-PagerDuty-Signature", "v1="+pagerdutytest.Sign(body, webhookSecret))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("status %d for %q", w.Code, body)
		}
	})
}

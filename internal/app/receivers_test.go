package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/alertmanager"
	"github.com/watchtower-verify/watchtower/internal/sink/slack"
	"github.com/watchtower-verify/watchtower/internal/template"
)

// outlet keeps what it was told.
type outlet struct {
	told []release.Message
	refs []string
}

func (o *outlet) Deliver(_ context.Context, m release.Message, ref []byte) ([]byte, error) {
	o.told, o.refs = append(o.told, m), append(o.refs, string(ref))
	return []byte("shown"), nil
}

type silences struct {
	active bool
	err    error
}

func (s *silences) Silenced(_ context.Context, labels map[string]string) (*alertmanager.Silence, error) {
	if s.err != nil || !s.active || labels["workload"] != "webapp" || labels["alertname"] != message.AlertName || labels["severity"] == "" {
		return nil, s.err
	}
	return &alertmanager.Silence{ID: "1", CreatedBy: "ann"}, nil
}

func samples() map[release.MessageState]release.Message {
	out := map[release.MessageState]release.Message{}
	for _, m := range message.Samples(time.Now(), message.Places{}, nil) {
		out[m.State] = m
	}
	return out
}

func TestWhatIsSilencedIsNotToldNorItsEnd(t *testing.T) {
	out, quiet, of := &outlet{}, &silences{active: true}, samples()
	r := &receiver{name: "chat", next: out, quiet: quiet, log: slog.New(slog.DiscardHandler)}
	tell := func(s release.MessageState, ref []byte) []byte {
		t.Helper()
		got, err := r.Deliver(t.Context(), of[s], ref)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	ref := tell(release.SaysRegressed, nil)
	ref = tell(release.SaysRollingBack, ref)
	if tell(release.SaysRestored, ref); len(out.told) != 0 {
		t.Fatalf("told %v", out.told)
	}

	// A silence that ends while things are bad ends the quiet.
	ref = tell(release.SaysRegressed, nil)
	quiet.active = false
	ref = tell(release.SaysRollingBack, ref)
	if len(out.told) != 1 || out.refs[0] != "" || string(ref) != "shown" {
		t.Fatalf("told %d with %q", len(out.told), out.refs)
	}
	// What was begun is told to its end, silence or not.
	quiet.active = true
	if tell(release.SaysRestored, ref); len(out.told) != 2 || out.refs[1] != "shown" {
		t.Errorf("told %d with %q", len(out.told), out.refs)
	}

	// Alertmanager that does not answer silences nobody.
	quiet.err = errors.New("away")
	if tell(release.SaysRegressed, nil); len(out.told) != 3 {
		t.Errorf("told %d", len(out.told))
	}
}

func TestATemplateThatFailsGivesWayToTheBuiltInText(t *testing.T) {
	set, err := template.NewSet(nil)
	if err != nil {
		t.Fatal(err)
	}
	own, faults := set.NewReceiver("chat", "", template.Texts{Title: "{{ (index .HowBad 1).Name }}", Text: "{{ .Did }}"}, nil)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	var log strings.Builder
	reg := prometheus.NewRegistry()
	out := &outlet{}
	r := &receiver{name: "chat", next: out, own: own, log: slog.New(slog.NewTextHandler(&log, nil)), failures: templateFailures(reg)}
	for _, s := range []release.MessageState{release.SaysRegressed, release.SaysHealthy} { // the latter has no evidence
		if _, err := r.Deliver(t.Context(), samples()[s], nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.told[0].Own; got.Title != "p90 latency" || got.Text == "" {
		t.Errorf("told %+v", got)
	}
	if got := out.told[1].Own; got.Title != "" || got.Text == "" {
		t.Errorf("told %+v", got)
	}
	if n := testutil.ToFloat64(r.failures.WithLabelValues("chat")); n != 1 {
		t.Errorf("%v failures", n)
	}
	if text := log.String(); !strings.Contains(text, "receiver=chat") || !strings.Contains(text, "title: ") {
		t.Error(text)
	}
}

func TestEveryKindOfReceiverCanBeMade(t *testing.T) {
	cfg, err := config.Parse("w.yaml", []byte(`
prometheus: {url: http://p}
receivers:
  - {name: pd, pagerduty: {routing_key_file: k}}
  - {name: chat, slack: {token_file: t, channel: C024BE91L}}
  - {name: buttons, slack: {token_file: t, channel: C024BE91L, app_token_file: a, users: [{id: U024BE7LH, name: Ann, role: approve}]}}
  - {name: boards, grafana: {url: https://g, token_file: t, places: [{dashboard: d, panel: 2}], others: [{organisation: 2, token_file: u}]}}
  - {name: hook, webhook: {url: "https://h/x?site=eu", secret_file: s, next_secret_file: n, headers: {X-Site: eu}}}
  - {name: mail, email: {server: "m:587", from: a@b.c, to: [d@e.f]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := openReceivers(cfg, nil, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.closeAll()
	if len(r.byName) != len(cfg.Receivers) || len(r.close) != len(cfg.Receivers) {
		t.Errorf("made %v", r.byName)
	}
	if len(r.slack) != 1 || r.slack["buttons"] == nil {
		t.Errorf("buttons of %v", r.slack)
	}
	h := newHooks(cfg, r, nil, nil, slog.New(slog.DiscardHandler))
	if len(h.sockets) != 1 || len(h.handlers) != 0 {
		t.Errorf("%d sockets, hooks %v", len(h.sockets), h.handlers)
	}
}

// counter notes what it is asked to do.
type counter struct{ asked []string }

func (d *counter) Approve(_ context.Context, id release.ID, by release.By) error {
	d.asked = append(d.asked, "approve "+string(id)+" by "+by.Actor)
	return nil
}

func (d *counter) Reject(_ context.Context, id release.ID, by release.By) error {
	d.asked = append(d.asked, "reject "+string(id)+" by "+by.Actor)
	return nil
}

func (d *counter) OpenBreaker(_ context.Context, namespace string, within time.Duration, by release.By) error {
	d.asked = append(d.asked, "freeze "+within.String()+" by "+by.Actor)
	return nil
}

func TestClicksAreDone(t *testing.T) {
	d := &counter{}
	do := decide(d)
	for _, test := range []struct {
		offer release.Offer
		role  string
		code  release.Code
	}{
		{release.OfferApprove, "approve", ""},
		{release.OfferReject, "admin", ""},
		{release.OfferFreeze, "admin", ""},
		{release.OfferFreeze, "approve", release.CodeRefused},
		{release.OfferSnooze, "admin", release.CodeRefused},
	} {
		_, err := do(t.Context(), slack.Click{Offer: test.offer, Release: "r1", Person: slack.Person{Name: "Ann", Role: test.role}})
		if release.ErrorCode(err) != test.code {
			t.Errorf("%s by %s: %v", test.offer, test.role, err)
		}
	}
	if want := []string{"approve r1 by Ann", "reject r1 by Ann", "freeze 4h0m0s by Ann"}; !slices.Equal(d.asked, want) {
		t.Errorf("done %q", d.asked)
	}
}

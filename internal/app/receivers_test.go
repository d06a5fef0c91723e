package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
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
	"github.com/watchtower-verify/watchtower/internal/sink/pagerduty/pagerdutytest"
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
	r, err := openReceivers(cfg, nil, nil, slog.New(slog.DiscardHandler), nil)
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
	h := newHooks(cfg, r, nil, slog.New(slog.DiscardHandler))
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

func (d *counter) RollBack(_ context.Context, id release.ID, by release.By) error {
	d.asked = append(d.asked, "roll back "+string(id)+" by "+by.Actor)
	return nil
}

func (d *counter) MarkWrong(_ context.Context, id release.ID, by release.By) error {
	d.asked = append(d.asked, "mark wrong "+string(id)+" by "+by.Actor)
	return nil
}

func (d *counter) Snooze(_ context.Context, id release.ID, receiver string, within time.Duration, by release.By) (time.Time, error) {
	d.asked = append(d.asked, "snooze "+string(id)+" at "+receiver+" for "+within.String()+" by "+by.Actor)
	return time.Now().Add(within), nil
}

func (d *counter) Refused(_ context.Context, id release.ID, what string, by release.By, why string) error {
	d.asked = append(d.asked, "refused "+what+" of "+string(id)+" by "+by.Actor+": "+why)
	return nil
}

func (d *counter) OpenBreaker(_ context.Context, namespace string, within time.Duration, by release.By) error {
	d.asked = append(d.asked, "freeze "+within.String()+" by "+by.Actor)
	return nil
}

func TestClicksAreDone(t *testing.T) {
	d := &counter{}
	do := decide("chat", d)
	for _, test := range []struct {
		offer release.Offer
		role  string
		code  release.Code
	}{
		{release.OfferApprove, "approve", ""},
		{release.OfferReject, "admin", ""},
		{release.OfferFreeze, "admin", ""},
		{release.OfferFreeze, "approve", release.CodeRefused},
		{release.OfferRollBack, "approve", ""},
		{release.OfferMarkWrong, "approve", ""},
		{release.OfferSnooze, "approve", ""},
		{"dance", "admin", release.CodeRefused},
	} {
		_, err := do(t.Context(), slack.Click{Offer: test.offer, Release: "r1", Person: slack.Person{Name: "Ann", Role: test.role}})
		if release.ErrorCode(err) != test.code {
			t.Errorf("%s by %s: %v", test.offer, test.role, err)
		}
	}
	if want := []string{
		"approve r1 by Ann", "reject r1 by Ann", "freeze 4h0m0s by Ann",
		"refused freeze of r1 by Ann: to freeze all rollbacks takes the role admin",
		"roll back r1 by Ann", "mark wrong r1 by Ann", "snooze r1 at chat for 1h0m0s by Ann",
	}; !slices.Equal(d.asked, want) {
		t.Errorf("done %q", d.asked)
	}
}

func TestAGroupIsSilentWhileEachOfItThatIsOpenIsSilenced(t *testing.T) {
	for name, test := range map[string]struct {
		other string // the workload beside the one that a silence matches
		state release.MessageState
		told  int
	}{
		"another that is open and not silenced": {"cart", release.SaysRegressed, 1},
		"another that is over":                  {"cart", release.SaysRestored, 0},
		"another that is silenced too":          {"webapp", release.SaysRegressed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			of := samples()
			other := of[test.state]
			other.Workload.Name = test.other
			other.Labels = maps.Clone(other.Labels)
			other.Labels[message.LabelWorkload] = test.other
			out := &outlet{}
			r := &receiver{name: "chat", next: out, quiet: &silences{active: true}, log: slog.New(slog.DiscardHandler)}
			m := message.Together(message.KindGroup, "group-1", 1, []release.Message{of[release.SaysRegressed], other}, message.Places{}, time.Now())
			if _, err := r.Deliver(t.Context(), m, nil); err != nil || len(out.told) != test.told {
				t.Errorf("told %d times, %v", len(out.told), err)
			}
		})
	}
}

func TestThePolicyChoosesThePagerThatIsWoken(t *testing.T) {
	pay, rest := pagerdutytest.NewKey(), pagerdutytest.NewKey()
	pager := pagerdutytest.New(map[string]string{pay: "payments", rest: "everybody"})
	server := httptest.NewServer(pager.Handler())
	defer server.Close()
	dir := t.TempDir()
	for name, key := range map[string]string{"pay": pay, "rest": rest} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Parse("w.yaml", fmt.Appendf(nil, `
prometheus: {url: http://p}
receivers:
  - {name: payments, pagerduty: {url: %[1]q, routing_key_file: %[2]q}}
  - {name: everybody, pagerduty: {url: %[1]q, routing_key_file: %[3]q}}
route:
  receivers: [everybody]
  routes:
    - {receivers: [payments], matchers: ['policy="payments"']}
`, server.URL, filepath.Join(dir, "pay"), filepath.Join(dir, "rest")))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := cfg.Tree()
	if err != nil {
		t.Fatal(err)
	}
	r, err := openReceivers(cfg, nil, nil, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.closeAll()
	for _, policy := range []string{"payments", "default"} {
		m := samples()[release.SaysRegressed]
		m.Key = policy
		m.Labels = maps.Clone(m.Labels)
		m.Labels[message.LabelPolicy] = policy
		for _, name := range receiversOf(tree.Decide(m, time.Now(), nobody)) {
			if _, err := r.byName[name].Deliver(t.Context(), m, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	var woken []string
	for _, in := range pager.Incidents() {
		woken = append(woken, in.RoutingKey)
	}
	if !slices.Equal(woken, []string{"payments", "everybody"}) {
		t.Errorf("woken: %v", woken)
	}
}

package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/respond"
	"github.com/watchtower-verify/watchtower/internal/sink/slack/slacktest"
	"github.com/watchtower-verify/watchtower/internal/store"
)

const (
	clickChannel = "C024BE91L"
	clickSecret  = "sign-s3cr3t-4b"
	hookSecret   = "hook-s3cr3t-9e"
)

// yielding is a cluster in which every rollback works at once.
type yielding struct {
	mu        sync.Mutex
	rollbacks []release.RollbackRequest
}

func (c *yielding) ReplicaSets(context.Context, release.Workload) ([]release.RolloutReplicaSet, error) {
	return []release.RolloutReplicaSet{{ReplicaSet: release.ReplicaSet{Name: "webapp-1", UID: "r1", Revision: 1, Images: []release.Image{{Container: "app", Reference: "shop/webapp:v1"}}}}}, nil
}

func (c *yielding) Rollback(_ context.Context, req release.RollbackRequest) (release.RollbackResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rollbacks = append(c.rollbacks, req)
	return release.RollbackResult{Target: req.Target}, nil
}

func (c *yielding) Restored(context.Context, release.Workload, release.ReplicaSet) (bool, error) {
	return true, nil
}

func (c *yielding) Event(context.Context, release.Workload, string, string, string, bool) error {
	return nil
}

func (c *yielding) done() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.rollbacks)
}

// office is a Watchtower with a workspace of Slack and a cluster, wired as app
// wires it.
type office struct {
	t         *testing.T
	slack     *slacktest.Server
	cluster   *yielding
	store     *store.Store
	responder *respond.Responder
	hooks     *hooks
	log       *strings.Builder
	logged    *sync.Mutex
}

func newOffice(t *testing.T, limits respond.Limits) *office {
	t.Helper()
	o := &office{t: t, cluster: &yielding{}, log: &strings.Builder{}, logged: &sync.Mutex{}}
	o.slack = slacktest.New("xoxb-1", "xapp-1", slacktest.Channel{ID: clickChannel, Name: "deploys", Member: true})
	server := httptest.NewServer(o.slack.Handler())
	t.Cleanup(server.Close)
	dir := t.TempDir()
	for name, text := range map[string]string{"token": "xoxb-1", "app": "xapp-1", "signing": clickSecret, "hook": hookSecret, "key": strings.Repeat("k", 32)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Parse("w.yaml", []byte(strings.ReplaceAll(fmt.Sprintf(`
prometheus: {url: http://p}
receivers:
  - name: chat
    slack:
      token_file: DIR/token
      app_token_file: DIR/app
      signing_secret_file: DIR/signing
      channel: %s
      url: %s/api
      users:
        - {id: UADA, name: Ada, role: approve}
        - {id: UBOB, name: Bob, role: admin}
        - {id: UEVE, name: Eve, role: view}
  - name: pager
    pagerduty: {routing_key_file: DIR/key, url: %s/nothing-here, webhook_secret_file: DIR/hook}
`, clickChannel, server.URL, server.URL), "DIR", dir)))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(o, nil))
	if o.store, err = store.Open(t.Context(), filepath.Join(dir, "w.db"), log, store.ForCluster("lab")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.store.Close() })
	told, err := openReceivers(cfg, nil, o.store, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(told.closeAll)
	o.responder, err = respond.New(o.store, respond.Deps{
		Name: "lab", Cluster: o.cluster, Limits: limits, Notifiers: map[string]respond.Notifier{"chat": told.byName["chat"]}, InPlace: told.inPlace,
	}, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.responder.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	o.hooks = newHooks(cfg, told, o.responder, log)
	t.Cleanup(o.hooks.close)
	return o
}

// Write takes the log.
func (o *office) Write(p []byte) (int, error) {
	o.logged.Lock()
	defer o.logged.Unlock()
	return o.log.Write(p)
}

func (o *office) said() string {
	o.logged.Lock()
	defer o.logged.Unlock()
	return o.log.String()
}

// bad has a release regress, and answers with its message once it stands in Slack.
func (o *office) bad(name string, autonomy release.Autonomy) (release.Release, slacktest.Message) {
	o.t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	rel := release.Release{
		ID: release.NewID("lab", "uid-"+name, "r2"), Workload: release.Workload{Cluster: "lab", Namespace: "shop", Name: name, UID: "uid-" + name},
		ReplicaSet: release.ReplicaSet{Name: name + "-2", UID: "r2", Revision: 2, Images: []release.Image{{Container: "app", Reference: "shop/" + name + ":v2"}}},
		Previous:   &release.ReplicaSet{Name: name + "-1", UID: "r1", Revision: 1, Images: []release.Image{{Container: "app", Reference: "shop/" + name + ":v1"}}},
		StartedAt:  now, SeenAt: now,
	}
	e := 5200.0
	v := release.Verdict{
		Release: rel.ID, Kind: release.Regressed, Final: true, DecidedAt: &now, UpdatedAt: now, EValue: 2100, Threshold: 1000,
		Evidence: []release.Evidence{{Signal: release.SignalErrorRatio, Baseline: release.ArmStable, EValue: &e, Unit: release.UnitRatio, BaselineValue: 0.001, ReleaseValue: 0.049}},
	}
	p := release.DefaultPolicy()
	p.Autonomy, p.Issue = autonomy, false
	if err := o.responder.Decide(o.t.Context(), rel, v, p); err != nil {
		o.t.Fatal(err)
	}
	m := o.until(name, "regressed")
	// Nobody clicks in the moment between the post and its being written down.
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		d, found, err := o.store.Delivery(o.t.Context(), release.SinkKey(rel.ID, release.ActionMessage, "chat"))
		switch {
		case err != nil:
			o.t.Fatal(err)
		case found && d.ToldSequence > 0:
			return rel, m
		case time.Now().After(end):
			o.t.Fatalf("the message to Slack is not written down: %+v", d)
		}
	}
}

// until waits for the parent of a workload to say something.
func (o *office) until(name, says string) slacktest.Message {
	o.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, m := range o.slack.Parents(clickChannel) {
			if strings.Contains(m.Plain(), "/"+name+" ") && strings.Contains(m.Plain(), says) {
				return m
			}
		}
	}
	o.t.Fatalf("Slack does not say %q of %s: %+v\n%s", says, name, o.slack.Parents(clickChannel), o.said())
	return slacktest.Message{}
}

func (o *office) press(m slacktest.Message, offer release.Offer, user string) map[string]any {
	o.t.Helper()
	for _, b := range m.Buttons() {
		if strings.HasSuffix(b.ActionID, ":"+string(offer)) {
			return slacktest.Click(m, b, user)
		}
	}
	o.t.Fatalf("there is no button of %s: %+v", offer, m.Buttons())
	return nil
}

func (o *office) send(secret string, at time.Time, payload any) (*http.Request, int) {
	o.t.Helper()
	r, err := slacktest.Signed(o.t.Context(), "http://watchtower.example/hooks/slack/chat", secret, at, payload)
	if err != nil {
		o.t.Fatal(err)
	}
	return r, o.serve("/hooks/slack/chat", r)
}

func (o *office) serve(path string, r *http.Request) int {
	w := httptest.NewRecorder()
	o.hooks.handlers[path].ServeHTTP(w, r)
	return w.Code
}

// click presses a button over HTTP and answers with what the person alone is told.
func (o *office) click(m slacktest.Message, offer release.Offer, user string) string {
	o.t.Helper()
	before := len(o.slack.Ephemeral())
	if _, status := o.send(clickSecret, time.Now(), o.press(m, offer, user)); status != http.StatusOK {
		o.t.Fatalf("status %d: %s", status, o.said())
	}
	o.hooks.close() // waits for what is being said
	if e := o.slack.Ephemeral(); len(e) == before+1 {
		if e[before].To != user {
			o.t.Errorf("%s is told what is for %s", e[before].To, user)
		}
		return e[before].Text
	}
	return ""
}

func (o *office) audit(id release.ID) string {
	o.t.Helper()
	rows, err := o.store.Audit(o.t.Context(), id, 0)
	if err != nil {
		o.t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		out = append(out, r.Actor+" "+r.What+" "+r.Outcome+": "+r.Why)
	}
	return strings.Join(out, "\n")
}

var aTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

func (o *office) tells(what, got, want string) {
	o.t.Helper()
	if got = aTime.ReplaceAllString(got, "TIME"); got != want {
		o.t.Errorf("%s is told\n%s\nnot\n%s", what, got, want)
	}
}

func TestAClickInSlackRollsBackOnceAndEveryRefusalIsToldInFull(t *testing.T) {
	o := newOffice(t, respond.DefaultLimits())
	rel, m := o.bad("webapp", release.AutonomyAlert)
	id := string(rel.ID)
	o.tells("a stranger", o.click(m, release.OfferRollBack, "USTRANGER"),
		"You may not do that: it takes the role approve. Ask whoever runs Watchtower to give it to your Slack user USTRANGER.")
	o.tells("who may look", o.click(m, release.OfferMarkWrong, "UEVE"),
		"You may not do that: it takes the role approve. Ask whoever runs Watchtower to give it to your Slack user UEVE.")
	o.tells("who is no admin", o.click(m, release.OfferFreeze, "UADA"), "That could not be done: to freeze all rollbacks takes the role admin.")
	if o.cluster.done() != 0 {
		t.Fatal("rolled back by somebody without the role")
	}
	o.tells("who has the role", o.click(m, release.OfferRollBack, "UADA"), "")
	o.until("webapp", "the old version runs again")
	o.tells("a click on the message before", o.click(m, release.OfferRollBack, "UADA"),
		"That could not be done: release "+id+" was rolled back already: put back webapp-1 (v1, revision 1), the one before; none was judged healthy yet, as Ada asked.")
	if n := o.cluster.done(); n != 1 {
		t.Errorf("%d rollbacks", n)
	}
	audit := o.audit(rel.ID)
	for _, want := range []string{
		"Slack user USTRANGER roll_back refused: it takes the role approve; asked by a click in Slack",
		"Eve mark_wrong refused: it takes the role approve", "Ada freeze refused: to freeze all rollbacks takes the role admin",
		"Ada rollback asked for: a click in Slack", "Ada rollback refused: release " + id + " was rolled back already",
	} {
		if !strings.Contains(audit, want) {
			t.Errorf("%q is not in the audit:\n%s", want, audit)
		}
	}
}

func TestAClickInSlackMarksAVerdictWrong(t *testing.T) {
	o := newOffice(t, respond.DefaultLimits())
	rel, m := o.bad("webapp", release.AutonomyApprove)
	o.tells("who has the role", o.click(m, release.OfferMarkWrong, "UADA"), "")
	if p := o.until("webapp", "was called regressed wrongly, says Ada"); len(p.Buttons()) != 0 {
		t.Errorf("it still offers %+v", p.Buttons())
	}
	const gone = "the verdict of release ID was marked wrong by Ada at TIME"
	is := func(text string) string { return strings.ReplaceAll(text, "ID", string(rel.ID)) }
	o.tells("a double click", o.click(m, release.OfferMarkWrong, "UADA"), is("That could not be done: "+gone+" already."))
	o.tells("who approves on the old message", o.click(m, release.OfferApprove, "UBOB"),
		is("That could not be done: the rollback of release ID does not wait for anybody: it is refused (the verdict was marked wrong by Ada: a click in Slack)."))
	o.tells("who snoozes what is over", o.click(m, release.OfferSnooze, "UBOB"),
		is(`That could not be done: receiver "chat" was not told of anything about release ID that is still open.`))
	if o.cluster.done() != 0 {
		t.Error("it was rolled back")
	}
}

func TestAnApprovalThatExpiredIsToldInFull(t *testing.T) {
	limits := respond.DefaultLimits()
	limits.ApproveWithin = 10 * time.Millisecond // it has expired once the message stands
	o := newOffice(t, limits)
	rel, m := o.bad("webapp", release.AutonomyApprove)
	late := slacktest.Click(m, slacktest.Button{ActionID: "watchtower:approve", Value: string(rel.ID) + ".1"}, "UADA")
	if _, status := o.send(clickSecret, time.Now(), late); status != http.StatusOK {
		t.Fatalf("status %d: %s", status, o.said())
	}
	o.hooks.close()
	// Nobody may have looked yet at what has expired.
	got := aTime.ReplaceAllString(o.slack.Ephemeral()[0].Text, "TIME")
	if got != "That could not be done: the approval could be given until TIME." &&
		got != "That could not be done: the rollback of release "+string(rel.ID)+" does not wait for anybody: it is refused (nobody approved it until TIME)." {
		t.Errorf("told %q", got)
	}
	if o.cluster.done() != 0 {
		t.Error("it was rolled back")
	}
}

func TestASnoozeInSlackIsOfThatReceiverForAnHour(t *testing.T) {
	o := newOffice(t, respond.DefaultLimits())
	rel, m := o.bad("webapp", release.AutonomyAlert)
	until := time.Now().Add(time.Hour).UTC()
	if got := o.click(m, release.OfferSnooze, "UADA"); got != "Nothing more is said of it here until "+until.Format("15:04 UTC")+", but its end." &&
		got != "Nothing more is said of it here until "+until.Add(time.Minute).Format("15:04 UTC")+", but its end." {
		t.Errorf("told %q", got)
	}
	d, found, err := o.store.Delivery(t.Context(), release.SinkKey(rel.ID, release.ActionMessage, "chat"))
	if err != nil || !found || !d.Snoozed(time.Now().Add(59*time.Minute)) || d.Snoozed(time.Now().Add(61*time.Minute)) {
		t.Errorf("%+v, %v, %v", d, found, err)
	}
}

func TestClicksThatSlackDidNotSendNowAreToldInTheLog(t *testing.T) {
	o := newOffice(t, respond.DefaultLimits())
	_, m := o.bad("webapp", release.AutonomyApprove)
	press := o.press(m, release.OfferApprove, "UADA")
	for _, test := range []struct {
		name   string
		secret string
		at     time.Time
		says   string
	}{
		{"a clock that is off by more than five minutes", clickSecret, time.Now().Add(-6 * time.Minute), "the request is older than five minutes: it was replayed, or the clock here is wrong"},
		{"a clock that is off the other way", clickSecret, time.Now().Add(6 * time.Minute), "the request is older than five minutes: it was replayed, or the clock here is wrong"},
		{"a wrong secret", "guessed", time.Now(), "the signature is wrong: signing_secret_file must hold the Signing Secret of the app"},
	} {
		if _, status := o.send(test.secret, test.at, press); status != http.StatusUnauthorized || !strings.Contains(o.said(), `err="`+test.says+`"`) {
			t.Errorf("%s: status %d, %s", test.name, status, o.said())
		}
	}
	if o.cluster.done() != 0 {
		t.Fatal("it was rolled back")
	}
	first, status := o.send(clickSecret, time.Now(), press)
	again := first.Clone(t.Context())
	again.Body, _ = first.GetBody()
	if replayed := o.serve("/hooks/slack/chat", again); status != http.StatusOK || replayed != http.StatusUnauthorized || !strings.Contains(o.said(), `err="the request was taken before"`) {
		t.Errorf("first %d, replayed %d: %s", status, replayed, o.said())
	}
	o.until("webapp", "the old version runs again")
	if n := o.cluster.done(); n != 1 {
		t.Errorf("%d rollbacks", n)
	}
	if strings.Contains(o.said(), clickSecret) {
		t.Error("the secret is logged")
	}
}

func TestAClickInSocketModeIsDoneAsOneOverHTTP(t *testing.T) {
	o := newOffice(t, respond.DefaultLimits())
	_, m := o.bad("webapp", release.AutonomyAlert)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- o.hooks.sockets[0](ctx) }()
	for end := time.Now().Add(20 * time.Second); o.slack.Connected() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nobody listens: %s", o.said())
		}
	}
	for range 2 { // a double click
		if err := o.slack.Push(ctx, o.press(m, release.OfferRollBack, "UADA")); err != nil {
			t.Fatal(err)
		}
	}
	o.until("webapp", "the old version runs again")
	if n := o.cluster.done(); n != 1 {
		t.Errorf("%d rollbacks", n)
	}
	o.hooks.close()
	if e := o.slack.Ephemeral(); len(e) != 1 || !strings.HasPrefix(e[0].Text, "That could not be done: release ") {
		t.Errorf("told %+v", e)
	}
	cancel()
	<-ended //nolint:errcheck // it was ended
	o.slack.Hangup()
}

func TestWhoAcknowledgedAtPagerDutyStandsInSlack(t *testing.T) {
	o := newOffice(t, respond.DefaultLimits())
	rel, m := o.bad("webapp", release.AutonomyAlert)
	body, err := json.Marshal(map[string]any{"event": map[string]any{
		"id": "e1", "event_type": "incident.acknowledged", "resource_type": "incident", "occurred_at": "2026-03-04T12:01:30.500Z",
		"agent": map[string]any{"summary": "Ada Lovelace"}, "data": map[string]any{"incident_key": m.Metadata.EventPayload["key"], "html_url": "https://acme.example/1"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write(body)
	for range 2 { // PagerDuty may tell it twice
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks/pagerduty/pager", strings.NewReader(string(body)))
		r.Header.Set("X-PagerDuty-Signature", "v1="+hex.EncodeToString(mac.Sum(nil)))
		r.Header.Set("Content-Type", "application/json")
		if status := o.serve("/hooks/pagerduty/pager", r); status != http.StatusOK {
			t.Fatalf("status %d: %s", status, o.said())
		}
	}
	p := o.until("webapp", "acknowledged by Ada Lovelace in PagerDuty, 2026-03-04 12:01 UTC")
	if p.TS != m.TS || len(p.Buttons()) != len(m.Buttons()) {
		t.Errorf("it was not changed in place: %+v", p)
	}
	if n := strings.Count(o.audit(rel.ID), "Ada Lovelace incident acknowledged: at PagerDuty, 2026-03-04T12:01:30Z"); n != 1 {
		t.Errorf("%d rows of it:\n%s", n, o.audit(rel.ID))
	}
}

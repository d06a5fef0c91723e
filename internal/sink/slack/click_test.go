package slack

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
	"github.com/watchtower-verify/watchtower/internal/sink/slack/slacktest"
)

const signing = "sign-s3cr3t-4b"

// desk decides clicks and remembers them.
type desk struct {
	mu     sync.Mutex
	clicks []Click
	err    error
}

func (d *desk) decide(_ context.Context, c Click) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return "", d.err
	}
	d.clicks = append(d.clicks, c)
	return "noted", nil
}

func (d *desk) taken() []Click {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clicks
}

func (w *world) clicks(d *desk) *Clicks {
	return &Clicks{
		SigningSecretFile: sinktest.File(w.t, signing), Decide: d.decide, Reply: w.sink().Whisper, Log: w.cfg.Log,
		People: map[string]Person{"UADA": {Name: "ada", Role: "approve"}, "UEVE": {Name: "eve", Role: "view"}},
	}
}

func (w *world) button(o release.Offer) (slacktest.Message, slacktest.Button) {
	w.t.Helper()
	m := sinktest.Regressed("abc")
	m.Offers = []release.Offer{release.OfferApprove, release.OfferReject, release.OfferRollBack, release.OfferFreeze, release.OfferMarkWrong, release.OfferSnooze}
	w.deliver(nil, m)
	p := w.parent()
	for _, b := range p.Buttons() {
		if b.ActionID == actionPrefix+string(o) {
			if b.Confirm == nil || strings.Contains(b.Value, "shop") {
				w.t.Errorf("the button of %s asks nothing or holds a name: %+v", o, b)
			}
			return p, b
		}
	}
	w.t.Fatalf("there is no button of %s", o)
	return p, slacktest.Button{}
}

func (w *world) post(h http.Handler, secret string, at time.Time, payload any) (*http.Request, int) {
	w.t.Helper()
	r, err := slacktest.Signed(w.t.Context(), "http://watchtower.example/hooks/slack", secret, at, payload)
	if err != nil {
		w.t.Fatal(err)
	}
	return r, send(h, r)
}

func send(h http.Handler, r *http.Request) int {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Code
}

func TestAClickOfSomebodyWithTheRoleIsDecided(t *testing.T) {
	w, d := newWorld(t, sinktest.Settings{}), &desk{}
	h := w.clicks(d)
	p, b := w.button(release.OfferApprove)
	if _, status := w.post(h, signing, time.Now(), slacktest.Click(p, b, "UADA")); status != 200 {
		t.Fatalf("status %d: %s", status, w.log())
	}
	h.Close()
	if len(d.taken()) != 1 {
		t.Fatalf("%d clicks", len(d.taken()))
	}
	if c := d.taken()[0]; c.Offer != release.OfferApprove || c.Release != "abc" || c.Sequence != 2 || c.Person.Name != "ada" || c.ID == "" {
		t.Errorf("got %+v", c)
	}
	if e := w.slack.Ephemeral(); len(e) != 1 || e[0].Text != "noted" || e[0].To != "UADA" {
		t.Errorf("told %+v", e)
	}
}

func TestWhoMayNotIsToldSoAlone(t *testing.T) {
	for _, user := range []string{"UEVE", "USTRANGER"} {
		w, d := newWorld(t, sinktest.Settings{}), &desk{}
		h := w.clicks(d)
		p, b := w.button(release.OfferRollBack)
		if _, status := w.post(h, signing, time.Now(), slacktest.Click(p, b, user)); status != 200 || len(d.taken()) != 0 {
			t.Errorf("status %d, decided %v", status, d.taken())
		}
		h.Close()
		if e := w.slack.Ephemeral(); len(e) != 1 || e[0].To != user || !strings.Contains(e[0].Text, "approve") {
			t.Errorf("told %+v", e)
		}
	}
}

func TestAnExpiredApprovalIsToldInWords(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{release.E(release.CodeVoid, "the approval expired at 03:14", errors.New("detail")), "the approval expired at 03:14"},
		{errors.New("database is away: password x"), "try again"},
	} {
		w, d := newWorld(t, sinktest.Settings{}), &desk{err: c.err}
		h := w.clicks(d)
		p, b := w.button(release.OfferApprove)
		w.post(h, signing, time.Now(), slacktest.Click(p, b, "UADA"))
		h.Close()
		if e := w.slack.Ephemeral(); len(e) != 1 || !strings.Contains(e[0].Text, c.want) || strings.Contains(e[0].Text, "password") || strings.Contains(e[0].Text, "detail") {
			t.Errorf("told %+v", e)
		}
	}
}

func TestRequestsThatSlackDidNotSendAreRefused(t *testing.T) {
	w, d := newWorld(t, sinktest.Settings{}), &desk{}
	h := w.clicks(d)
	p, b := w.button(release.OfferApprove)
	click := slacktest.Click(p, b, "UADA")
	for title, c := range map[string]struct {
		secret string
		at     time.Time
		want   string
	}{
		"a wrong secret":  {"guessed", time.Now(), "signing_secret_file"},
		"too old":         {signing, time.Now().Add(-6 * time.Minute), "clock"},
		"from the future": {signing, time.Now().Add(6 * time.Minute), "clock"},
	} {
		if _, status := w.post(h, c.secret, c.at, click); status != 401 || len(d.taken()) != 0 || !strings.Contains(w.log(), c.want) {
			t.Errorf("%s: status %d, %s", title, status, w.log())
		}
	}
	first, status := w.post(h, signing, time.Now(), click)
	replay := first.Clone(t.Context())
	replay.Body, _ = first.GetBody()
	if again := send(h, replay); status != 200 || again != 401 || len(d.taken()) != 1 {
		t.Errorf("first %d, replayed %d, decided %d times", status, again, len(d.taken()))
	}
	tampered, _ := slacktest.Signed(t.Context(), "http://watchtower.example", signing, time.Now(), click)
	tampered.Body = http.NoBody
	unsigned := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("payload=%7B%7D"))
	get := httptest.NewRequest(http.MethodGet, "/", nil)
	for r, want := range map[*http.Request]int{tampered: 401, unsigned: 401, get: 405} {
		if got := send(h, r); got != want {
			t.Errorf("%s %s: status %d, want %d", r.Method, r.URL, got, want)
		}
	}
	if _, status := w.post(&Clicks{Log: w.cfg.Log}, signing, time.Now(), click); status != 401 {
		t.Errorf("without a secret: status %d", status)
	}
	h.Close()
	if strings.Contains(w.log(), signing) {
		t.Error("the secret is logged")
	}
}

func TestOtherPayloadsDoNothing(t *testing.T) {
	w, d := newWorld(t, sinktest.Settings{}), &desk{}
	h := w.clicks(d)
	p, b := w.button(release.OfferApprove)
	foreign, broken := b, b
	foreign.ActionID, broken.Value = "other-app", "no-release"
	for want, payload := range map[int][]any{
		200: {map[string]any{"type": "view_closed"}, slacktest.Click(p, foreign, "UADA")},
		400: {slacktest.Click(p, broken, "UADA"), []int{1}, "text"},
	} {
		for i, each := range payload {
			if _, status := w.post(h, signing, time.Now(), each); status != want || len(d.taken()) != 0 {
				t.Errorf("%d/%d: status %d, decided %v", want, i, status, d.taken())
			}
		}
	}
	h.Close()
}

func TestSocketModeTakesClicksAndConnectsAgain(t *testing.T) {
	w, d := newWorld(t, sinktest.Settings{}), &desk{}
	h := w.clicks(d)
	p, b := w.button(release.OfferReject)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	s := w.sink()
	go func() { ended <- s.Listen(ctx, sinktest.File(t, appToken), h) }()
	for n := 1; n <= 2; n++ {
		for push := func() error {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			return w.slack.Push(ctx, slacktest.Click(p, b, "UADA"))
		}; push() != nil; {
			select {
			case err := <-ended:
				t.Fatalf("it listens no more: %v", err)
			case <-time.After(20 * time.Millisecond):
			}
		}
		if len(d.taken()) < n {
			t.Errorf("%d clicks after %d", len(d.taken()), n)
		}
		w.slack.Hangup()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	h.Close()
}

func TestAnAppTokenThatIsRefusedNamesItsSetting(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	err := w.sink().Listen(t.Context(), sinktest.File(t, "xapp-wrong-token"), w.clicks(&desk{}))
	if release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), "app_token_file") || strings.Contains(err.Error(), "xapp-wrong-token") {
		t.Errorf("got %v", err)
	}
	if err := w.sink().Listen(t.Context(), "/no/such/file", w.clicks(&desk{})); !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("got %v", err)
	}
}

func FuzzClick(f *testing.F) {
	f.Add([]byte(`{"type":"block_actions","user":{"id":"UADA"},"actions":[{"action_id":"watchtower:approve","value":"abc.2","action_ts":"1"}]}`))
	f.Add([]byte(`{"type":"block_actions","actions":[{"action_id":"watchtower:approve","value":"."}]}`))
	f.Add([]byte(`null`))
	log, _ := sinktest.Log()
	f.Fuzz(func(t *testing.T, payload []byte) {
		h := &Clicks{Log: log, People: map[string]Person{"UADA": {Name: "ada", Role: "approve"}}, Decide: func(_ context.Context, c Click) (string, error) {
			if c.Release == "" || c.Person.Role != "approve" || offers[c.Offer].label == "" {
				t.Errorf("decided %+v", c)
			}
			return "", nil
		}}
		_ = h.take(t.Context(), payload)
	})
}

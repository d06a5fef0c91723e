package webhook

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/invopop/jsonschema"
	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
	"github.com/watchtower-verify/watchtower/internal/sink/webhook/webhooktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret = "hook-s3cr3t-77"
	bearer = "bearer-s3cr3t-88"
)

type world struct {
	hook  *webhooktest.Server
	place sinktest.Place
	cfg   Config
}

func newWorld(t *testing.T, s sinktest.Settings) *world {
	hook := webhooktest.New(secret)
	p := sinktest.Serve(t, hook.Handler(), s)
	return &world{hook, p, Config{
		Name: "ci", URL: p.URL + "/hooks", SecretFiles: []string{sinktest.File(t, secret)}, BearerTokenFile: sinktest.File(t, bearer),
		CAFile: p.CAFile, ProxyURL: p.ProxyURL, Timeout: p.Timeout,
	}}
}

func (w *world) sink(t *testing.T) *Sink {
	t.Helper()
	s, err := New(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// shown are the keys that events told of, with all of them.
func (w *world) shown() (out []sinktest.Shown) {
	var keys []string
	for _, e := range w.hook.Events() {
		var d Data
		_ = json.Unmarshal(e.Data, &d)
		i := slices.Index(keys, d.Key)
		if i < 0 {
			i, keys, out = len(keys), append(keys, d.Key), append(out, sinktest.Shown{First: d.Headline})
		}
		out[i].Text += string(e.Data) + "\n"
	}
	return out
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Subject{
		Name: "webhook (receiver ci)", SecretSetting: "secret_file",
		New: func(t *testing.T, s sinktest.Settings) sinktest.World {
			w := newWorld(t, s)
			_, log := sinktest.Log()
			return sinktest.World{
				Start: func() sinktest.Sink { return w.sink(t) }, Door: &w.hook.Door, Shown: w.shown,
				Secrets: []string{secret, bearer}, Log: log, Revoke: func() { w.hook.Change("another") },
			}
		},
	})
}

func TestAnEventIsACloudEventToOthersToo(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("abc")
	m.HowBad[0].Before, m.HowBad[0].Interval.High = math.NaN(), math.Inf(1)
	if _, err := w.sink(t).Deliver(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(w.hook.Events()[0])
	if err != nil {
		t.Fatal(err)
	}
	var e event.Event
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
	var d Data
	if err := e.DataAs(&d); err != nil {
		t.Fatal(err)
	}
	if e.ID() != "watchtower/abc/2" || e.Type() != "dev.watchtower.release.regressed" || e.Subject() != "shop/webapp" || e.Source() != "/watchtower/lab" {
		t.Errorf("got %s", e)
	}
	if c := d.HowBad[0]; c.Before != nil || c.High != nil || *c.Now != 0.049 || *c.Low != 12 {
		t.Errorf("got %+v", c)
	}
}

func TestTheSchemaIsThatOfTheEvent(t *testing.T) {
	const file = "../../../docs/receivers/webhook.schema.json"
	r := jsonschema.Reflector{DoNotReference: true, AllowAdditionalProperties: true}
	want, err := json.MarshalIndent(r.Reflect(&Event{}), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if os.Getenv("UPDATE_SCHEMA") != "" {
		if err := os.WriteFile(file, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not that of the event (%v): UPDATE_SCHEMA=1 go test ./internal/sink/webhook", file, err)
	}
}

func TestWhileASecretIsChangedBothCount(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.cfg.SecretFiles = append(w.cfg.SecretFiles, sinktest.File(t, "the next one"[4:8]))
	s := w.sink(t)
	for i, known := range []string{secret, "next"} {
		w.hook.Change(known)
		m := sinktest.Regressed(release.ID([]string{"a", "b"}[i]))
		if _, err := s.Deliver(t.Context(), m, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestALostAnswerIsTheSameEventAgain(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("abc")
	s := w.sink(t)
	for range 2 {
		if _, err := s.Deliver(t.Context(), m, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.hook.Events()) != 1 || w.hook.Again() != 1 {
		t.Errorf("%d events, %d again", len(w.hook.Events()), w.hook.Again())
	}
}

func TestSignaturesAreOfTheTimeToo(t *testing.T) {
	at := time.Unix(1767323045, 0)
	got := Sign([]byte(`{"a":1}`), at, "key")
	// printf '1767323045.{"a":1}' | openssl dgst -sha256 -hmac key
	if want := "t=1767323045,v1=7a74ddb6c5eee22d6198e210cf7a4aae6004fa7dc07f66752779c1d480cc319f"; got != want {
		t.Errorf("got %s", got)
	}
	if Sign([]byte(`{"a":1}`), at.Add(time.Second), "key")[len("t=1767323045"):] == got[len("t=1767323045"):] {
		t.Error("the time is not signed")
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	for want, cfg := range map[string]Config{
		"url":         {Name: "ci", URL: "https://u:s3cret@hooks.example", SecretFiles: []string{"f"}},
		"secret_file": {Name: "ci", URL: "https://hooks.example"},
	} {
		if _, err := New(cfg); release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

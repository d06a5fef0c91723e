package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/email"
	"github.com/watchtower-verify/watchtower/internal/sink/grafana"
	"github.com/watchtower-verify/watchtower/internal/sink/pagerduty"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
	"github.com/watchtower-verify/watchtower/internal/sink/slack"
	"github.com/watchtower-verify/watchtower/internal/sink/webhook"
)

// started is the command as it runs, and the configuration it wrote.
func started(t testing.TB) (base, dir string, cfg *config.Config) {
	t.Helper()
	address, mail := sinktest.Nowhere(t), sinktest.Nowhere(t)
	dir = t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, address, mail, dir) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	base = "http://" + address
	for range 500 {
		// It answers once all is written.
		if resp, err := http.Get(base + "/received"); err == nil {
			resp.Body.Close()
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	receivers, err := os.ReadFile(filepath.Join(dir, "watchtower-receivers.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(dir, "watchtower.yaml")
	if err := os.WriteFile(whole, append([]byte("cluster: lab\nprometheus: {url: http://127.0.0.1:9090}\n"), receivers...), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, err = config.Load(whole); err != nil {
		t.Fatal(err)
	}
	return base, dir, cfg
}

// sinkOf is the sink of a receiver.
func sinkOf(r config.Receiver, dir string) (sinktest.Sink, error) {
	switch {
	case r.PagerDuty != nil:
		return pagerduty.New(pagerduty.Config{Name: r.Name, RoutingKeyFile: r.PagerDuty.RoutingKeyFile, URL: r.PagerDuty.URL, Changes: r.PagerDuty.Changes})
	case r.Slack != nil:
		return slack.New(slack.Config{Name: r.Name, TokenFile: r.Slack.TokenFile, Channel: r.Slack.Channel, URL: r.Slack.URL, Curves: true})
	case r.Grafana != nil:
		return grafana.New(grafana.Config{Name: r.Name, URL: r.Grafana.URL, TokenFile: r.Grafana.TokenFile})
	case r.Webhook != nil:
		return webhook.New(webhook.Config{Name: r.Name, URL: r.Webhook.URL, SecretFiles: []string{filepath.Join(dir, "hook-secret")}})
	case r.Email != nil:
		return email.New(email.Config{Name: r.Name, Server: r.Email.Server, From: r.Email.From, To: r.Email.To, User: r.Email.User, PasswordFile: r.Email.PasswordFile, CAFile: r.Email.Connection.CAFile})
	}
	return nil, errors.New("no receiver")
}

func TestWhatEachReceiverWasToldIsShown(t *testing.T) {
	base, dir, cfg := started(t)
	if len(cfg.Receivers) != 5 {
		t.Fatalf("%d receivers", len(cfg.Receivers))
	}
	m := sinktest.Regressed("abc")
	for _, r := range cfg.Receivers {
		s, err := sinkOf(r, dir)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := s.Deliver(t.Context(), m, nil)
		if err == nil {
			_, err = s.Deliver(t.Context(), sinktest.Then(m, release.SaysRestored, "shop/webapp runs 1.4.0 again"), ref)
		}
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		s.Close()
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal([]byte(ask(t, http.MethodGet, base+"/received", "", http.StatusOK)), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pagerduty", "slack", "grafana", "webhook", "email"} {
		if !strings.Contains(string(got[name]), "runs 1.4.0 again") {
			t.Errorf("%s shows %s", name, got[name])
		}
	}
}

func TestAStandInFailsOnDemand(t *testing.T) {
	base, dir, cfg := started(t)
	ask(t, http.MethodPost, base+"/fault?at=pagerduty", `{"status": 503, "retry_after": 5}`, http.StatusOK)
	s, err := sinkOf(cfg.Receivers[0], dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := sinktest.Regressed("abc")
	if _, err := s.Deliver(t.Context(), m, nil); release.ErrorCode(err) != release.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	ask(t, http.MethodDelete, base+"/fault?at=pagerduty", "", http.StatusOK)
	if _, err := s.Deliver(t.Context(), m, nil); err != nil {
		t.Error(err)
	}
	ask(t, http.MethodPost, base+"/fault?at=pager", `{}`, http.StatusBadRequest)
	ask(t, http.MethodPost, base+"/fault?at=slack", `{"stauts": 1}`, http.StatusBadRequest)
}

func TestWhatPeopleBreakStaysBroken(t *testing.T) {
	for _, test := range []struct {
		receiver int
		what     string
		says     string
	}{
		{0, "pagerduty/key", "routing_key_file"},
		{1, "slack/token", "token_revoked"},
		{1, "slack/scope", "chat:write"},
		{1, "slack/archive", "is_archived"},
		{1, "slack/uninvite", "not_in_channel"},
		{2, "grafana/token", "401"},
		{2, "grafana/read-only", "403"},
		{3, "webhook/secret", "401"},
		{4, "email/password", "password_file"},
	} {
		base, dir, cfg := started(t)
		s, err := sinkOf(cfg.Receivers[test.receiver], dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Deliver(t.Context(), sinktest.Regressed("before"), nil); err != nil {
			t.Errorf("before %s: %v", test.what, err)
		}
		ask(t, http.MethodPost, base+"/break?what="+test.what, "", http.StatusOK)
		if _, err := s.Deliver(t.Context(), sinktest.Regressed("after"), nil); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("after %s: %v", test.what, err)
		}
		s.Close()
	}
	base, _, _ := started(t)
	if text := ask(t, http.MethodPost, base+"/break?what=nothing", "", http.StatusBadRequest); !strings.Contains(text, "slack/token") {
		t.Error(text)
	}
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:1", "here"} {
		if l, err := listen(t.Context(), address); err == nil {
			l.Close()
			t.Errorf("%s was listened on", address)
		}
	}
}

func ask(t *testing.T, method, target, body string, want int) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Errorf("%s %s: %s %s, %v", method, target, resp.Status, text, err)
	}
	return string(text)
}

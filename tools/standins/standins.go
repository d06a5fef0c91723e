package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/sink/email/smtptest"
	"github.com/watchtower-verify/watchtower/internal/sink/grafana/grafanatest"
	"github.com/watchtower-verify/watchtower/internal/sink/pagerduty/pagerdutytest"
	"github.com/watchtower-verify/watchtower/internal/sink/slack/slacktest"
	"github.com/watchtower-verify/watchtower/internal/sink/standin"
	"github.com/watchtower-verify/watchtower/internal/sink/webhook/webhooktest"
)

// The secrets are no secrets: they open the stand-ins alone.
const (
	slackToken   = "xoxb-standin-token"
	slackApp     = "xapp-standin-token"
	grafanaToken = "glsa_standin_token"
	hookSecret   = "standin-hook-secret"
	mailUser     = "watchtower"
	mailPassword = "standin-mail-password"
	channel      = "C024BE91L"
)

// all are the stand-ins.
type all struct {
	routingKey string
	pagerduty  *pagerdutytest.Server
	slack      *slacktest.Server
	grafana    *grafanatest.Server
	webhook    *webhooktest.Server
	mail       *smtptest.Server
	authority  []byte // PEM, by which the mail server is trusted
}

func newAll() (*all, error) {
	key := pagerdutytest.NewKey()
	certificate, authority, err := selfSigned()
	if err != nil {
		return nil, err
	}
	return &all{
		authority:  authority,
		routingKey: key,
		pagerduty:  pagerdutytest.New(map[string]string{key: "webapp"}),
		slack:      slacktest.New(slackToken, slackApp, slacktest.Channel{ID: channel, Name: "deploys", Member: true}),
		grafana:    grafanatest.New(map[string]int64{grafanaToken: 1}),
		webhook:    webhooktest.New(hookSecret),
		mail:       smtptest.New(mailUser, mailPassword, certificate),
	}, nil
}

// breaks are the ways in which people break a receiver there.
func (a *all) breaks() map[string]func() {
	return map[string]func(){
		"pagerduty/key":     func() { a.pagerduty.Revoke(a.routingKey) },
		"slack/token":       a.slack.Revoke,
		"slack/scope":       func() { a.slack.Forbid("chat:write") },
		"slack/archive":     func() { a.slack.Put(slacktest.Channel{ID: channel, Name: "deploys", Archived: true, Member: true}) },
		"slack/uninvite":    func() { a.slack.Put(slacktest.Channel{ID: channel, Name: "deploys"}) },
		"grafana/token":     func() { a.grafana.Revoke(grafanaToken) },
		"grafana/read-only": func() { a.grafana.ReadOnly(grafanaToken) },
		"webhook/secret":    func() { a.webhook.Change("another-secret-of-the-hook") },
		"email/password":    func() { a.mail.Change("another-password-of-the-mail") },
	}
}

func (a *all) doors() map[string]*standin.Door {
	return map[string]*standin.Door{
		"pagerduty": &a.pagerduty.Door, "slack": &a.slack.Door, "grafana": &a.grafana.Door, "webhook": &a.webhook.Door, "email": &a.mail.Door,
	}
}

// handler serves each stand-in below its name, and what they got.
func (a *all) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/pagerduty/", http.StripPrefix("/pagerduty", a.pagerduty.Handler()))
	// Slack answers addresses of its own, which have no room for a prefix.
	slack := a.slack.Handler()
	mux.Handle("/api/", slack)
	mux.Handle("/upload/", slack)
	mux.Handle("/socket", slack)
	mux.Handle("/grafana/", http.StripPrefix("/grafana", a.grafana.Handler()))
	mux.Handle("/webhook", a.webhook.Handler())
	mux.HandleFunc("GET /received", a.received)
	mux.HandleFunc("POST /fault", a.fault)
	mux.HandleFunc("DELETE /fault", a.fault)
	mux.HandleFunc("POST /break", a.broken)
	return mux
}

// received answers what each stand-in shows.
func (a *all) received(w http.ResponseWriter, _ *http.Request) {
	var threads []any
	for _, p := range a.slack.Parents(channel) {
		var answers []string
		for _, r := range a.slack.Thread(p.TS) {
			text := r.Plain()
			for _, f := range r.Files {
				text = strings.TrimSpace(text + " [" + f.Name + ": " + f.AltText + "]")
			}
			answers = append(answers, text)
		}
		threads = append(threads, map[string]any{"text": p.Text, "shown": p.Plain(), "changed": p.Edits, "thread": answers})
	}
	standin.JSON(w, http.StatusOK, map[string]any{
		"pagerduty": map[string]any{"incidents": a.pagerduty.Incidents(), "changes": a.pagerduty.Changes()},
		"slack":     threads, "grafana": a.grafana.Annotations(), "webhook": a.webhook.Events(), "email": a.mail.Mails(),
	})
}

// fault makes the stand-in that is named in at fail, or mends it.
func (a *all) fault(w http.ResponseWriter, r *http.Request) {
	door := a.doors()[r.URL.Query().Get("at")]
	if door == nil {
		http.Error(w, "at must be pagerduty, slack, grafana, webhook or email", http.StatusBadRequest)
		return
	}
	if r.Method == http.MethodDelete {
		door.Mend()
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	var f standin.Fault
	if err == nil {
		err = standin.Strict(body, &f)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	door.Fail(f)
}

// broken breaks what is named in what, for good.
func (a *all) broken(w http.ResponseWriter, r *http.Request) {
	breaks := a.breaks()
	f := breaks[r.URL.Query().Get("what")]
	if f == nil {
		http.Error(w, "what must be one of "+strings.Join(slices.Sorted(maps.Keys(breaks)), ", "), http.StatusBadRequest)
		return
	}
	f()
}

// run serves until ctx ends.
func run(ctx context.Context, address, mail, dir string) error {
	a, err := newAll()
	if err != nil {
		return err
	}
	l, err := listen(ctx, address)
	if err != nil {
		return err
	}
	defer l.Close()
	m, err := listen(ctx, mail)
	if err != nil {
		return err
	}
	defer m.Close()
	if dir != "" {
		if err := a.write(dir, "http://"+l.Addr().String(), m.Addr().String()); err != nil {
			return err
		}
	}
	server := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 2)
	go func() { ended <- server.Serve(l) }()
	go func() { ended <- a.mail.Serve(m) }()
	fmt.Printf("stand-ins at http://%s (see /received), mail at %s\n", l.Addr(), m.Addr())
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	a.slack.Hangup()
	err = errors.Join(err, server.Close(), a.mail.Close())
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// write writes the receivers as a configuration names them, and their secrets.
func (a *all) write(dir, base, mail string) error {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return err
	}
	files := map[string]string{
		"routing-key": a.routingKey, "slack-token": slackToken, "slack-app-token": slackApp, "grafana-token": grafanaToken, "hook-secret": hookSecret,
		"mail-password": mailPassword, "mail-ca.pem": string(a.authority), "url": base,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	// The configuration appears last and whole: who waits for it finds the rest.
	whole := filepath.Join(dir, "watchtower-receivers.yaml")
	if err := os.WriteFile(whole+".new", []byte(a.config(dir, base, mail)), 0o600); err != nil {
		return err
	}
	return os.Rename(whole+".new", whole)
}

func (a *all) config(dir, base, mail string) string {
	file := func(name string) string { return strconv.Quote(filepath.Join(dir, name)) }
	return `receivers:
  - name: pager
    pagerduty: {routing_key_file: ` + file("routing-key") + `, url: "` + base + `/pagerduty", changes: true}
  - name: deploys
    slack: {token_file: ` + file("slack-token") + `, channel: ` + channel + `, url: "` + base + `/api/", curves: true}
  - name: boards
    grafana: {url: "` + base + `/grafana", token_file: ` + file("grafana-token") + `}
  - name: hook
    webhook: {url: "` + base + `/webhook", secret_file: ` + file("hook-secret") + `}
  - name: list
    email: {server: "` + mail + `", from: watchtower@example.com, to: [ops@example.com], user: ` + mailUser + `, password_file: ` + file("mail-password") + `, connection: {ca_file: ` + file("mail-ca.pem") + `}}
`
}

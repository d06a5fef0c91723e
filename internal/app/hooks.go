package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/respond"
	"github.com/watchtower-verify/watchtower/internal/sink/pagerduty"
	"github.com/watchtower-verify/watchtower/internal/sink/slack"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// decided are the offers that a click can take up.
var decided = []release.Offer{release.OfferApprove, release.OfferReject, release.OfferFreeze}

// frozenFor is how long a click on freeze lasts.
const frozenFor = 4 * time.Hour

// listens reports whether clicks on a receiver's buttons are taken.
func listens(s *config.Slack) bool { return s.AppTokenFile != "" || s.SigningSecretFile != "" }

// hooks are where receivers tell Watchtower something.
type hooks struct {
	handlers map[string]http.Handler // by their path
	sockets  []func(ctx context.Context) error
	clicks   []*slack.Clicks
}

// newHooks answers what people do at receivers.
func newHooks(cfg *config.Config, r *receivers, responder *respond.Responder, st *store.Store, log *slog.Logger) *hooks {
	h := &hooks{handlers: map[string]http.Handler{}}
	for _, c := range cfg.Receivers {
		switch {
		case c.Slack != nil && r.slack[c.Name] != nil:
			h.slack(c.Name, c.Slack, r.slack[c.Name], responder, log)
		case c.PagerDuty != nil && c.PagerDuty.WebhookSecretFile != "":
			h.handlers["/hooks/pagerduty/"+c.Name] = &pagerduty.Webhook{
				SecretFiles: []string{c.PagerDuty.WebhookSecretFile}, Log: log, Told: acknowledged(st),
			}
		}
	}
	return h
}

func (h *hooks) slack(name string, c *config.Slack, s *slack.Sink, responder *respond.Responder, log *slog.Logger) {
	people := map[string]slack.Person{}
	for _, u := range c.Users {
		people[u.ID] = slack.Person{Name: u.Name, Role: u.Role}
	}
	clicks := &slack.Clicks{SigningSecretFile: c.SigningSecretFile, People: people, Decide: decide(responder), Reply: s.Whisper, Log: log}
	h.clicks = append(h.clicks, clicks)
	if c.SigningSecretFile != "" {
		h.handlers["/hooks/slack/"+name] = clicks
	}
	if c.AppTokenFile != "" {
		h.sockets = append(h.sockets, func(ctx context.Context) error { return listen(ctx, s, c.AppTokenFile, clicks, log) })
	}
}

const (
	listenAgain    = 10 * time.Second
	listenAgainMax = 5 * time.Minute
)

// listen takes clicks until ctx ends. A token that Slack does not take, or that
// is not there yet, is tried again: the rest of Watchtower goes on.
func listen(ctx context.Context, s *slack.Sink, appTokenFile string, clicks *slack.Clicks, log *slog.Logger) error {
	for wait := listenAgain; ; wait = min(2*wait, listenAgainMax) {
		err := s.Listen(ctx, appTokenFile, clicks)
		if ctx.Err() != nil || err == nil {
			return ctx.Err()
		}
		log.Error("buttons of Slack are not heard; it is tried again", "after", wait, "err", err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// close waits for what is still being said to people.
func (h *hooks) close() {
	for _, c := range h.clicks {
		c.Close()
	}
}

// decider is who does what people click.
type decider interface {
	Approve(ctx context.Context, id release.ID, by release.By) error
	Reject(ctx context.Context, id release.ID, by release.By) error
	OpenBreaker(ctx context.Context, namespace string, within time.Duration, by release.By) error
}

// decide takes a click up. The same click twice is refused the second time in
// words, since nothing waits any more.
func decide(responder decider) func(ctx context.Context, c slack.Click) (string, error) {
	return func(ctx context.Context, c slack.Click) (string, error) {
		by := release.By{Actor: c.Person.Name, Reason: "a click in Slack"}
		switch c.Offer {
		case release.OfferApprove:
			return "", responder.Approve(ctx, c.Release, by)
		case release.OfferReject:
			return "", responder.Reject(ctx, c.Release, by)
		case release.OfferFreeze:
			if c.Person.Role != "admin" {
				return "", release.E(release.CodeRefused, "to freeze all rollbacks takes the role admin", nil)
			}
			return fmt.Sprintf("Nothing is rolled back for %.0f hours.", frozenFor.Hours()), responder.OpenBreaker(ctx, "", frozenFor, by)
		}
		return "", release.E(release.CodeRefused, "there is no such thing to do", nil)
	}
}

// acknowledged notes in a release's audit what a person did to its incident, so
// that its page shows it. Events of incidents that are not Watchtower's, or of
// releases that are forgotten, are none of its business.
func acknowledged(st *store.Store) func(ctx context.Context, a pagerduty.Acknowledgement) error {
	return func(ctx context.Context, a pagerduty.Acknowledgement) error {
		id, ours := strings.CutPrefix(a.Key, release.MessageKey(""))
		if !ours {
			return nil
		}
		known, err := st.Audit(ctx, release.ID(id), 0)
		if err != nil {
			return err
		}
		why := "at PagerDuty, " + a.At.UTC().Format(time.RFC3339)
		if slices.ContainsFunc(known, func(r release.AuditRow) bool { return r.What == "incident" && r.Outcome == a.What && r.Why == why }) {
			return nil
		}
		err = st.Write(ctx, func(tx *store.Tx) error {
			if _, err := tx.Release(release.ID(id)); err != nil {
				return err
			}
			return tx.Audit(release.AuditRow{At: time.Now(), Actor: release.OneLine(a.Who, 100), Release: release.ID(id), What: "incident", Outcome: a.What, Why: why})
		})
		var e *release.Error
		if errors.As(err, &e) && e.Code == release.CodeNotFound {
			return nil
		}
		return err
	}
}

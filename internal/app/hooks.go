package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/respond"
	"github.com/watchtower-verify/watchtower/internal/sink/pagerduty"
	"github.com/watchtower-verify/watchtower/internal/sink/slack"
)

// decided are the offers that a click can take up.
var decided = []release.Offer{
	release.OfferApprove, release.OfferReject, release.OfferRollBack, release.OfferMarkWrong, release.OfferSnooze, release.OfferFreeze,
}

const (
	frozenFor  = 4 * time.Hour // by a click on freeze
	snoozedFor = time.Hour     // by one on snooze
)

// listens reports whether clicks on a receiver's buttons are taken.
func listens(s *config.Slack) bool { return s.AppTokenFile != "" || s.SigningSecretFile != "" }

// hooks are where receivers tell Watchtower something.
type hooks struct {
	handlers map[string]http.Handler // by their path
	sockets  []func(ctx context.Context) error
	clicks   []*slack.Clicks
}

// newHooks answers what people do at receivers.
func newHooks(cfg *config.Config, r *receivers, responder *respond.Responder, log *slog.Logger) *hooks {
	h := &hooks{handlers: map[string]http.Handler{}}
	for _, c := range cfg.Receivers {
		switch {
		case c.Slack != nil && r.slack[c.Name] != nil:
			h.slack(c.Name, c.Slack, r.slack[c.Name], responder, log)
		case c.PagerDuty != nil && c.PagerDuty.WebhookSecretFile != "":
			h.handlers["/hooks/pagerduty/"+c.Name] = &pagerduty.Webhook{
				SecretFiles: []string{c.PagerDuty.WebhookSecretFile}, Log: log, Told: acknowledged(responder),
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
	clicks := &slack.Clicks{SigningSecretFile: c.SigningSecretFile, People: people, Reply: s.Whisper, Log: log}
	if responder != nil {
		clicks.Decide, clicks.Refused = decide(name, responder), refused(responder, log)
	}
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
	RollBack(ctx context.Context, id release.ID, by release.By) error
	MarkWrong(ctx context.Context, id release.ID, by release.By) error
	Snooze(ctx context.Context, id release.ID, receiver string, within time.Duration, by release.By) (until time.Time, err error)
	Refused(ctx context.Context, id release.ID, what string, by release.By, why string) error
	OpenBreaker(ctx context.Context, namespace string, within time.Duration, by release.By) error
}

// byClick is why something was asked for, as the audit has it.
const byClick = "a click in Slack"

// decide takes a click on a receiver's button up. The same click twice, and one on
// a message that is no longer true, is refused in words.
func decide(receiver string, responder decider) func(ctx context.Context, c slack.Click) (string, error) {
	return func(ctx context.Context, c slack.Click) (string, error) {
		by := release.By{Actor: c.Person.Name, Reason: byClick}
		switch c.Offer {
		case release.OfferApprove:
			return "", responder.Approve(ctx, c.Release, by)
		case release.OfferReject:
			return "", responder.Reject(ctx, c.Release, by)
		case release.OfferRollBack:
			return "", responder.RollBack(ctx, c.Release, by)
		case release.OfferMarkWrong:
			return "", responder.MarkWrong(ctx, c.Release, by)
		case release.OfferSnooze:
			until, err := responder.Snooze(ctx, c.Release, receiver, snoozedFor, by)
			return fmt.Sprintf("Nothing more is said of it here until %s, but its end.", until.UTC().Format("15:04 UTC")), err
		case release.OfferFreeze:
			if c.Person.Role != "admin" {
				const why = "to freeze all rollbacks takes the role admin"
				if err := responder.Refused(ctx, c.Release, string(c.Offer), by, why); err != nil && release.ErrorCode(err) != release.CodeNotFound {
					return "", err
				}
				return "", release.E(release.CodeRefused, why, nil)
			}
			return fmt.Sprintf("Nothing is rolled back for %.0f hours.", frozenFor.Hours()), responder.OpenBreaker(ctx, "", frozenFor, by)
		}
		return "", release.E(release.CodeRefused, "there is no such thing to do", nil)
	}
}

// refused keeps in the audit who clicked without the role.
func refused(responder decider, log *slog.Logger) func(ctx context.Context, c slack.Click, user, why string) {
	return func(ctx context.Context, c slack.Click, user, why string) {
		by := release.By{Actor: cmp.Or(c.Person.Name, "Slack user "+user), Reason: byClick}
		if err := responder.Refused(ctx, c.Release, string(c.Offer), by, why); err != nil && release.ErrorCode(err) != release.CodeNotFound {
			log.Warn("a click that was refused could not be written down", "release", string(c.Release), "err", err)
		}
	}
}

// acknowledged takes what a person did to an incident at PagerDuty.
func acknowledged(responder *respond.Responder) func(ctx context.Context, a pagerduty.Acknowledgement) error {
	return func(ctx context.Context, a pagerduty.Acknowledgement) error {
		return responder.Acknowledged(ctx, a.Key, release.Acknowledgement{What: release.AckKind(a.What), Who: a.Who, Where: "PagerDuty", At: a.At})
	}
}

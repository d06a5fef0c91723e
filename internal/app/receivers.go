package app

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/respond"
	"github.com/watchtower-verify/watchtower/internal/sink/alertmanager"
	"github.com/watchtower-verify/watchtower/internal/sink/email"
	"github.com/watchtower-verify/watchtower/internal/sink/grafana"
	"github.com/watchtower-verify/watchtower/internal/sink/pagerduty"
	"github.com/watchtower-verify/watchtower/internal/sink/slack"
	"github.com/watchtower-verify/watchtower/internal/sink/webhook"
	"github.com/watchtower-verify/watchtower/internal/template"
)

// closer is a sink with connections to drop.
type closer interface {
	respond.Notifier
	Close()
}

// receivers are where people are told, by their names.
type receivers struct {
	byName  map[string]respond.Notifier
	slack   map[string]*slack.Sink // those whose buttons can be pressed
	inPlace map[string]bool        // those whose message is changed without waking anybody
	close   []func()
}

// openReceivers makes the receivers of the configuration; none connects before
// its first message. quiet is Alertmanager's silences, nil where they do not count;
// turns the pace that all replicas keep to, nil where this process is alone.
func openReceivers(cfg *config.Config, quiet silencer, turns slack.Turns, log *slog.Logger, reg prometheus.Registerer) (*receivers, error) {
	out := &receivers{byName: map[string]respond.Notifier{}, slack: map[string]*slack.Sink{}, inPlace: map[string]bool{}}
	templates, err := cfg.ReceiverTemplates()
	if err != nil {
		return nil, err
	}
	failures := templateFailures(reg)
	for i := range cfg.Receivers {
		r := &cfg.Receivers[i]
		sink, err := openReceiver(r, cfg.ExternalURL, turns, log)
		if err != nil {
			out.closeAll()
			return nil, err
		}
		out.close = append(out.close, sink.Close)
		out.inPlace[r.Name] = r.Slack != nil
		if s, ok := sink.(*slack.Sink); ok && listens(r.Slack) {
			out.slack[r.Name] = s
		}
		out.byName[r.Name] = &receiver{
			name: r.Name, next: sink, own: templates[r.Name], quiet: quiet, log: log, failures: failures,
		}
	}
	return out, nil
}

func (r *receivers) closeAll() {
	for _, f := range r.close {
		f()
	}
}

func openReceiver(r *config.Receiver, externalURL string, turns slack.Turns, log *slog.Logger) (closer, error) {
	switch {
	case r.PagerDuty != nil:
		p := r.PagerDuty
		var images func(release.Message) string
		if p.Curves {
			images = curveAt(externalURL)
		}
		return pagerduty.New(pagerduty.Config{
			ImageURL: images,
			Name:     r.Name, RoutingKeyFile: p.RoutingKeyFile, URL: p.URL, Changes: p.Changes, AcknowledgeRollback: p.AcknowledgeRollback,
			CAFile: p.Connection.CAFile, ProxyURL: p.Connection.ProxyURL, Timeout: p.Connection.Timeout,
		})
	case r.Slack != nil:
		s := r.Slack
		var buttons []release.Offer
		if listens(s) {
			buttons = decided
		}
		return slack.New(slack.Config{
			Name: r.Name, TokenFile: s.TokenFile, Channel: s.Channel, URL: s.URL, Curves: s.Curves, Digest: s.Digest, Buttons: buttons, Turns: turns,
			CAFile: s.Connection.CAFile, ProxyURL: s.Connection.ProxyURL, Timeout: s.Connection.Timeout, Log: log,
		})
	case r.Grafana != nil:
		return openGrafana(r)
	case r.Webhook != nil:
		w := r.Webhook
		secrets := []string{w.SecretFile}
		if w.NextSecretFile != "" {
			secrets = append(secrets, w.NextSecretFile)
		}
		return webhook.New(webhook.Config{
			Name: r.Name, URL: w.URL, SecretFiles: secrets, BearerTokenFile: w.BearerTokenFile, Headers: w.Headers,
			CAFile: w.Connection.CAFile, ProxyURL: w.Connection.ProxyURL, Timeout: w.Connection.Timeout,
		})
	case r.Email != nil:
		e := r.Email
		return email.New(email.Config{
			Name: r.Name, Server: e.Server, From: e.From, To: e.To, User: e.User, PasswordFile: e.PasswordFile, Plaintext: e.Plaintext,
			CAFile: e.Connection.CAFile, ProxyURL: e.Connection.ProxyURL, Timeout: e.Connection.Timeout, Log: log,
		})
	}
	return nil, release.E(release.CodeInvalid, "receiver "+r.Name+" is of no kind", nil)
}

func openGrafana(r *config.Receiver) (closer, error) {
	g := r.Grafana
	places := func(list []config.GrafanaPlace) []grafana.Place {
		var out []grafana.Place
		for _, p := range list {
			out = append(out, grafana.Place{Dashboard: p.Dashboard, Panel: int64(p.Panel)})
		}
		return out
	}
	cfg := grafana.Config{
		Name: r.Name, URL: g.URL, TokenFile: g.TokenFile, Organisation: int64(g.Organisation), Places: places(g.Places),
		CAFile: g.Connection.CAFile, ProxyURL: g.Connection.ProxyURL, Timeout: g.Connection.Timeout,
	}
	for _, o := range g.Others {
		cfg.Others = append(cfg.Others, grafana.Organisation{ID: int64(o.Organisation), TokenFile: o.TokenFile, Places: places(o.Places)})
	}
	return grafana.New(cfg)
}

// silencer knows the silences of an Alertmanager; nil is none that matches.
type silencer interface {
	Silenced(ctx context.Context, labels map[string]string) (*alertmanager.Silence, error)
}

// receiver is a sink with what is said through it: the texts of its own
// templates, and nothing that is silenced.
type receiver struct {
	name     string
	next     respond.Notifier
	own      *template.Receiver // nil: it has no templates
	quiet    silencer           // nil: silences do not count
	log      *slog.Logger
	failures *prometheus.CounterVec
}

// hushed is what a receiver remembers of a release it was told nothing of.
var hushed = []byte("silenced")

// Deliver implements respond.Notifier.
func (r *receiver) Deliver(ctx context.Context, m release.Message, ref []byte) ([]byte, error) {
	if bytes.Equal(ref, hushed) {
		if m.State.Over() {
			return hushed, nil // the end of what nobody was told of
		}
		ref = nil
	}
	if r.quiet != nil && ref == nil && !m.Test && r.silenced(ctx, m) {
		return hushed, nil
	}
	if r.own != nil {
		m.Own = r.fill(m)
	}
	return r.next.Deliver(ctx, m, ref)
}

// silencePatience is how long Alertmanager may take to say what is silenced. A
// page is worth more than its silence.
const silencePatience = 5 * time.Second

// silenced reports whether a silence matches the message: of several that are told
// together, whether one matches each that is open.
func (r *receiver) silenced(ctx context.Context, m release.Message) bool {
	ctx, cancel := context.WithTimeout(ctx, silencePatience)
	defer cancel()
	said := []release.Message{m}
	if m.Labels[message.LabelKind] == message.KindGroup {
		said = nil
		for _, one := range m.Members {
			if one.State.Open() || !m.State.Open() {
				said = append(said, *one.Message)
			}
		}
	}
	for _, one := range said {
		if !r.matched(ctx, one) {
			return false
		}
	}
	return true
}

func (r *receiver) matched(ctx context.Context, m release.Message) bool {
	// Those of the message's alert too: a silence of it is one of the message.
	labels := maps.Clone(m.Labels)
	maps.Copy(labels, message.Alert(m).Labels)
	s, err := r.quiet.Silenced(ctx, labels)
	if err != nil {
		r.log.Warn("silences could not be read; the receiver is told", "receiver", r.name, "err", err)
		return false
	}
	if s != nil {
		r.log.Info("message silenced", "receiver", r.name, "release", string(m.Release), "silence", s.ID, "by", s.CreatedBy)
	}
	return s != nil
}

// fill makes the texts of the receiver's own templates; the built-in ones stand in
// for those that cannot be.
func (r *receiver) fill(m release.Message) release.OwnText {
	own, faults := r.own.Fill(m)
	for _, f := range faults {
		r.failures.WithLabelValues(r.name).Inc()
		r.log.Error("template not filled in; the built-in text is sent", "receiver", r.name, "state", string(m.State), "err", f)
	}
	return own
}

// wording says which of a receiver's own templates cannot be filled in for a
// message; nil where it has none.
func (r *receivers) wording(name string) func(release.Message) []error {
	own, _ := r.byName[name].(*receiver)
	if own == nil || own.own == nil {
		return nil
	}
	return func(m release.Message) []error {
		_, faults := own.own.Fill(m)
		return faults
	}
}

func templateFailures(reg prometheus.Registerer) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "watchtower_template_failures_total", Help: "Templates that could not be filled in, so that the built-in text was sent.",
	}, []string{"receiver"})
	if reg != nil {
		reg.MustRegister(c)
	}
	return c
}

package config

import (
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Receiver is one place where people are told of releases: one of pagerduty,
// slack, grafana, webhook and email.
type Receiver struct {
	// Name by which routes call it.
	Name string `yaml:"name" jsonschema:"required"`
	// Incidents and change events of one PagerDuty service.
	PagerDuty *PagerDuty `yaml:"pagerduty"`
	// Messages in one Slack channel.
	Slack *Slack `yaml:"slack"`
	// Annotations in Grafana.
	Grafana *Grafana `yaml:"grafana"`
	// CloudEvents to a URL of one's own.
	Webhook *Webhook `yaml:"webhook"`
	// Mail through an SMTP server.
	Email *Email `yaml:"email"`
	// Texts of one's own in place of the built-in ones, in Alertmanager's template dialect.
	Template *Template `yaml:"template"`
}

// PagerDuty says which service is told.
type PagerDuty struct {
	// File that holds the integration key of the service (Events API v2).
	RoutingKeyFile string `yaml:"routing_key_file" jsonschema:"required"`
	// Base URL of the Events API. Empty: PagerDuty's own.
	URL string `yaml:"url"`
	// Send a change event for each release that is told of.
	Changes bool `yaml:"changes"`
	// Show the curve of what got worse. PagerDuty fetches it from external_url, which must be https and reached from the internet.
	Curves bool `yaml:"curves"`
	// Acknowledge the incident while the last good version is put back.
	AcknowledgeRollback bool `yaml:"acknowledge_rollback"`
	// File that holds the secret of a webhook subscription (v3) to /hooks/pagerduty/NAME, by which PagerDuty tells who acknowledged. Empty: it is not asked for.
	WebhookSecretFile string `yaml:"webhook_secret_file"`
	// How the service is reached.
	Connection Connection `yaml:"connection"`
}

// Slack says which channel is told.
type Slack struct {
	// File that holds the bot token (xoxb-…).
	TokenFile string `yaml:"token_file" jsonschema:"required"`
	// ID of the channel, such as C024BE91L.
	Channel string `yaml:"channel" jsonschema:"required"`
	// Base URL of the Web API. Empty: Slack's own.
	URL string `yaml:"url"`
	// Show the curve of what got worse in the thread. The app needs the scope files:write.
	Curves bool `yaml:"curves"`
	// Write releases that need nobody into one message per day, rather than each into its own.
	Digest bool `yaml:"digest"`
	// File that holds the app-level token (xapp-…): buttons are taken in Socket Mode.
	AppTokenFile string `yaml:"app_token_file"`
	// File that holds the signing secret: buttons are taken at /hooks/slack/NAME.
	SigningSecretFile string `yaml:"signing_secret_file"`
	// Who may press buttons.
	Users []SlackUser `yaml:"users"`
	// How the service is reached.
	Connection Connection `yaml:"connection"`
}

// SlackUser is a person who may press buttons.
type SlackUser struct {
	// ID of the user in Slack, such as U024BE7LH.
	ID string `yaml:"id" jsonschema:"required"`
	// Name that the audit shows.
	Name string `yaml:"name" jsonschema:"required"`
	// What the person may do: view, approve (all but to freeze) or admin.
	Role string `yaml:"role" jsonschema:"required,enum=view,enum=approve,enum=admin"`
}

// Grafana says where annotations are written.
type Grafana struct {
	// Base URL of Grafana, without /api.
	URL string `yaml:"url" jsonschema:"required"`
	// File that holds the token of a service account that may write annotations.
	TokenFile string `yaml:"token_file" jsonschema:"required"`
	// Organisation. 0: that of the service account.
	Organisation int `yaml:"organisation"`
	// Dashboards that show the annotations. Empty: all of the organisation may, by the tags.
	Places []GrafanaPlace `yaml:"places"`
	// Further organisations, each with a token of its own.
	Others []GrafanaOrganisation `yaml:"others"`
	// How the service is reached.
	Connection Connection `yaml:"connection"`
}

// GrafanaPlace is a dashboard, or one of its panels.
type GrafanaPlace struct {
	// UID of the dashboard.
	Dashboard string `yaml:"dashboard" jsonschema:"required"`
	// Panel of the dashboard. 0: all of it.
	Panel int `yaml:"panel"`
}

// GrafanaOrganisation is a further organisation.
type GrafanaOrganisation struct {
	// ID of the organisation.
	Organisation int `yaml:"organisation" jsonschema:"required"`
	// File that holds the token of a service account there.
	TokenFile string `yaml:"token_file" jsonschema:"required"`
	// Dashboards that show the annotations. Empty: all of the organisation may, by the tags.
	Places []GrafanaPlace `yaml:"places"`
}

// Webhook says which URL gets CloudEvents.
type Webhook struct {
	// URL that each message is posted to.
	URL string `yaml:"url" jsonschema:"required"`
	// File that holds the key of the signature (HMAC-SHA256).
	SecretFile string `yaml:"secret_file" jsonschema:"required"`
	// File that holds a second key, while the first is being changed: each request is signed with both.
	NextSecretFile string `yaml:"next_secret_file"`
	// File that holds a bearer token. Empty: none is sent.
	BearerTokenFile string `yaml:"bearer_token_file"`
	// Further headers of each request. No secrets.
	Headers map[string]string `yaml:"headers"`
	// How the service is reached.
	Connection Connection `yaml:"connection"`
}

// Email says who gets mail, and through which server.
type Email struct {
	// SMTP server, host:port. Port 465 is TLS from the start.
	Server string `yaml:"server" jsonschema:"required"`
	// Sender, as in Watchtower <watchtower@example.com>.
	From string `yaml:"from" jsonschema:"required"`
	// Whom the mail is for.
	To []string `yaml:"to" jsonschema:"required,minItems=1"`
	// User name at the server. Empty: none is needed.
	User string `yaml:"user"`
	// File that holds the password.
	PasswordFile string `yaml:"password_file"`
	// Send without TLS where the server offers none. What is sent can then be read on the way.
	Plaintext bool `yaml:"plaintext"`
	// How the service is reached.
	Connection Connection `yaml:"connection"`
}

// Connection says how a receiver's service is reached.
type Connection struct {
	// File with the certificates, in PEM, that the service's must come from. Empty: those of the system.
	CAFile string `yaml:"ca_file"`
	// Proxy to go through: http, https or socks5. Empty: as HTTPS_PROXY and NO_PROXY say, for mail none.
	ProxyURL string `yaml:"proxy_url"`
	// How long one request may take. Default: 10s.
	Timeout time.Duration `yaml:"timeout"`
}

// Template holds the texts of a receiver. What is not given stays built in.
type Template struct {
	// First line: headline, subject, summary.
	Title string `yaml:"title"`
	// What comes below it, in the receiver's markup.
	Text string `yaml:"text"`
	// JSON list of Slack blocks, in place of title and text.
	Blocks string `yaml:"blocks"`
}

// Routing is the route at the root, which takes every message.
type Routing struct {
	// Receivers that are told of what no route below takes. Default: all of them, where there is no route at all.
	Receivers []string `yaml:"receivers"`
	// States that are told, or all. Default: those that somebody should know of (regressed, waiting_for_approval, rolling_back, did_not_help, insufficient_data, source_broken); who was told of one is told what follows.
	States []string `yaml:"states"`
	// Time intervals in which nobody is told for the first time; it waits for their end.
	Mute []string `yaml:"mute_time_intervals"`
	// Time intervals outside of which nobody is told for the first time.
	Active []string `yaml:"active_time_intervals"`
	// Tell again of what is open still, after this long, for a week at most. Default: never.
	Repeat *time.Duration `yaml:"repeat_interval"`
	// Tell releases that have these labels in common in one message, or ... for each by itself. Default: ["..."].
	GroupBy []string `yaml:"group_by"`
	// How long the first message of a group waits for others. Default: 30s.
	GroupWait *time.Duration `yaml:"group_wait"`
	// How long at least is between two messages of a group. Default: 5m.
	GroupInterval *time.Duration `yaml:"group_interval"`
	// Routes below: the first that matches decides, and the ones after it where it says continue.
	Routes []Route `yaml:"routes"`
}

// Route decides who is told of the messages it matches.
type Route struct {
	// Matchers of labels, as Alertmanager's: team="shop", severity=~"critical|error". All must match.
	Matchers []string `yaml:"matchers"`
	// Receivers that are told. Default: those of the route around it.
	Receivers []string `yaml:"receivers"`
	// States that are told, or all. Default: those of the route around it.
	States []string `yaml:"states"`
	// Look at the routes after this one too.
	Continue bool `yaml:"continue"`
	// Time intervals in which nobody is told for the first time; it waits for their end.
	Mute []string `yaml:"mute_time_intervals"`
	// Time intervals outside of which nobody is told for the first time.
	Active []string `yaml:"active_time_intervals"`
	// Tell again of what is open still, after this long; 0: never. Default: that of the route around it.
	Repeat *time.Duration `yaml:"repeat_interval"`
	// Tell releases that have these labels in common in one message, or ... for each by itself. Default: as the route around it.
	GroupBy []string `yaml:"group_by"`
	// How long the first message of a group waits for others. Default: that of the route around it.
	GroupWait *time.Duration `yaml:"group_wait"`
	// How long at least is between two messages of a group. Default: that of the route around it.
	GroupInterval *time.Duration `yaml:"group_interval"`
	// Routes below this one, of the same kind.
	Routes []Route `yaml:"routes"`
}

// TimeInterval names times, as Alertmanager's.
type TimeInterval struct {
	// Name by which routes call it.
	Name string `yaml:"name" jsonschema:"required"`
	// The times; any of them will do.
	Intervals []Interval `yaml:"time_intervals" jsonschema:"required,minItems=1"`
}

// Interval is one time: all that is given must hold.
type Interval struct {
	// Times of the day.
	Times []TimeRange `yaml:"times"`
	// Days of the week, as in monday:friday.
	Weekdays []string `yaml:"weekdays"`
	// Days of the month, as in 1:5 or -3:-1.
	DaysOfMonth []string `yaml:"days_of_month"`
	// Months, as in may:august or 12.
	Months []string `yaml:"months"`
	// Years, as in 2026:2027.
	Years []string `yaml:"years"`
	// Time zone, as in Europe/Berlin. Default: UTC.
	Location string `yaml:"location"`
}

// TimeRange is a part of a day. What goes past midnight is two of them.
type TimeRange struct {
	// HH:MM.
	Start string `yaml:"start_time" jsonschema:"required"`
	// HH:MM, or 24:00.
	End string `yaml:"end_time" jsonschema:"required"`
}

// Links are where messages lead to, with placeholders: {cluster}, {namespace},
// {workload}, {release}, {replicaset}, {version}, {from} and {to}.
type Links struct {
	// Dashboard of a workload. {from} and {to} are milliseconds since 1970.
	Dashboard string `yaml:"dashboard"`
	// Logs of a workload.
	Logs string `yaml:"logs"`
	// What to do about it.
	Runbook string `yaml:"runbook"`
}

// kinds are the receivers' kinds that are given, by their keys.
func (r *Receiver) kinds() []string {
	var out []string
	for _, k := range []struct {
		key   string
		given bool
	}{
		{"pagerduty", r.PagerDuty != nil},
		{"slack", r.Slack != nil},
		{"grafana", r.Grafana != nil},
		{"webhook", r.Webhook != nil},
		{"email", r.Email != nil},
	} {
		if k.given {
			out = append(out, k.key)
		}
	}
	return out
}

// connection is how the receiver is reached.
func (r *Receiver) connection() *Connection {
	switch {
	case r.PagerDuty != nil:
		return &r.PagerDuty.Connection
	case r.Slack != nil:
		return &r.Slack.Connection
	case r.Grafana != nil:
		return &r.Grafana.Connection
	case r.Webhook != nil:
		return &r.Webhook.Connection
	case r.Email != nil:
		return &r.Email.Connection
	}
	return nil
}

// files are the paths of r that are taken from the configuration's folder.
func (r *Receiver) files() []*string {
	var out []*string
	if r.PagerDuty != nil {
		out = append(out, &r.PagerDuty.RoutingKeyFile, &r.PagerDuty.WebhookSecretFile)
	}
	if r.Slack != nil {
		out = append(out, &r.Slack.TokenFile, &r.Slack.AppTokenFile, &r.Slack.SigningSecretFile)
	}
	if r.Grafana != nil {
		out = append(out, &r.Grafana.TokenFile)
		for i := range r.Grafana.Others {
			out = append(out, &r.Grafana.Others[i].TokenFile)
		}
	}
	if r.Webhook != nil {
		out = append(out, &r.Webhook.SecretFile, &r.Webhook.NextSecretFile, &r.Webhook.BearerTokenFile)
	}
	if r.Email != nil {
		out = append(out, &r.Email.PasswordFile)
	}
	if c := r.connection(); c != nil {
		out = append(out, &c.CAFile)
	}
	return out
}

const defaultReceiverTimeout = 10 * time.Second

// statesOf are the states of a list of the file; nil where it names none.
func statesOf(names []string) []release.MessageState {
	var out []release.MessageState
	for _, n := range names {
		if n == allStates {
			return release.MessageStates
		}
		out = append(out, release.MessageState(n))
	}
	return out
}

const allStates = "all"

// Kind is what the receiver is: the key it is configured by.
func (r *Receiver) Kind() string { return strings.Join(r.kinds(), " and ") }

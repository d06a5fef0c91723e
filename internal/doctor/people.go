package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Teller shows a message to people. Errors are *release.Error that name the
// receiver and hold no secret.
type Teller interface {
	Deliver(ctx context.Context, m release.Message, ref []byte) ([]byte, error)
}

// Receiver sends a receiver a message that is marked as a test and wakes nobody.
// wording says which of the receiver's own templates cannot be filled in for a
// message; nil where it has none.
func Receiver(name, kind string, t Teller, test func() release.Message, wording func(release.Message) []error) Check {
	return Check{"receiver " + name, func(ctx context.Context) []Finding {
		m := test()
		var out []Finding
		if _, err := t.Deliver(ctx, m, nil); err != nil {
			out = append(out, failed(err, mendReceiver(kind, err)))
		} else {
			out = append(out, ok("%s took a test message", kind))
		}
		if wording == nil {
			return out
		}
		for _, err := range wording(m) {
			out = append(out, warning("its template fails, so that the built-in text is sent: "+err.Error(),
				"See template of the receiver; `watchtower config check --render` shows every message."))
		}
		return out
	}}
}

// Told is what a receiver was told last, or is being told.
type Told interface {
	// LastTold answers with the newest action for a receiver, false where there was
	// none.
	LastTold(ctx context.Context, receiver string) (release.Action, bool, error)
}

// ReceiverSoFar looks what became of the last message to a receiver, and sends
// none.
func ReceiverSoFar(name, kind string, t Told) Check {
	const try = "`watchtower doctor` sends it a message that is marked as a test."
	return Check{"receiver " + name, func(ctx context.Context) []Finding {
		a, found, err := t.LastTold(ctx, name)
		switch {
		case err != nil:
			return []Finding{failed(err, "See the log of the store.")}
		case !found || a.State == release.ActionVoid || a.State == release.ActionRefused:
			return []Finding{{Status: Skipped, Message: kind + " was told of nothing yet, and a running server sends no test messages", Mend: try}}
		case a.State == release.ActionFailed:
			return []Finding{failed(errors.New("its last message was given up: "+a.Detail), mendReceiver(kind, errors.New(a.Detail)))}
		case a.State == release.ActionPending && a.Attempts > 1:
			return []Finding{failed(fmt.Errorf("it has not taken its last message after %s: %s", release.Plural(a.Attempts, "attempt"), a.Detail), mendReceiver(kind, errors.New(a.Detail)))}
		case a.State == release.ActionPending:
			return []Finding{{Status: Skipped, Message: kind + " is being told", Mend: try}}
		}
		return []Finding{ok("%s took its last message, %s", kind, a.UpdatedAt.UTC().Format("2006-01-02 15:04:05 UTC"))}
	}}
}

// settings are those of a kind of receiver by which it is reached, and by which
// it knows who speaks.
var settings = map[string]struct{ address, credentials string }{
	"pagerduty": {"url", "routing_key_file"},
	"slack":     {"url", "token_file"},
	"grafana":   {"url", "token_file"},
	"webhook":   {"url", "secret_file or bearer_token_file"},
	"email":     {"server", "user and password_file"},
}

// mendReceiver is the next step after a receiver refused a message.
func mendReceiver(kind string, err error) string {
	text := strings.ToLower(err.Error())
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	set := settings[kind]
	switch {
	case has("x509", "certificate"):
		return "The certificate is not trusted: name its authority by connection.ca_file."
	case has("proxy"):
		return "See connection.proxy_url, HTTPS_PROXY and NO_PROXY."
	case has("no such file", "permission denied", "secret file"):
		return "See " + set.credentials + ": is the file mounted, may Watchtower read it, and does it hold the secret alone?"
	case has("missing_scope"):
		return "Give the app the scope under OAuth & Permissions, install it again, and put its token into token_file."
	case has("wrong signature"):
		return "Have secret_file and the receiver hold the same secret."
	case has("routing key"):
		return "Add an Events API v2 integration to the service and put its integration key into routing_key_file."
	case has("dashboard not found"):
		return "See places: a dashboard's uid stands in its address after /d/, and it must be of the organisation of token_file."
	case kind == "grafana" && has("403"):
		return "Give the service account of token_file the role Editor in the organisation."
	case has("invalid_auth", "token_revoked", "account_inactive", "401", "403", "unauthorized", "forbidden", "not_authed", "token_expired", "535"):
		return "The credentials are refused or were revoked: make new ones and put them into " + set.credentials + "; files are read again each time."
	case has("channel_not_found", "not_in_channel", "is_archived"):
		return "See channel: its ID is right, it is not archived, and the app was invited to it (/invite)."
	case has("no such host", "connection refused", "timeout", "deadline", "time-out", "took longer"):
		return "The service is not reached: see " + set.address + ", DNS, and what the network lets out."
	}
	return fmt.Sprintf("See the settings of the %s receiver; docs/notifications.md tells of each.", kind)
}

// Poster takes alerts, as an Alertmanager does.
type Poster interface {
	Post(ctx context.Context, alerts []release.Alert) error
}

// TestAlert is the alertname of an alert that tells of nothing.
const TestAlert = "WatchtowerTest"

// Alerts posts an alert that is over before it begins, which Alertmanager takes
// and tells nobody of.
func Alerts(name string, p Poster, cluster string) Check {
	return Check{name, func(ctx context.Context) []Finding {
		now := time.Now()
		err := p.Post(ctx, []release.Alert{{
			Labels:      map[string]string{"alertname": TestAlert, "cluster": cluster, "severity": "none"},
			Annotations: map[string]string{"summary": "Test by watchtower doctor: nothing has happened"},
			StartsAt:    now.Add(-2 * time.Minute), EndsAt: now.Add(-time.Minute),
		}})
		if err != nil {
			return []Finding{failed(err, "See alertmanager.urls and its token; each instance must be reached, since they tell one another nothing of alerts.")}
		}
		return []Finding{ok("it took a test alert that is over")}
	}}
}

// Repository reads issues, which changes nothing.
type Repository interface {
	FindIssue(ctx context.Context, repo, marker string) (url string, found bool, err error)
}

// Forge looks whether issues can be read with the token there is.
func Forge(r Repository, repository string) Check {
	return Check{"forge", func(ctx context.Context) []Finding {
		if repository == "" {
			return []Finding{{Status: Skipped, Message: "forge.repository is not given, so that only the repositories that images name are used"}}
		}
		if _, _, err := r.FindIssue(ctx, "", release.Marker("doctor")); err != nil {
			return []Finding{failed(err, "See forge.url, forge.repository and the token, which needs the scopes write:issue and read:repository.")}
		}
		return []Finding{ok("issues of %s can be read", repository)}
	}}
}

// Keeper keeps the state. Its errors are *release.Error that say where.
type Keeper interface {
	// Writable reports whether it takes writes, and writes nothing.
	Writable(ctx context.Context) error
}

// KeeperFunc is a Keeper of a function.
type KeeperFunc func(ctx context.Context) error

// Writable implements Keeper.
func (f KeeperFunc) Writable(ctx context.Context) error { return f(ctx) }

// Store looks whether the state can be read and written.
func Store(k Keeper) Check {
	return Check{"store", func(ctx context.Context) []Finding {
		if err := k.Writable(ctx); err != nil {
			return []Finding{failed(err, "See store.path, or store.url and store.password_file: the disk, the file's owner, or the database's address and whether it takes writes; docs/operations.md tells of each.")}
		}
		return []Finding{ok("it takes writes")}
	}}
}

// DeadLetters lists actions that were given up, newest first.
type DeadLetters interface {
	DeadLetters(ctx context.Context) ([]release.Action, error)
}

// GivenUp looks for actions that were given up.
func GivenUp(d DeadLetters) Check {
	return Check{"actions", func(ctx context.Context) []Finding {
		list, err := d.DeadLetters(ctx)
		if err != nil {
			return []Finding{failed(err, "See the log of the store.")}
		}
		if len(list) == 0 {
			return []Finding{ok("none was given up")}
		}
		a := list[0]
		return []Finding{warning(fmt.Sprintf("%s given up, the newest %s: %s", wereGivenUp(len(list)), a.Key, a.Detail),
			"Mend what it names and have them tried again.")}
	}}
}

func wereGivenUp(n int) string {
	if n == 1 {
		return "1 action was"
	}
	return fmt.Sprintf("%d actions were", n)
}

package doctor

import (
	"context"
	"fmt"
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
func Receiver(name, kind string, t Teller, test func() release.Message) Check {
	return Check{"receiver " + name, func(ctx context.Context) []Finding {
		if _, err := t.Deliver(ctx, test(), nil); err != nil {
			return []Finding{failed(err, mendReceiver(kind, err))}
		}
		return []Finding{ok("%s took a test message", kind)}
	}}
}

// mendReceiver is the next step after a receiver refused a message.
func mendReceiver(kind string, err error) string {
	text := strings.ToLower(err.Error())
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("x509", "certificate"):
		return "The certificate is not trusted: name its authority by connection.ca_file."
	case has("proxy"):
		return "See connection.proxy_url, HTTPS_PROXY and NO_PROXY."
	case has("invalid_auth", "token_revoked", "account_inactive", "401", "403", "unauthorized", "forbidden", "not_authed", "token_expired"):
		return "The credentials are refused or were revoked: make new ones and put them into the receiver's file, which is read again each time."
	case has("no such file", "permission denied", "secret file"):
		return "See the file of the secret: is it mounted, may Watchtower read it, and does it hold the secret alone?"
	case has("channel_not_found", "not_in_channel", "is_archived"):
		return "See the receiver's channel: its ID is right, it is not archived, and the app was invited to it (/invite)."
	case has("no such host", "connection refused", "timeout", "deadline", "time-out", "took longer"):
		return "The service is not reached: see its address, DNS, and what the network lets out."
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

// Pinger is a part that says whether it works.
type Pinger interface {
	Ping(ctx context.Context) error
}

// Store looks whether the state can be read and written.
func Store(p Pinger) Check {
	return Check{"store", func(ctx context.Context) []Finding {
		if err := p.Ping(ctx); err != nil {
			return []Finding{failed(err, "See docs/operations.md: the disk, the file's owner, or the database's address.")}
		}
		return []Finding{ok("it answers")}
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

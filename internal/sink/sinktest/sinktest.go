// Package sinktest is what every sink must do, whatever it speaks: each answer
// with its retry class, nothing twice, no secret told, no message refused for
// its length, no markup from a name.
package sinktest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

// Sink tells one receiver of messages.
type Sink interface {
	Deliver(ctx context.Context, m release.Message, ref []byte) (newRef []byte, err error)
	Close()
}

// Settings are how a sink of a World is made otherwise than usual.
type Settings struct {
	Timeout  time.Duration // 0: a few seconds
	TLS      bool          // the stand-in has a certificate nobody signed
	Trust    bool          // … and the sink is given its authority
	ProxyURL string
	Away     bool // nothing listens where the sink is pointed to
}

// World is a stand-in and a way to sinks that speak to it.
type World struct {
	// Start makes a sink, as a process does that starts anew.
	Start func() Sink
	Door  *standin.Door
	// Shown are the things a person sees at the receiver: incidents, messages,
	// annotations, threads of mail.
	Shown func() []Shown
	// Secrets are what must be in no error and no log.
	Secrets []string
	Log     func() string
	// Revoke makes the receiver refuse the secret from now on.
	Revoke func()
}

// Shown is one thing a person sees.
type Shown struct {
	First string // its first line
	Text  string // all of it
}

// Subject is a kind of sink.
type Subject struct {
	New func(t *testing.T, s Settings) World
	// Name is what its errors call it; SecretSetting is the setting they name when
	// the secret is refused.
	Name, SecretSetting string
	// Statuses are its answers' codes; nil: HTTP's.
	Statuses map[int]release.Code
	// NoRetryAfter: answers cannot say when to come again.
	NoRetryAfter bool
	// Writes is what standin.Fault.On says of the request that makes a new thing,
	// Changes of the one that changes it; "": any is.
	Writes, Changes string
	// Raw are texts that must not stand anywhere in what is shown when names hold
	// Hostile.
	Raw []string
}

// Hostile is what a name or a commit may hold.
const Hostile = `<!channel> <@U012> <https://evil.example|log in> *bold* <script>alert(1)</script> & @everyone </p>`

// HTTPStatuses are the codes of HTTP statuses.
var HTTPStatuses = map[int]release.Code{
	301: release.CodeInvalid, 400: release.CodeInvalid, 401: release.CodeInvalid, 403: release.CodeInvalid,
	404: release.CodeInvalid, 405: release.CodeInvalid, 408: release.CodeUnavailable, 413: release.CodeInvalid,
	422: release.CodeInvalid, 429: release.CodeRateLimited, 500: release.CodeUnavailable, 502: release.CodeUnavailable,
	503: release.CodeUnavailable, 504: release.CodeUnavailable,
}

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	if s.Statuses == nil {
		s.Statuses = HTTPStatuses
	}
	for name, test := range map[string]func(*testing.T, Subject){
		"each status has its code":                       statuses,
		"a page of HTML is no success":                   html,
		"no answer in time may pass":                     hang,
		"a cancelled delivery ends at once":              cancelled,
		"nobody who listens may pass":                    away,
		"a broken connection may pass":                   broken,
		"a lost answer is found again, not doubled":      lost,
		"delivered twice is there once":                  twice,
		"what becomes of a release is told in one place": story,
		"two releases are two":                           apart,
		"a secret is in no error and no log":             secrets,
		"a refused secret names receiver and setting":    revoked,
		"an untrusted certificate names the way out":     untrusted,
		"a trusted authority is enough":                  trusted,
		"a proxy that is away names the way out":         proxy,
		"any message is taken":                           everything,
		"a message of any length is taken, with a link":  long,
		"every state is taken":                           states,
		"hostile text is text":                           hostile,
		"the first line fits a phone":                    first,
		"a test says that it is one":                     test,
		"many at once are each there once":               many,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

// Regressed is the message of a regressed release.
func Regressed(id release.ID) release.Message {
	at := time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)
	rollout := at.Add(-3 * time.Minute)
	return release.Message{
		Key: release.MessageKey(id), Sequence: 2, State: release.SaysRegressed, Severity: release.SeverityCritical,
		Headline: "shop/webapp 1.4.0 → 1.5.0 made things worse: errors 0.1 % → 4.9 %",
		Release:  id, Workload: release.Workload{Cluster: "lab", Namespace: "shop", Name: "webapp", UID: "u-1"},
		Verdict: release.Regressed, From: "1.4.0", To: "1.5.0", Commit: "8f14e45fceea167a5a36dedd4bea2543f1f2d9c1",
		HowBad: []release.Change{{
			Signal: "errors", Name: "error ratio", Unit: release.UnitRatio, Before: 0.001, Now: 0.049, Interval: &release.Effect{Ratio: 38, Low: 12, High: 160},
			BeforeWords: "0.1 %", NowWords: "4.9 %", IntervalWords: "38 times as high (12 to 160)",
			Sentence: "4.9 % of requests fail, before it were 0.1 %: 38 times as many (12 to 160)",
			Curve:    curve(rollout),
		}},
		StartedAt: rollout, DecidedAt: &at, At: at,
		Since: "2 min 5 s after the rollout began", Sure: "one in ten thousand by chance", Did: "rolls back to 1.4.0", Next: "look at the commits",
		Links: []release.Link{
			{Kind: release.LinkRelease, Title: "Release", URL: Page(id)},
			{Kind: release.LinkCommits, Title: "Commits", URL: "https://git.example/shop/webapp/compare/a...b"},
		},
		Labels: map[string]string{"cluster": "lab", "namespace": "shop", "workload": "webapp", "severity": "critical", "state": "regressed"},
	}
}

func curve(from time.Time) []release.Point {
	var out []release.Point
	for i := range 18 {
		before, now := 0.001, 0.001+0.003*float64(i)
		out = append(out, release.Point{At: from.Add(time.Duration(i) * 10 * time.Second), ReleaseValue: &now, BaselineValue: &before})
	}
	return out
}

// Page is where a release of the suite is shown.
func Page(id release.ID) string { return "https://watchtower.example/releases/" + string(id) }

// Then is what became of a release.
func Then(m release.Message, s release.MessageState, headline string) release.Message {
	m.State, m.Headline, m.Sequence, m.At = s, headline, m.Sequence+1, m.At.Add(time.Minute)
	if s.Over() {
		m.Severity, m.EndedAt = release.SeverityInfo, &m.At
	}
	return m
}

// maxRef bounds in bytes what is remembered of a message.
const maxRef = 1024

func deliver(t *testing.T, w World, ref []byte, m release.Message) []byte {
	t.Helper()
	s := w.Start()
	defer s.Close()
	ref, err := s.Deliver(t.Context(), m, ref)
	if err != nil {
		t.Fatalf("%s was not delivered: %v", m.State, err)
	}
	if len(ref) > maxRef {
		t.Errorf("%d bytes are to be remembered", len(ref))
	}
	return ref
}

func refused(t *testing.T, w World, m release.Message) error {
	t.Helper()
	s := w.Start()
	defer s.Close()
	_, err := s.Deliver(t.Context(), m, nil)
	if err == nil {
		t.Fatalf("%s was delivered", m.State)
	}
	return err
}

func one(t *testing.T, w World) Shown {
	t.Helper()
	shown := w.Shown()
	if len(shown) != 1 {
		t.Fatalf("%d are shown, not one: %v", len(shown), shown)
	}
	return shown[0]
}

func code(t *testing.T, err error, want release.Code) {
	t.Helper()
	if got := release.ErrorCode(err); got != want {
		t.Errorf("code %q of %v, want %q", got, err, want)
	}
}

func names(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not named: %v", w, err)
		}
	}
}

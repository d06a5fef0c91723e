// Package slack tells a channel of Slack of releases: one message for each,
// which is changed in place, a thread of what became of it, and buttons for
// those who may decide. Slack knows no key of ours, so that each message carries
// one in its metadata, by which a message is found again whose answer was lost.
package slack

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	api "github.com/slack-go/slack"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	defaultURL     = "https://slack.com/api/"
	defaultTimeout = 10 * time.Second
)

// Config says where messages go.
type Config struct {
	// Name is what the receiver is called in the configuration; errors name it.
	Name string
	// TokenFile holds the app's bot token (xoxb-…). It is read for each message.
	TokenFile string
	// Channel is the id of the channel, such as C024BE91L.
	Channel string
	// URL is where the Web API is; empty: Slack's own.
	URL string
	// Curves has the curve of what got worse uploaded into the thread.
	Curves bool
	// Buttons are the offers that get a button: those that somebody decides who
	// takes the clicks.
	Buttons []release.Offer
	// Turns are the pace that all replicas keep to; nil: this one has its own.
	Turns Turns
	// Digest has releases that need nobody told of in one message per day.
	Digest   bool
	CAFile   string
	ProxyURL string
	// Timeout bounds one request; 0: ten seconds.
	Timeout time.Duration
	Log     *slog.Logger // nil: slog.Default
}

// Sink writes messages. It is safe for concurrent use.
type Sink struct {
	cfg    Config
	client *outbound.Client
	pace   *pace

	digests sync.Mutex // held to change a digest, which is read before it is written

	mu     sync.Mutex
	warned map[string]bool // what the app may not do and was told of
}

var channelID = regexp.MustCompile(`^[CGD][A-Z0-9]{1,30}$`)

// New returns a sink that does not connect before its first message.
func New(cfg Config) (*Sink, error) {
	invalid := func(text string) error {
		return release.E(release.CodeInvalid, "slack receiver "+cfg.Name+": "+text, nil)
	}
	cfg.URL = strings.TrimRight(cmp.Or(cfg.URL, defaultURL), "/") + "/"
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil:
		return nil, invalid("url must be http(s)://host without user and password")
	case cfg.TokenFile == "":
		return nil, invalid("token_file is missing")
	case !channelID.MatchString(cfg.Channel):
		return nil, invalid("channel must be the channel's id, such as C024BE91L: it stands at the end of the channel's About tab in Slack")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Sink{
		cfg: cfg, pace: newPace(cfg), warned: map[string]bool{},
		client: outbound.New(outbound.Config{
			Service: service(cfg.Name), CAFile: cfg.CAFile, ProxyURL: cfg.ProxyURL, Timeout: cmp.Or(cfg.Timeout, defaultTimeout),
		}),
	}, nil
}

func service(name string) string { return "Slack (receiver " + name + ")" }

// Close drops idle connections.
func (s *Sink) Close() { s.client.Close() }

// memory is what a ref holds.
type memory struct {
	TS       string `json:"ts,omitempty"`       // of the parent message
	First    int    `json:"first,omitempty"`    // sequence of the message it was posted with
	Sequence int    `json:"sequence,omitempty"` // of the last message told
	Digest   string `json:"digest,omitempty"`   // the digest's day, where the release stands in one
	// State and Ack are what it said last: the state, and when it was acknowledged,
	// in Unix seconds.
	State release.MessageState `json:"state,omitempty"`
	Ack   int64                `json:"ack,omitempty"`
}

// after is what is remembered once a message was told.
func (at memory) after(m release.Message) memory {
	if m.Sequence > at.Sequence {
		at.Sequence = m.Sequence
	}
	at.State, at.Ack = m.State, 0
	if m.Acknowledged != nil {
		at.Ack = m.Acknowledged.At.Unix()
	}
	return at
}

// Deliver shows a message: its parent message is posted or changed in place,
// and what becomes of it is told in the thread. The ref is what the delivery
// before answered, nil at the first. A message that is not later than the last
// one told is dropped; one whose answer was lost is found again.
//
// Errors are *release.Error: CodeUnavailable and CodeRateLimited, with
// RetryAfter where Slack gave one, may pass; CodeInvalid will not.
func (s *Sink) Deliver(ctx context.Context, m release.Message, ref []byte) ([]byte, error) {
	var at memory
	if ref != nil {
		if err := json.Unmarshal(ref, &at); err != nil {
			return ref, release.E(release.CodeInvalid, service(s.cfg.Name)+": what was remembered of the message is not a ref of Slack's", err)
		}
		if m.Sequence > 0 && m.Sequence <= at.Sequence {
			return ref, nil
		}
	}
	if err := s.pace.held(ctx, "tell "+service(s.cfg.Name)); err != nil {
		return ref, err
	}
	c, err := s.connect()
	if err != nil {
		return ref, err
	}
	if quiet := s.cfg.Digest && at.TS == "" && !m.State.Open() && !m.Test && m.Release != ""; quiet || at.Digest != "" {
		if at.Digest, err = c.digest(ctx, m, at.Digest); err != nil || quiet {
			at.Sequence = m.Sequence
			return remember(ref, at, err)
		}
	}
	at, err = c.show(ctx, m, at)
	return remember(ref, at, err)
}

func remember(ref []byte, at memory, err error) ([]byte, error) {
	if err != nil {
		return ref, err
	}
	next, err := json.Marshal(at)
	return next, err
}

// show brings parent and thread to what the message says.
func (c *conn) show(ctx context.Context, m release.Message, at memory) (memory, error) {
	var err error
	if at.TS == "" {
		if at, err = c.find(ctx, m, at); err != nil {
			return at, err
		}
	}
	if at.TS != "" && at.Sequence < m.Sequence {
		err = c.update(ctx, m, at)
		if gone(err) { // a person deleted it
			at.TS = ""
		} else if err != nil {
			return at, err
		}
	}
	if at.TS == "" {
		if at.TS, err = c.post(ctx, m); err != nil {
			return at, err
		}
		at.First = m.Sequence
	}
	return at.after(m), c.thread(ctx, m, at)
}

// conn is Slack's client with today's token.
type conn struct {
	*api.Client
	sink  *Sink
	token string
}

func (s *Sink) connect() (*conn, error) {
	token, err := outbound.ReadSecret(s.cfg.TokenFile)
	if err != nil {
		return nil, release.E(release.CodeUnavailable, "speak to "+service(s.cfg.Name), err)
	}
	door := doer{s.client, token}
	return &conn{api.New(token, api.OptionHTTPClient(door), api.OptionAPIURL(s.cfg.URL)), s, token}, nil
}

// doer is the HTTP client that Slack's client goes out by.
type doer struct {
	client *outbound.Client
	token  string
}

// Do sends a request. Its errors are *release.Error, which Slack's client hands
// on.
func (d doer) Do(req *http.Request) (*http.Response, error) {
	i := strings.LastIndexByte(req.URL.Path, '/')
	method := req.URL.Path[i+1:]
	if strings.Contains(req.URL.Path, "/upload") {
		method = "upload a file"
	}
	return d.client.Send(method, req, d.token)
}

// once logs something that the app may not do, the first time.
func (s *Sink) once(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warned[what] {
		return
	}
	s.warned[what] = true
	s.cfg.Log.Warn("slack: "+what, "receiver", s.cfg.Name, "err", err)
}

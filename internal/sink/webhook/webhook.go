// Package webhook tells any HTTP service of releases, as CloudEvents 1.0 in
// JSON (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md),
// signed, so that the service knows who speaks and when.
package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// SignatureHeader carries when a request was signed and its signatures:
// "t=1767323045,v1=5257a8…". Each v1 is the HMAC-SHA256, in hexadecimal, of
// the time, a full stop and the body under one of the secrets.
const SignatureHeader = "Watchtower-Signature"

const (
	contentType    = "application/cloudevents+json; charset=utf-8"
	defaultTimeout = 10 * time.Second
)

// Config says where events go.
type Config struct {
	// Name is what the receiver is called in the configuration; errors name it.
	Name string
	// URL takes the events.
	URL string
	// SecretFiles hold the secrets to sign with, one each. While a secret is
	// changed there are two, and a receiver takes a request that is signed with
	// the one it knows.
	SecretFiles []string
	// BearerTokenFile holds a token for the Authorization header; empty: none.
	BearerTokenFile string
	// Headers go with every request.
	Headers  map[string]string
	CAFile   string
	ProxyURL string
	// Timeout bounds one request; 0: ten seconds.
	Timeout time.Duration
}

// Sink sends events. It is safe for concurrent use.
type Sink struct {
	cfg    Config
	client *outbound.Client
}

// New returns a sink that does not connect before its first event.
func New(cfg Config) (*Sink, error) {
	invalid := func(text string) error {
		return release.E(release.CodeInvalid, "webhook receiver "+cfg.Name+": "+text, nil)
	}
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil:
		return nil, invalid("url must be http(s)://host without user and password")
	case len(cfg.SecretFiles) == 0:
		return nil, invalid("secret_file is missing: the receiver could not tell who speaks")
	}
	return &Sink{cfg: cfg, client: outbound.New(outbound.Config{
		Service: service(cfg.Name), Scheme: "Bearer", SecretFile: cfg.BearerTokenFile, Headers: cfg.Headers,
		CAFile: cfg.CAFile, ProxyURL: cfg.ProxyURL, Timeout: cmp.Or(cfg.Timeout, defaultTimeout),
	})}, nil
}

func service(name string) string { return "webhook (receiver " + name + ")" }

// Close drops idle connections.
func (s *Sink) Close() { s.client.Close() }

// memory is what a ref holds.
type memory struct {
	Sequence int `json:"sequence"`
}

// Deliver sends the event of a message. Any status of 2xx takes it. An event
// whose answer was lost is sent again with the same id, by which the receiver
// knows it.
//
// Errors are *release.Error: CodeUnavailable and CodeRateLimited, with
// RetryAfter where it was given, may pass; CodeInvalid will not.
func (s *Sink) Deliver(ctx context.Context, m release.Message, ref []byte) ([]byte, error) {
	var told memory
	if ref != nil {
		if err := json.Unmarshal(ref, &told); err != nil {
			return ref, release.E(release.CodeInvalid, service(s.cfg.Name)+": what was remembered of the message is not a ref of a webhook's", err)
		}
	}
	if m.Sequence > 0 && m.Sequence <= told.Sequence {
		return ref, nil
	}
	body, err := json.Marshal(eventOf(m))
	if err != nil {
		return ref, release.E(release.CodeInternal, "encode the event for "+service(s.cfg.Name), err)
	}
	if err := s.send(ctx, body); err != nil {
		return ref, err
	}
	told.Sequence = m.Sequence
	return json.Marshal(told)
}

func (s *Sink) send(ctx context.Context, body []byte) error {
	const what = "send event"
	secrets := make([]string, len(s.cfg.SecretFiles))
	for i, file := range s.cfg.SecretFiles {
		var err error
		if secrets[i], err = outbound.ReadSecret(file); err != nil {
			return release.E(release.CodeUnavailable, what+" at "+service(s.cfg.Name), err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return release.E(release.CodeInvalid, what+" at "+service(s.cfg.Name), err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set(SignatureHeader, Sign(body, time.Now(), secrets...))
	resp, err := s.client.Send(what, req, secrets...)
	if err != nil {
		return s.advise(err)
	}
	return resp.Body.Close()
}

// advise adds what to do about a refusal.
func (s *Sink) advise(err error) error {
	var e *release.Error
	if !errors.As(err, &e) || e.Code != release.CodeInvalid {
		return err
	}
	next := "see url of the receiver"
	switch outbound.Status(err) {
	case http.StatusUnauthorized, http.StatusForbidden:
		next = "secret_file must hold the secret that the receiver checks the signature with, and bearer_token_file the token it asks for; and its clock must be right"
	case http.StatusGone:
		next = "the receiver wants no more events: take it out of the configuration"
	}
	return release.E(e.Code, e.Message+"; "+next, e.Err)
}

// Sign is the value of SignatureHeader for a body.
func Sign(body []byte, at time.Time, secrets ...string) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	parts := []string{"t=" + stamp}
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(stamp + "."))
		mac.Write(body)
		parts = append(parts, "v1="+hex.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(parts, ",")
}

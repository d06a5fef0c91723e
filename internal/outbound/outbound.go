// Package outbound is how sinks and forges speak JSON over HTTP to the outside:
// secrets from files, answers bounded, and every fault a *release.Error that
// says whether trying again makes sense and holds no secret.
package outbound

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// maxAnswerBytes bounds what is read of one answer.
const maxAnswerBytes = 16 << 20

// userAgent is who asks.
const userAgent = "watchtower"

// Config says how one service is spoken to.
type Config struct {
	// Service is what errors call the other side: "alertmanager", "gitea".
	Service string
	// Scheme is what stands before the secret in the Authorization header:
	// "Bearer", "token".
	Scheme string
	// SecretFile holds the secret; it is read for each request, so that a
	// renewed one counts at once. Empty: none is sent.
	SecretFile string
	// Timeout bounds one request with its answer.
	Timeout time.Duration
	// Headers go with every request.
	Headers map[string]string
	// CAFile holds certificate authorities in PEM, trusted beside the system's.
	// It is read before the first request. Empty: the system's alone.
	CAFile string
	// ServerName is the name that the certificate must be for, where the URL has
	// an address instead; empty: the URL's.
	ServerName string
	// ProxyURL is the proxy to go through; empty: what HTTPS_PROXY, HTTP_PROXY and
	// NO_PROXY say.
	ProxyURL string
}

// Client speaks to one service. It is safe for concurrent use.
type Client struct {
	cfg Config

	mu   sync.Mutex
	http *http.Client // nil until the first request
}

// New returns a client that does not connect before its first request.
func New(cfg Config) *Client { return &Client{cfg: cfg} }

// sameHost follows a redirect only where it keeps host and method, so that a
// secret goes nowhere else and a POST does not become a GET.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 5 || req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme || req.Method != first.Method {
		return http.ErrUseLastResponse
	}
	return nil
}

// Close drops idle connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
}

// StatusError is an answer with a status other than 2xx. It stands in the
// chain of the *release.Error.
type StatusError struct {
	Status int
	// Detail is what the other side said, cut and without secrets.
	Detail string
}

// Error returns the status and what the other side said.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("status %d", e.Status)
	if name := http.StatusText(e.Status); name != "" {
		s += " " + name
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Status returns the HTTP status in err's chain, 0 without one.
func Status(err error) int {
	var e *StatusError
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// Do sends in as JSON (nil: no body) and decodes the answer into out (nil: the
// answer is not looked at). what says in errors what was asked, such as "open
// issue in shop/webapp".
//
// Errors are *release.Error: CodeUnavailable where trying again may help (no
// connection, time-out, 408, 5xx, an answer that is no JSON, an unreadable
// secret), CodeRateLimited for 429 with RetryAfter where it was given,
// CodeInvalid for every other status. An error does not tell whether the
// request took effect.
func (c *Client) Do(ctx context.Context, what, method, target string, in, out any) error {
	req, err := c.request(ctx, method, target, in)
	if err != nil {
		return c.fail(what, release.CodeInvalid, err)
	}
	resp, err := c.Send(what, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return c.fail(what, release.CodeUnavailable, fmt.Errorf("the answer is not the JSON that was expected: %w", err))
	}
	return nil
}

// Send sends a request of the caller's own making, such as that of a client
// library, and returns the answer with its body read whole. The secret file, where there is one, becomes the Authorization
// header; what else is secret in the request is named in secrets, so that it
// stays out of errors. Errors are those of Do, but for the answer's form.
func (c *Client) Send(what string, req *http.Request, secrets ...string) (*http.Response, error) {
	secret, err := c.secret()
	if err != nil {
		return nil, c.fail(what, release.CodeUnavailable, err)
	}
	client, err := c.client()
	if err != nil {
		return nil, c.fail(what, release.CodeUnavailable, err)
	}
	if secret != "" {
		req.Header.Set("Authorization", c.cfg.Scheme+" "+secret)
		secrets = append(secrets, secret)
	}
	for name, value := range c.cfg.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", userAgent)
	ctx, cancel := context.WithTimeout(req.Context(), c.cfg.Timeout)
	defer cancel()
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, c.fail(what, release.CodeUnavailable, connection(ctx, err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, c.fail(what, release.CodeUnavailable, fmt.Errorf("read the answer: %w", connection(ctx, err)))
	}
	if resp.StatusCode/100 != 2 {
		e := c.fail(what, statusCode(resp.StatusCode), &StatusError{resp.StatusCode, detail(resp, body, secrets)})
		e.RetryAfter = retryAfter(resp, time.Now())
		return nil, e
	}
	if len(body) > maxAnswerBytes {
		return nil, c.fail(what, release.CodePartial, fmt.Errorf("the answer is longer than %d bytes", maxAnswerBytes))
	}
	if isHTML(resp, body) {
		return nil, c.fail(what, release.CodeUnavailable, fmt.Errorf("status %d with a page of HTML: something else answers at %s, such as a log-in page or a proxy", resp.StatusCode, origin(req.URL)))
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func (c *Client) fail(what string, code release.Code, err error) *release.Error {
	return release.E(code, what+" at "+c.cfg.Service, err)
}

func (c *Client) request(ctx context.Context, method, target string, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// origin is scheme and host of a URL, which is all of it that an error shows.
func origin[T string | *url.URL](u T) string {
	switch u := any(u).(type) {
	case *url.URL:
		return u.Scheme + "://" + u.Host
	case string:
		if parsed, err := url.Parse(u); err == nil {
			return parsed.Scheme + "://" + parsed.Host
		}
	}
	return "the URL"
}

func statusCode(status int) release.Code {
	switch {
	case status == http.StatusTooManyRequests:
		return release.CodeRateLimited
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		return release.CodeUnavailable
	}
	return release.CodeInvalid
}

func isHTML(resp *http.Response, body []byte) bool {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "text/html" || kind == "application/xhtml+xml" {
		return true
	}
	start := strings.ToLower(string(bytes.TrimSpace(body[:min(len(body), 64)])))
	return strings.HasPrefix(start, "<!doctype html") || strings.HasPrefix(start, "<html")
}

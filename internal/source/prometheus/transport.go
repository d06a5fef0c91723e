package prometheus

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	maxSecretBytes = 64 << 10
	// shortestSecret is the length from which on a secret is looked for in what
	// the other side says.
	shortestSecret = 4
	// Without Retry-After, and at most:
	defaultRetryAfter = 5 * time.Second
	maxRetryAfter     = 10 * time.Minute
)

var errTooLong = errors.New("the answer is too long")

// exchange is what the transport saw of one question; it travels in the
// request's context.
type exchange struct {
	max        int64
	read       int64 // bytes of the answer
	status     int
	retryAfter time.Duration
	secrets    []string
}

type exchangeKey struct{}

// transport adds credentials to requests to the source's own host, and bounds
// what is read of the answer.
type transport struct {
	cfg  Config
	base *url.URL
	next *http.Transport
}

func newTransport(cfg Config, base *url.URL) *transport {
	next := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: cfg.Timeout, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		DisableCompression:    !cfg.Compress,
		MaxIdleConnsPerHost:   cfg.Concurrency,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   cfg.Timeout,
		ExpectContinueTimeout: time.Second,
	}
	if cfg.TLS != (TLS{}) {
		next.TLSClientConfig = cfg.TLS.config(base)
	}
	return &transport{cfg, base, next}
}

// sameHost follows no redirect to another host: secrets go nowhere else.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 5 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme || req.Method != via[0].Method {
		return http.ErrUseLastResponse
	}
	return nil
}

// CloseIdleConnections is what http.Client calls of the same name.
func (t *transport) CloseIdleConnections() { t.next.CloseIdleConnections() }

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	x, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		x = &exchange{max: minAnswerBytes}
	}
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", "watchtower")
	if req.URL.Host == t.base.Host && req.URL.Scheme == t.base.Scheme {
		if err := t.authorize(req, x); err != nil {
			if req.Body != nil {
				req.Body.Close()
			}
			return nil, err
		}
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	x.status = resp.StatusCode
	x.retryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	resp.Body = &bounded{resp.Body, x}
	return resp, nil
}

func (t *transport) authorize(req *http.Request, x *exchange) error {
	for name, value := range t.cfg.Headers {
		req.Header.Set(name, value)
	}
	if t.cfg.Tenant != "" {
		req.Header.Set(tenantHeader, t.cfg.Tenant)
	}
	for name, file := range t.cfg.HeaderFiles {
		value, err := readSecret(file)
		if err != nil {
			return err
		}
		x.keep(value)
		req.Header.Set(name, value)
	}
	switch {
	case t.cfg.BearerTokenFile != "":
		token, err := readSecret(t.cfg.BearerTokenFile)
		if err != nil {
			return err
		}
		x.keep(token)
		req.Header.Set("Authorization", "Bearer "+token)
	case t.cfg.BasicUser != "":
		password, err := readSecret(t.cfg.BasicPasswordFile)
		if err != nil {
			return err
		}
		x.keep(password)
		x.keep(base64.StdEncoding.EncodeToString([]byte(t.cfg.BasicUser + ":" + password)))
		req.SetBasicAuth(t.cfg.BasicUser, password)
	}
	return nil
}

func (x *exchange) keep(secret string) {
	if len(secret) >= shortestSecret {
		x.secrets = append(x.secrets, secret)
	}
}

// readSecret reads a secret file. Its error names the file, never the content.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	switch {
	case secret == "":
		return "", fmt.Errorf("secret file %s is empty", path)
	case len(text) > maxSecretBytes || strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", fmt.Errorf("secret file %s holds more than one line", path)
	}
	return secret, nil
}

// bounded is a body of which only so much is read.
type bounded struct {
	io.ReadCloser
	x *exchange
}

// Read fails with errTooLong once more came than is allowed.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.x.read += int64(n); b.x.read > b.x.max {
		return n, errTooLong
	}
	return n, err
}

// retryAfter reads the header, in seconds or as a date.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return defaultRetryAfter
}

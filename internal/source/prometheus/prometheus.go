// Package prometheus reads raw samples from a Prometheus or anything else that
// speaks its HTTP API: Thanos, Mimir, VictoriaMetrics. Every fault is a
// *release.Error that says of what kind it is and holds no secret; an answer
// that may not be whole is a fault.
package prometheus

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

const (
	defaultTimeout     = 10 * time.Second
	defaultConcurrency = 4
	// Bounds of one answer, beside that of its samples: those of label sets are
	// held in memory, those of samples mostly are not. A longer one is too
	// expensive, which makes the asker ask for less at once.
	minAnswerBytes = 64 << 20
	bytesPerSample = 40
)

// Config says how the source is asked.
type Config struct {
	URL    string // base URL, without /api/v1; no user or password in it
	Kind   string // KindPrometheus by default
	Tenant string // of Mimir
	// BearerTokenFile or BasicUser with BasicPasswordFile, or none. Files of
	// secrets are read for each request, so that a renewed one counts at once.
	BearerTokenFile   string
	BasicUser         string
	BasicPasswordFile string
	Headers           map[string]string // of each request
	HeaderFiles       map[string]string // of each request: the name to a file with the value
	TLS               TLS
	Timeout           time.Duration // of one query; default 10 s
	Compress          bool          // ask for packed answers
	Concurrency       int           // queries at once; default 4
	QueriesPerSecond  int           // that may begin; 0: any number
	MaxQueryBytes     int           // of one query; default MaxQueryBytes(Kind)
	MaxSamples        int           // of one answer; default 10 million
}

// Source is a signal.Querier on the Prometheus HTTP API.
type Source struct {
	kind    string
	base    *url.URL
	http    *http.Client
	name    string // of the source in errors: its scheme and host
	timeout time.Duration
	slots   chan struct{}
	rate    *rate.Limiter // nil: any
	limits  samples.Limits
	max     int64 // bytes of an answer
	metrics metrics
	types   typeCache

	mu sync.Mutex
	// quietUntil is when the source, having answered 429, may be asked again.
	quietUntil time.Time
}

var _ signal.Querier = (*Source)(nil)

// New makes a Source; it does not connect. Its own metrics go to reg, which may
// be nil. The error is a *release.Error with CodeInvalid.
func New(cfg Config, reg prometheus.Registerer) (*Source, error) {
	cfg = withDefaults(cfg)
	u, err := check(cfg)
	if err != nil {
		return nil, release.E(release.CodeInvalid, "prometheus source", err)
	}
	s := &Source{
		kind:    cfg.Kind,
		base:    u,
		name:    u.Scheme + "://" + u.Host,
		timeout: cfg.Timeout,
		slots:   make(chan struct{}, cfg.Concurrency),
		limits:  samples.Limits{QueryBytes: cfg.MaxQueryBytes, Samples: cfg.MaxSamples},
		max:     max(minAnswerBytes, bytesPerSample*int64(cfg.MaxSamples)),
	}
	if cfg.QueriesPerSecond > 0 {
		s.rate = rate.NewLimiter(rate.Limit(cfg.QueriesPerSecond), cfg.Concurrency)
	}
	if s.metrics, err = newMetrics(reg); err != nil {
		return nil, release.E(release.CodeInvalid, "register the metrics of the prometheus source", err)
	}
	s.http = &http.Client{Transport: newTransport(cfg, u), CheckRedirect: sameHost}
	return s, nil
}

func withDefaults(cfg Config) Config {
	if cfg.Kind == "" {
		cfg.Kind = KindPrometheus
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = defaultConcurrency
	}
	if cfg.MaxQueryBytes <= 0 {
		cfg.MaxQueryBytes = MaxQueryBytes(cfg.Kind)
	}
	if cfg.MaxSamples <= 0 {
		cfg.MaxSamples = defaultSamples
	}
	return cfg
}

func check(cfg Config) (*url.URL, error) {
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil:
		return nil, errors.New("the URL cannot be parsed") // it may hold a secret
	case u.User != nil:
		return nil, errors.New("the URL holds a user or password: give them by file")
	case (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return nil, errors.New("the URL must begin with http:// or https:// and a host")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the URL must have no query and no fragment")
	case cfg.BearerTokenFile != "" && cfg.BasicUser != "":
		return nil, errors.New("a bearer token and a basic user exclude one another")
	case (cfg.BasicUser == "") != (cfg.BasicPasswordFile == ""):
		return nil, errors.New("a basic user and a password file belong together")
	case !knownKind(cfg.Kind):
		return nil, errors.New("the kind must be prometheus, thanos, mimir or victoriametrics")
	case cfg.Tenant != "" && cfg.Kind != KindMimir:
		return nil, errors.New("only mimir has tenants")
	}
	return u, cfg.TLS.check(u)
}

// Close drops idle connections.
func (s *Source) Close() { s.http.CloseIdleConnections() }

// ask puts one question: within the concurrency, the rate, the time-out and what
// the source asked for when it was asked too often.
func (s *Source) ask(ctx context.Context, q question) error {
	if err := s.quiet(time.Now()); err != nil {
		return s.done(err)
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return release.E(release.CodeUnavailable, "wait for a turn to ask "+s.name, ctx.Err())
	}
	if err := s.pace(ctx); err != nil {
		return s.done(err)
	}
	// While waiting for the turn another query may have been refused.
	if err := s.quiet(time.Now()); err != nil {
		return s.done(err)
	}
	x := &exchange{max: s.max}
	timed, cancel := context.WithTimeout(context.WithValue(ctx, exchangeKey{}, x), s.timeout)
	defer cancel()
	s.metrics.inFlight.Inc()
	begin := time.Now()
	warnings, err := s.put(timed, q)
	s.metrics.seconds.Observe(time.Since(begin).Seconds())
	s.metrics.inFlight.Dec()
	s.metrics.bytes.Add(float64(x.read))
	return s.done(s.fault(timed, x, q, warnings, err))
}

// done counts what came of a question.
func (s *Source) done(fault *release.Error) error {
	if fault == nil {
		s.metrics.queries.WithLabelValues("ok").Inc()
		return nil
	}
	s.metrics.queries.WithLabelValues(string(fault.Code)).Inc()
	return fault
}

// pace waits until the rate allows another query, for as long as one may take.
func (s *Source) pace(ctx context.Context) *release.Error {
	if s.rate == nil {
		return nil
	}
	turn := s.rate.Reserve()
	wait := turn.Delay()
	if wait <= 0 {
		return nil
	}
	if wait > s.timeout {
		turn.Cancel()
		e := release.E(release.CodeRateLimited, "more queries are due to "+s.name+" than queries_per_second allows", nil)
		e.RetryAfter = wait
		return e
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		turn.Cancel()
		return release.E(release.CodeUnavailable, "wait for a turn to ask "+s.name, ctx.Err())
	}
}

// quiet is the error of a question that would come too early.
func (s *Source) quiet(now time.Time) *release.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := s.quietUntil.Sub(now)
	if wait <= 0 {
		return nil
	}
	e := release.E(release.CodeRateLimited, s.name+" asked to be left alone for a while", nil)
	e.RetryAfter = wait
	return e
}

func (s *Source) beQuiet(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until.After(s.quietUntil) {
		s.quietUntil = until
	}
}

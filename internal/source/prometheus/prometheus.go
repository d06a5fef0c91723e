// Package prometheus reads raw samples from a Prometheus or anything else that
// speaks its HTTP API. Every fault is a *release.Error that says of what kind
// it is and holds no secret; an answer that may not be whole is a fault.
package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

const (
	defaultTimeout     = 10 * time.Second
	defaultConcurrency = 4
	// maxAnswerBytes bounds one answer. A longer one is too expensive, which
	// makes the asker ask for less at once.
	maxAnswerBytes = 64 << 20
)

// Config says how the source is asked.
type Config struct {
	URL string // base URL, without /api/v1; no user or password in it
	// BearerTokenFile or BasicUser with BasicPasswordFile, or none. The files are
	// read for each request, so that a renewed secret counts at once.
	BearerTokenFile   string
	BasicUser         string
	BasicPasswordFile string
	Headers           map[string]string // of each request, such as X-Scope-OrgID
	Timeout           time.Duration     // of one query; default 10 s
	Concurrency       int               // queries at once; default 4
}

// Source is a signal.Querier on the Prometheus HTTP API.
type Source struct {
	api     v1.API
	http    *http.Client
	name    string // of the source in errors: its scheme and host
	timeout time.Duration
	slots   chan struct{}
	max     int64 // bytes of an answer
	metrics metrics

	mu sync.Mutex
	// quietUntil is when the source, having answered 429, may be asked again.
	quietUntil time.Time
}

var _ signal.Querier = (*Source)(nil)

// New makes a Source; it does not connect. Its own metrics go to reg, which may
// be nil. The error is a *release.Error with CodeInvalid.
func New(cfg Config, reg prometheus.Registerer) (*Source, error) {
	u, err := check(cfg)
	if err != nil {
		return nil, release.E(release.CodeInvalid, "prometheus source", err)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = defaultConcurrency
	}
	s := &Source{
		name:    u.Scheme + "://" + u.Host,
		timeout: cfg.Timeout,
		slots:   make(chan struct{}, cfg.Concurrency),
		max:     maxAnswerBytes,
	}
	if s.metrics, err = newMetrics(reg); err != nil {
		return nil, release.E(release.CodeInvalid, "register the metrics of the prometheus source", err)
	}
	s.http = &http.Client{Transport: newTransport(cfg, u), CheckRedirect: sameHost}
	client, err := api.NewClient(api.Config{Address: cfg.URL, Client: s.http})
	if err != nil {
		return nil, release.E(release.CodeInvalid, "prometheus source", err)
	}
	s.api = v1.NewAPI(client)
	return s, nil
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
	}
	return u, nil
}

// Close drops idle connections.
func (s *Source) Close() { s.http.CloseIdleConnections() }

// Raw implements signal.Querier by an instant query of a range selector, which
// answers with the samples as they were scraped.
func (s *Source) Raw(ctx context.Context, selector string, window time.Duration, at time.Time) ([]signal.Series, error) {
	var out []signal.Series
	expr := selector + "[" + model.Duration(window).String() + "]"
	err := s.ask(ctx, func(ctx context.Context) (v1.Warnings, error) {
		value, warnings, _, err := s.api.Query(ctx, expr, at, v1.WithTimeout(s.timeout))
		if err != nil || len(warnings) > 0 {
			return warnings, err
		}
		matrix, ok := value.(model.Matrix)
		if !ok {
			return nil, release.E(release.CodeUnavailable, fmt.Sprintf("raw samples were asked for, %s answered with a %s", s.name, kind(value)), nil)
		}
		out = s.series(matrix, at.Add(-window).UnixMilli(), at.UnixMilli())
		return nil, nil
	})
	return out, err
}

func kind(v model.Value) string {
	if v == nil {
		return "nothing"
	}
	return v.Type().String()
}

// series converts what Prometheus answers. Samples at the edge of the window
// belong to it as in PromQL since version 3: (from, to].
func (s *Source) series(matrix model.Matrix, from, to int64) []signal.Series {
	out := make([]signal.Series, 0, len(matrix))
	total := 0
	for _, stream := range matrix {
		one := signal.Series{Labels: make(map[string]string, len(stream.Metric)), Samples: make([]signal.Sample, 0, len(stream.Values))}
		for name, value := range stream.Metric {
			one.Labels[string(name)] = string(value)
		}
		for _, v := range stream.Values {
			if ms := int64(v.Timestamp); ms > from && ms <= to {
				one.Samples = append(one.Samples, signal.Sample{Millis: ms, Value: float64(v.Value)})
			}
		}
		if len(one.Samples) > 0 {
			total += len(one.Samples)
			out = append(out, one)
		}
	}
	s.metrics.samples.Add(float64(total))
	return out
}

// Series implements signal.Querier.
func (s *Source) Series(ctx context.Context, selectors []string, from, to time.Time) ([]map[string]string, error) {
	var out []map[string]string
	err := s.ask(ctx, func(ctx context.Context) (v1.Warnings, error) {
		sets, warnings, _, err := s.api.Series(ctx, selectors, from, to)
		if err != nil || len(warnings) > 0 {
			return warnings, err
		}
		out = make([]map[string]string, 0, len(sets))
		for _, set := range sets {
			one := make(map[string]string, len(set))
			for name, value := range set {
				one[string(name)] = string(value)
			}
			out = append(out, one)
		}
		return nil, nil
	})
	return out, err
}

// ask puts one question: within the concurrency, the time-out and what the
// source asked for when it was asked too often.
func (s *Source) ask(ctx context.Context, question func(context.Context) (v1.Warnings, error)) error {
	if err := s.quiet(time.Now()); err != nil {
		s.metrics.queries.WithLabelValues(string(release.CodeRateLimited)).Inc()
		return err
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return release.E(release.CodeUnavailable, "wait for a turn to ask "+s.name, ctx.Err())
	}
	// While waiting for the turn another query may have been refused.
	if err := s.quiet(time.Now()); err != nil {
		s.metrics.queries.WithLabelValues(string(release.CodeRateLimited)).Inc()
		return err
	}
	x := &exchange{max: s.max}
	timed, cancel := context.WithTimeout(context.WithValue(ctx, exchangeKey{}, x), s.timeout)
	defer cancel()
	begin := time.Now()
	warnings, err := question(timed)
	s.metrics.seconds.Observe(time.Since(begin).Seconds())
	fault := s.fault(timed, x, warnings, err)
	if fault == nil {
		s.metrics.queries.WithLabelValues("ok").Inc()
		return nil
	}
	s.metrics.queries.WithLabelValues(string(fault.Code)).Inc()
	if fault.Code == release.CodeRateLimited {
		s.beQuiet(time.Now().Add(fault.RetryAfter))
	}
	return fault
}

// quiet is the error of a question that would come too early.
func (s *Source) quiet(now time.Time) error {
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

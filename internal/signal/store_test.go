package signal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
	"github.com/watchtower-verify/watchtower/rules"
)

// store is a metric store in memory. It understands selectors as Prometheus
// does and answers with what it was given.
type store struct {
	mu      sync.Mutex
	series  map[string]*samples.Series
	fail    func(query string, window time.Duration) error
	queries []string
	lists   int
	parsed  map[string][]*labels.Matcher
	types   map[string][]string // of metrics, as targets declare them
}

func newStore() *store {
	return &store{series: map[string]*samples.Series{}, types: map[string][]string{}}
}

// put appends a sample. Labels are "name=value" pairs.
func (s *store) put(at time.Time, value float64, pairs ...string) {
	set := map[string]string{}
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		set[k] = v
	}
	s.putSet(at, value, labels.FromMap(set))
}

func (s *store) putSet(at time.Time, value float64, set labels.Labels) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ser := s.seriesOf(set)
	ser.Floats = append(ser.Floats, samples.Float{Millis: at.UnixMilli(), Value: value})
	slices.SortStableFunc(ser.Floats, func(a, b samples.Float) int { return int(a.Millis - b.Millis) })
}

// putHistogram appends a native histogram.
func (s *store) putHistogram(h samples.Histogram, set labels.Labels) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ser := s.seriesOf(set)
	ser.Histograms = append(ser.Histograms, h)
}

func (s *store) seriesOf(set labels.Labels) *samples.Series {
	key := set.String()
	if s.series[key] == nil {
		s.series[key] = &samples.Series{Labels: set}
	}
	return s.series[key]
}

func matchersOf(query string) ([]*labels.Matcher, error) {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", query, err)
	}
	return e.(*parser.VectorSelector).LabelMatchers, nil
}

func (s *store) Raw(_ context.Context, query string, window time.Duration, at time.Time) ([]samples.Series, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries = append(s.queries, query)
	if s.fail != nil {
		if err := s.fail(query, window); err != nil {
			return nil, err
		}
	}
	found, err := s.find(query, at.Add(-window), at)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Range knows selectors only, with the staleness of five minutes.
func (s *store) Range(_ context.Context, expr string, from, to time.Time, step time.Duration) ([]samples.Series, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries = append(s.queries, expr)
	if s.fail != nil {
		if err := s.fail(expr, to.Sub(from)); err != nil {
			return nil, err
		}
	}
	found, err := s.find(expr, from.Add(-5*time.Minute), to)
	if err != nil {
		return nil, err
	}
	for i := range found {
		var at []samples.Float
		for t := from; !t.After(to); t = t.Add(step) {
			for j := len(found[i].Floats) - 1; j >= 0; j-- {
				f := found[i].Floats[j]
				if f.Millis <= t.UnixMilli() && f.Millis > t.Add(-5*time.Minute).UnixMilli() {
					at = append(at, samples.Float{Millis: t.UnixMilli(), Value: f.Value})
					break
				}
			}
		}
		found[i].Floats = at
	}
	return found, nil
}

func (s *store) Types(_ context.Context, metric string) ([]string, error) {
	return s.types[metric], nil
}

func (s *store) Series(_ context.Context, queries []string, from, to time.Time) ([]labels.Labels, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	var out []labels.Labels
	for _, q := range queries {
		if s.fail != nil {
			if err := s.fail(q, to.Sub(from)); err != nil {
				return nil, err
			}
		}
		found, err := s.find(q, from, to)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			out = append(out, f.Labels)
		}
	}
	return out, nil
}

func (s *store) find(query string, from, to time.Time) ([]samples.Series, error) {
	ms, ok := s.parsed[query]
	if !ok {
		var err error
		if ms, err = matchersOf(query); err != nil {
			return nil, err
		}
		if s.parsed == nil {
			s.parsed = map[string][]*labels.Matcher{}
		}
		s.parsed[query] = ms
	}
	var out []samples.Series
	for _, ser := range s.series { // in no order, as the map has it
		if slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(ser.Labels.Get(m.Name)) }) {
			continue
		}
		hit := samples.Series{Labels: ser.Labels}
		for _, p := range ser.Floats {
			if p.Millis > from.UnixMilli() && p.Millis <= to.UnixMilli() {
				hit.Floats = append(hit.Floats, p)
			}
		}
		for _, h := range ser.Histograms {
			if h.Millis > from.UnixMilli() && h.Millis <= to.UnixMilli() {
				hit.Histograms = append(hit.Histograms, h)
			}
		}
		if len(hit.Floats)+len(hit.Histograms) > 0 {
			out = append(out, hit)
		}
	}
	return out, nil
}

func builtin(t testing.TB) *catalogue.Catalogue {
	t.Helper()
	c, err := catalogue.Load(rules.Signals)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

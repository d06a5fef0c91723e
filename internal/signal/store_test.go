package signal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchtower-verify/watchtower/rules"
)

// store is a metric store in memory. It understands selectors as Prometheus
// does and answers with what it was given.
type store struct {
	mu      sync.Mutex
	series  map[string]*Series
	fail    func(query string, window time.Duration) error
	queries []string
	lists   int
	parsed  map[string][]*labels.Matcher
}

func newStore() *store { return &store{series: map[string]*Series{}} }

// put appends a sample. Labels are "name=value" pairs.
func (s *store) put(at time.Time, value float64, pairs ...string) {
	set := map[string]string{}
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		set[k] = v
	}
	s.putSet(at, value, set)
}

func (s *store) putSet(at time.Time, value float64, set map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprint(set)
	if s.series[key] == nil {
		s.series[key] = &Series{Labels: maps.Clone(set)}
	}
	ser := s.series[key]
	ser.Samples = append(ser.Samples, Sample{at.UnixMilli(), value})
	slices.SortStableFunc(ser.Samples, func(a, b Sample) int { return int(a.Millis - b.Millis) })
}

func matchersOf(query string) ([]*labels.Matcher, error) {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", query, err)
	}
	return e.(*parser.VectorSelector).LabelMatchers, nil
}

func (s *store) Raw(_ context.Context, query string, window time.Duration, at time.Time) ([]Series, error) {
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

func (s *store) Series(_ context.Context, queries []string, from, to time.Time) ([]map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	var out []map[string]string
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

func (s *store) find(query string, from, to time.Time) ([]Series, error) {
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
	var out []Series
	for _, ser := range s.series { // in no order, as the map has it
		if slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(ser.Labels[m.Name]) }) {
			continue
		}
		hit := Series{Labels: maps.Clone(ser.Labels)}
		for _, p := range ser.Samples {
			if p.Millis > from.UnixMilli() && p.Millis <= to.UnixMilli() {
				hit.Samples = append(hit.Samples, p)
			}
		}
		if len(hit.Samples) > 0 {
			out = append(out, hit)
		}
	}
	return out, nil
}

func builtin(t testing.TB) *Catalogue {
	t.Helper()
	c, err := Load(rules.Signals)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Package memory is a metric store in memory: Prometheus' own query engine over
// series that were put there.
package memory

import (
	"context"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// Store holds series. What is put there comes before what is asked.
type Store struct {
	engine *promql.Engine
	series map[string]*memory
	list   []*memory // in order of labels, once sorted
	sorted sync.Once
	// Refuse makes raw queries over longer windows too expensive; 0: none.
	Refuse time.Duration
}

type memory struct {
	set    labels.Labels
	floats []samples.Float
}

type point struct {
	t int64
	v float64
}

func (p point) T() int64                      { return p.t }
func (p point) F() float64                    { return p.v }
func (p point) ST() int64                     { return 0 }
func (p point) H() *histogram.Histogram       { return nil }
func (p point) FH() *histogram.FloatHistogram { return nil }
func (p point) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (p point) Copy() chunks.Sample           { return p }

// New returns an empty store.
func New() *Store {
	return &Store{
		engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 50_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute}),
		series: map[string]*memory{},
	}
}

// Put stores one sample of the series of the labels, each "name=value"; those of a
// series come in the order of time.
func (e *Store) Put(at time.Time, v float64, pairs ...string) {
	key := strings.Join(pairs, "\xff")
	m := e.series[key]
	if m == nil {
		b := labels.NewScratchBuilder(len(pairs))
		for _, p := range pairs {
			name, value, _ := strings.Cut(p, "=")
			b.Add(name, value)
		}
		b.Sort()
		m = &memory{set: b.Labels()}
		e.series[key] = m
	}
	m.floats = append(m.floats, samples.Float{Millis: at.UnixMilli(), Value: v})
}

// Add stores a whole series.
func (e *Store) Add(set labels.Labels, floats []samples.Float) {
	e.series[set.String()] = &memory{set: set, floats: floats}
}

// Each lets every series be changed.
func (e *Store) Each(change func(labels.Labels, []samples.Float) (labels.Labels, []samples.Float)) {
	for _, m := range e.series {
		m.set, m.floats = change(m.set, m.floats)
	}
}

// matching are the series that matchers select and have samples in [from, to].
func (e *Store) matching(from, to int64, ms []*labels.Matcher) []samples.Series {
	e.sorted.Do(func() {
		for _, m := range e.series {
			e.list = append(e.list, m)
		}
		slices.SortFunc(e.list, func(a, b *memory) int { return labels.Compare(a.set, b.set) })
	})
	var out []samples.Series
	for _, m := range e.list {
		if slices.ContainsFunc(ms, func(l *labels.Matcher) bool { return !l.Matches(m.set.Get(l.Name)) }) {
			continue
		}
		begin := sort.Search(len(m.floats), func(i int) bool { return m.floats[i].Millis >= from })
		end := sort.Search(len(m.floats), func(i int) bool { return m.floats[i].Millis > to })
		if begin < end {
			out = append(out, samples.Series{Labels: m.set, Floats: m.floats[begin:end:end]})
		}
	}
	return out
}

// Querier serves the query engine.
func (e *Store) Querier(from, to int64) (storage.Querier, error) {
	return &memoryQuerier{e, from, to}, nil
}

type memoryQuerier struct {
	e        *Store
	from, to int64
}

func (q *memoryQuerier) Select(_ context.Context, _ bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	var out []storage.Series
	for _, m := range q.e.matching(q.from, q.to, ms) {
		list := make([]chunks.Sample, len(m.Floats))
		for i, f := range m.Floats {
			list[i] = point{f.Millis, f.Value}
		}
		out = append(out, storage.NewListSeries(m.Labels, list))
	}
	return &seriesSet{list: out}
}

type seriesSet struct {
	list []storage.Series
	now  storage.Series
}

func (s *seriesSet) Next() bool {
	if len(s.list) == 0 {
		return false
	}
	s.now, s.list = s.list[0], s.list[1:]
	return true
}

func (s *seriesSet) At() storage.Series                { return s.now }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

func (q *memoryQuerier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (q *memoryQuerier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (q *memoryQuerier) Close() error { return nil }

// Raw returns raw samples.
func (e *Store) Raw(_ context.Context, selector string, window time.Duration, at time.Time) ([]samples.Series, error) {
	if e.Refuse > 0 && window > e.Refuse {
		return nil, release.E(release.CodeTooExpensive, "too many samples", nil)
	}
	ms, err := matchers(selector)
	if err != nil {
		return nil, err
	}
	return e.matching(at.Add(-window).UnixMilli()+1, at.UnixMilli(), ms), nil
}

func matchers(selector string) ([]*labels.Matcher, error) {
	ms, err := parser.NewParser(parser.Options{}).ParseMetricSelector(selector)
	if err != nil {
		return nil, release.E(release.CodeBadQuery, selector, err)
	}
	return ms, nil
}

// Range evaluates an expression.
func (e *Store) Range(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]samples.Series, error) {
	q, err := e.engine.NewRangeQuery(ctx, e, nil, expr, from, to, step)
	if err != nil {
		return nil, release.E(release.CodeBadQuery, expr, err)
	}
	return answerOf(q.Exec(ctx))
}

func answerOf(res *promql.Result) ([]samples.Series, error) {
	if res.Err != nil {
		return nil, release.E(release.CodeUnavailable, "query", res.Err)
	}
	m, err := res.Matrix()
	if err != nil {
		return nil, release.E(release.CodeBadQuery, "query", err)
	}
	out := make([]samples.Series, 0, len(m))
	for _, s := range m {
		series := samples.Series{Labels: s.Metric.Copy()}
		for _, f := range s.Floats {
			series.Floats = append(series.Floats, samples.Float{Millis: f.T, Value: f.F})
		}
		out = append(out, series)
	}
	return out, nil
}

// Series lists label sets.
func (e *Store) Series(_ context.Context, selectors []string, from, to time.Time) ([]labels.Labels, error) {
	var out []labels.Labels
	for _, s := range selectors {
		ms, err := matchers(s)
		if err != nil {
			return nil, err
		}
		for _, m := range e.matching(from.UnixMilli(), to.UnixMilli(), ms) {
			out = append(out, m.Labels)
		}
	}
	return out, nil
}

// Types knows nothing.
func (e *Store) Types(context.Context, string) ([]string, error) { return nil, nil }

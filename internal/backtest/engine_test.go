package backtest

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
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

// engine is Prometheus' own query engine over series in memory.
type engine struct {
	engine *promql.Engine
	series map[string]*memory
	// refuse makes raw queries over longer windows too expensive; 0: none.
	refuse time.Duration
}

type memory struct {
	set  labels.Labels
	list []chunks.Sample
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

func newEngine() *engine {
	return &engine{
		engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 50_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute}),
		series: map[string]*memory{},
	}
}

// put stores one sample; those of a series come in the order of time.
func (e *engine) put(at time.Time, v float64, pairs ...string) {
	key := strings.Join(pairs, ",")
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
	m.list = append(m.list, point{at.UnixMilli(), v})
}

func (e *engine) Querier(from, to int64) (storage.Querier, error) {
	return &memoryQuerier{e, from, to}, nil
}

type memoryQuerier struct {
	e        *engine
	from, to int64
}

func (q *memoryQuerier) Select(_ context.Context, _ bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	var out []storage.Series
	for _, m := range q.e.series {
		if !slices.ContainsFunc(ms, func(l *labels.Matcher) bool { return !l.Matches(m.set.Get(l.Name)) }) {
			begin := sort.Search(len(m.list), func(i int) bool { return m.list[i].T() >= q.from })
			end := sort.Search(len(m.list), func(i int) bool { return m.list[i].T() > q.to })
			if begin < end {
				out = append(out, storage.NewListSeries(m.set, m.list[begin:end]))
			}
		}
	}
	slices.SortFunc(out, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
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

func (e *engine) Raw(ctx context.Context, selector string, window time.Duration, at time.Time) ([]samples.Series, error) {
	if e.refuse > 0 && window > e.refuse {
		return nil, release.E(release.CodeTooExpensive, "too many samples", nil)
	}
	q, err := e.engine.NewInstantQuery(ctx, e, nil, fmt.Sprintf("%s[%dms]", selector, window.Milliseconds()), at)
	if err != nil {
		return nil, release.E(release.CodeBadQuery, selector, err)
	}
	return answerOf(q.Exec(ctx))
}

func (e *engine) Range(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]samples.Series, error) {
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

func (e *engine) Series(ctx context.Context, selectors []string, from, to time.Time) ([]labels.Labels, error) {
	q := &memoryQuerier{e, from.UnixMilli(), to.UnixMilli()}
	var out []labels.Labels
	for _, s := range selectors {
		ms, err := parser.NewParser(parser.Options{}).ParseMetricSelector(s)
		if err != nil {
			return nil, release.E(release.CodeBadQuery, s, err)
		}
		for set := q.Select(ctx, false, nil, ms...); set.Next(); {
			out = append(out, set.At().Labels())
		}
	}
	return out, nil
}

func (e *engine) Types(context.Context, string) ([]string, error) { return nil, nil }

func fromMap(m map[string]string) labels.Labels { return labels.FromMap(m) }

package backtest

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// Raw asks for raw samples.
func (s *store) Raw(ctx context.Context, selector string, window time.Duration, at time.Time) (out []samples.Series, err error) {
	err = s.try(ctx, func() error {
		out, err = s.q.Raw(ctx, selector, window, at)
		return err
	})
	s.count(out)
	return out, err
}

// Range evaluates an expression.
func (s *store) Range(ctx context.Context, expr string, from, to time.Time, step time.Duration) (out []samples.Series, err error) {
	err = s.try(ctx, func() error {
		out, err = s.q.Range(ctx, expr, from, to, step)
		return err
	})
	s.count(out)
	return out, err
}

// Series lists label sets.
func (s *store) Series(ctx context.Context, selectors []string, from, to time.Time) (out []labels.Labels, err error) {
	err = s.try(ctx, func() error {
		out, err = s.q.Series(ctx, selectors, from, to)
		return err
	})
	return out, err
}

// Types asks how a metric is declared. A store that does not know is no fault.
func (s *store) Types(ctx context.Context, metric string) (out []string, err error) {
	err = s.try(ctx, func() error {
		out, err = s.q.Types(ctx, metric)
		return err
	})
	return out, err
}

// at evaluates an expression once.
func (s *store) at(ctx context.Context, expr string, at time.Time) ([]samples.Series, error) {
	return s.Range(ctx, expr, at, at, time.Minute)
}

// leastWindow is the shortest time that is asked for before a store is said to
// allow too little.
const leastWindow = 2 * time.Minute

// halves asks for a span of time, in halves where the store finds it too expensive.
func halves(ctx context.Context, from, to time.Time, ask func(from, to time.Time) error) error {
	err := ask(from, to)
	if release.ErrorCode(err) != release.CodeTooExpensive || to.Sub(from) < leastWindow || ctx.Err() != nil {
		return err
	}
	middle := from.Add(to.Sub(from) / 2).Truncate(time.Second)
	if err := halves(ctx, from, middle, ask); err != nil {
		return err
	}
	return halves(ctx, middle, to, ask)
}

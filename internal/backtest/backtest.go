// Package backtest finds the rollouts that already happened in a metric store and
// lives each of them again, tick by tick, with the verification of the live
// service. What a tick sees is what was stored by then, and nothing later.
package backtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
	"github.com/watchtower-verify/watchtower/internal/verify"
)

// Options of a replay.
type Options struct {
	From, To time.Time     // releases that began in [From, To) are replayed; nothing after To is read
	Observe  time.Duration // how long each is watched; 0: the policy's time
	Tick     time.Duration // how often the judge looks; default 15 s
	Lag      time.Duration // how late samples arrive
	// Policy in force for a workload.
	Policy func(namespace, workload string) release.Policy
	// Workers is how many releases are replayed at once; 0: as many as there are processors.
	Workers int
	// Progress is told how many of the releases found have been replayed; nil: nobody.
	Progress func(done, found int)
	// Limits of one query.
	Limits samples.Limits
	Log    *slog.Logger // nil: nowhere
}

// defaultTick is how often the judge looks.
const defaultTick = 15 * time.Second

// How many ticks are read in one round of queries: few at first, in which many
// regressions are found, then many.
const (
	firstSlice = 24
	sliceTicks = 128
)

// Run replays the releases of a span of time. An error means that the store could
// not be read, or the context ended: there is no report of a part.
func Run(ctx context.Context, cat *catalogue.Catalogue, q signal.Querier, opt Options) (*Report, error) {
	if !opt.From.Before(opt.To) {
		return nil, release.E(release.CodeInvalid, "the range is empty: its end must be after its beginning", nil)
	}
	if opt.Tick <= 0 {
		opt.Tick = defaultTick
	}
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	store := &store{q: q}
	r := &runner{cat: cat, store: store, state: kubeState{store}, opt: opt}
	candidates, err := r.state.find(ctx, opt.From, opt.To)
	if err != nil {
		return nil, fmt.Errorf("find the rollouts: %w", err)
	}
	r.candidates = candidates
	results, err := r.all(ctx, candidates)
	if err != nil {
		return nil, err
	}
	report := newReport(opt, results)
	report.Skipped = r.skipped
	slices.SortFunc(report.Skipped, func(a, b Skipped) int {
		return strings.Compare(a.Namespace+"/"+a.ReplicaSet, b.Namespace+"/"+b.ReplicaSet)
	})
	report.Summary.Queries, report.Summary.Samples = store.queries.Load(), store.samples.Load()
	return report, nil
}

type runner struct {
	cat   *catalogue.Catalogue
	store *store
	state kubeState
	opt   Options
	// look, when set, is shown what is said at each tick.
	look func(time.Time, release.Verdict)
	// candidates are all that are replayed.
	candidates []candidate

	mu      sync.Mutex // guards skipped
	skipped []Skipped
}

// all replays the candidates, several at once, in a stable order.
func (r *runner) all(ctx context.Context, candidates []candidate) ([]*Release, error) {
	var done atomic.Int64
	var progress sync.Mutex
	out := make([]*Release, len(candidates))
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(r.opt.Workers)
	for i, c := range candidates {
		g.Go(func() error {
			if err := each.Err(); err != nil {
				return err
			}
			res, err := r.one(each, c, nil)
			if err != nil {
				return fmt.Errorf("replay %s/%s: %w", c.namespace, c.replicaSet, err)
			}
			out[i] = res
			n := done.Add(1)
			if r.opt.Progress != nil {
				progress.Lock()
				defer progress.Unlock()
				r.opt.Progress(int(n), len(candidates))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := r.again(ctx, candidates, out); err != nil {
		return nil, err
	}
	out = slices.DeleteFunc(out, func(r *Release) bool { return r == nil })
	slices.SortFunc(out, func(a, b *Release) int {
		if c := a.StartedAt.Compare(b.StartedAt); c != 0 {
			return c
		}
		return strings.Compare(a.key(), b.key())
	})
	return out, nil
}

// again replays the releases of which others may be the cause, with what was known
// of these at each tick.
func (r *runner) again(ctx context.Context, candidates []candidate, out []*Release) error {
	byNamespace, byCaller := map[string][]verify.Suspect{}, map[string][]verify.Suspect{}
	for _, rel := range out {
		if rel == nil {
			continue
		}
		byNamespace[rel.Namespace] = append(byNamespace[rel.Namespace], rel.suspect)
		for _, set := range rel.suspect.CalledBy {
			byCaller[set] = append(byCaller[set], rel.suspect)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opt.Workers)
	for i, rel := range out {
		if rel == nil || !rel.others {
			continue
		}
		others := slices.Clone(byNamespace[rel.Namespace])
		for _, set := range rel.sets() {
			others = append(others, byCaller[set]...)
		}
		others = slices.DeleteFunc(others, func(s verify.Suspect) bool {
			return s.Namespace == rel.Namespace && s.Workload == rel.Workload || s.Began.Sub(rel.StartedAt).Abs() > rel.policy.Observe
		})
		if len(others) == 0 {
			continue
		}
		verify.SortSuspects(others)
		g.Go(func() (err error) {
			out[i], err = r.one(ctx, candidates[i], others)
			return err
		})
	}
	return g.Wait()
}

// store counts what is asked of a metric store, and asks again where it could not
// answer at once.
type store struct {
	q                signal.Querier
	queries, samples atomic.Int64
}

const (
	attempts   = 5
	firstPause = 250 * time.Millisecond
)

// try calls ask until it is answered or the store stays away.
func (s *store) try(ctx context.Context, ask func() error) error {
	pause := firstPause
	for n := 1; ; n++ {
		s.queries.Add(1)
		err := ask()
		code := release.ErrorCode(err)
		if err == nil || n == attempts || (code != release.CodeUnavailable && code != release.CodeRateLimited) || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(max(pause, min(release.RetryAfter(err), 10*time.Second)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, ctx.Err())
		case <-timer.C:
		}
		pause *= 2
	}
}

func (s *store) count(list []samples.Series) {
	n := 0
	for i := range list {
		n += len(list[i].Floats) + len(list[i].Histograms)
	}
	s.samples.Add(int64(n))
}

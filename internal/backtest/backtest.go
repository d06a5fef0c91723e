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
	// Workers is how many releases are replayed at once; 0: two for each processor, since one
	// waits for the store half of the time.
	Workers int
	// KnownGood are releases that are known to be sound, as namespace/replicaset, whatever is
	// found: what they did in their rollouts, later ones of the workload may do.
	KnownGood []string
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
		opt.Workers = 2 * runtime.GOMAXPROCS(0)
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

	mu      sync.Mutex // guards what follows
	skipped []Skipped
	done    int // how many were replayed
}

// stretch is how many candidates are replayed before those are replayed again of which
// all others of their time are known by then.
const stretch = 100

// all replays the candidates, several at once, in a stable order.
func (r *runner) all(ctx context.Context, candidates []candidate) ([]*Release, error) {
	candidates = slices.SortedStableFunc(slices.Values(candidates), func(a, b candidate) int { return a.created.Compare(b.created) })
	out := make([]*Release, len(candidates))
	for begin := 0; begin < len(candidates); begin += stretch {
		end := min(begin+stretch, len(candidates))
		if err := r.first(ctx, candidates, out, begin, end); err != nil {
			return nil, err
		}
		var unknown time.Time
		if end < len(candidates) {
			unknown = candidates[end].created
		}
		if err := r.again(ctx, out, unknown); err != nil {
			return nil, err
		}
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

// first replays some of the candidates, of whose others nothing is known yet.
func (r *runner) first(ctx context.Context, candidates []candidate, out []*Release, begin, end int) error {
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(r.opt.Workers)
	for i, c := range candidates[begin:end] {
		g.Go(func() error {
			if err := each.Err(); err != nil {
				return err
			}
			res, err := r.one(each, c)
			if err != nil {
				return fmt.Errorf("replay %s/%s: %w", c.namespace, c.replicaSet, err)
			}
			out[begin+i] = res
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.done++; r.opt.Progress != nil {
				r.opt.Progress(r.done, len(candidates))
			}
			return nil
		})
	}
	return g.Wait()
}

// again replays the releases of which others may be the cause, or which may do what the
// workload does in every rollout, with what was known of these at each tick, each once:
// those of whose time all are known, where nothing is from some time on; zero: all are.
func (r *runner) again(ctx context.Context, out []*Release, unknown time.Time) error {
	byNamespace, byCaller, byWorkload := map[string][]verify.Suspect{}, map[string][]verify.Suspect{}, map[string][]*Release{}
	for _, rel := range out {
		if rel == nil {
			continue
		}
		byNamespace[rel.Namespace] = append(byNamespace[rel.Namespace], rel.suspect)
		for _, set := range rel.suspect.CalledBy {
			byCaller[set] = append(byCaller[set], rel.suspect)
		}
		byWorkload[rel.workload()] = append(byWorkload[rel.workload()], rel)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opt.Workers)
	for _, own := range byWorkload {
		g.Go(func() error {
			for i, rel := range own { // in the order of time: a release is held against those before it
				if !rel.mayBeAgain() || !unknown.IsZero() && !unknown.After(rel.StartedAt.Add(rel.policy.Observe)) {
					continue
				}
				others := slices.Clone(byNamespace[rel.Namespace])
				for _, set := range rel.sets() {
					others = append(others, byCaller[set]...)
				}
				if err := r.heldAgainst(ctx, rel, others, own[:i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// heldAgainst replays a release again with what is known of others, and of those before it.
func (r *runner) heldAgainst(ctx context.Context, rel *Release, others []verify.Suspect, before []*Release) error {
	others = slices.DeleteFunc(others, func(s verify.Suspect) bool {
		return !rel.others || s.Namespace == rel.Namespace && s.Workload == rel.Workload || s.Began.Sub(rel.StartedAt).Abs() > rel.policy.Observe
	})
	earlier := r.earlier(rel, before)
	if len(others)+len(earlier) == 0 {
		rel.others, rel.convicted, rel.tape = false, false, nil
		return nil
	}
	verify.SortSuspects(others)
	again, err := r.oneAgain(ctx, rel, others, earlier)
	if err != nil {
		return err
	}
	again.suspect = rel.suspect // of those that are still to be replayed again
	*rel = *again
	return nil
}

// earlier lists the sound ones of the releases before one, newest first.
func (r *runner) earlier(rel *Release, before []*Release) []verify.Earlier {
	var out []verify.Earlier
	for _, e := range slices.Backward(before) {
		sound := slices.Contains(r.opt.KnownGood, e.key()) || verify.Sound(release.Verdict{Kind: e.Verdict, AffectedBy: e.AffectedBy})
		if rel.convicted && sound && e.Previous != nil {
			out = append(out, verify.Earlier{ReplicaSet: e.ReplicaSet, Previous: *e.Previous, StartedAt: e.StartedAt, Until: e.until})
		}
	}
	return out
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

// Command judge measures verdicts against simulated rollouts of which the truth is
// known: how often a sound release is called regressed, how many regressions are
// found and how soon, against the soonest that the data allow.
//
//	go run ./bench/judge -healthy 3000 -regressed 1500 -seed 1
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"github.com/watchtower-verify/watchtower/bench/corpus"
	"github.com/watchtower-verify/watchtower/bench/heldout"
	"github.com/watchtower-verify/watchtower/bench/memory"
	"github.com/watchtower-verify/watchtower/bench/rivals"
	"github.com/watchtower-verify/watchtower/internal/backtest"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/rules"
)

// observe is how long each release is watched, tick how often the judge looks.
const (
	observe = 30 * time.Minute
	tick    = 15 * time.Second
)

func main() {
	healthy := flag.Int("healthy", 3000, "how many sound releases")
	regressed := flag.Int("regressed", 1500, "how many regressions")
	seed := flag.Uint64("seed", 1, "of the simulation")
	only := flag.String("families", "", "only these, comma-separated")
	explain := flag.Uint64("explain", 0, "print all that was said of the one world of -families with this seed")
	scrape := flag.Duration("scrape", corpus.Scrape, "how often the simulated pods are scraped")
	html := flag.String("html", "", "with -explain: write the report as a page to this file too")
	verbose := flag.Bool("v", false, "print each wrong verdict with the seed of its world")
	prometheus := flag.String("prometheus", "", "the Prometheus executable: replay the held-out rollouts from it, with -watchtower")
	watchtower := flag.String("watchtower", "bin/watchtower", "the executable that replays them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *explain != 0 {
		if err := show(ctx, job{family: corpus.Family{Name: *only}, seed: *explain, scrape: *scrape}, *html); err != nil {
			fmt.Fprintln(os.Stderr, "judge:", err)
			os.Exit(1)
		}
		return
	}
	if *prometheus != "" {
		from := heldout.Options{Seed: *seed, Healthy: *healthy, Regressed: *regressed}
		if *only != "" {
			from.Families = strings.Split(*only, ",")
		}
		if err := heldOut(ctx, *prometheus, *watchtower, from, *verbose); err != nil {
			fmt.Fprintln(os.Stderr, "judge:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, *healthy, *regressed, *seed, *only, *scrape, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

// job is one world to be simulated.
type job struct {
	family corpus.Family
	seed   uint64
	scrape time.Duration
}

// outcome is what was said of one release.
type outcome struct {
	corpus.Truth
	seed   uint64
	scrape time.Duration
	said   release.VerdictKind
	after  time.Duration // from the start to the decision
	by     string        // AffectedBy of the report
	// rivals are after how many minutes each of them rejects it, below 0 for never.
	rivals []int
	why    string
}

func run(ctx context.Context, healthy, regressed int, seed uint64, only string, scrape time.Duration, verbose bool) error {
	cat, err := catalogue.Load(rules.Signals)
	if err != nil {
		return err
	}
	jobs := append(share(corpus.Healthy(), healthy, seed, only), share(corpus.Regressions(), regressed, seed+1, only)...)
	if len(jobs) == 0 {
		return fmt.Errorf("no family is called %q", only)
	}
	for i := range jobs {
		jobs[i].scrape = scrape
	}
	outcomes, err := play(ctx, cat, jobs)
	if err != nil {
		return err
	}
	if verbose {
		complain(outcomes)
	}
	print(outcomes)
	return nil
}

// share gives each family its part of n.
func share(families []corpus.Family, n int, seed uint64, only string) []job {
	r := rand.New(rand.NewPCG(seed, 42))
	if only != "" {
		names := strings.Split(only, ",")
		families = slices.DeleteFunc(families, func(f corpus.Family) bool { return !slices.Contains(names, f.Name) })
	}
	weights := 0
	for _, f := range families {
		weights += f.Weight
	}
	var out []job
	for _, f := range families {
		part := n / max(1, len(families)) // where none has a weight
		if weights > 0 {
			part = n * f.Weight / weights
		}
		for range max(1, part) {
			out = append(out, job{family: f, seed: r.Uint64()})
		}
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// play simulates and replays the jobs, as many at once as there are processors.
func play(ctx context.Context, cat *catalogue.Catalogue, jobs []job) ([]outcome, error) {
	begin := time.Now()
	results := make([][]outcome, len(jobs))
	var done atomic.Int64
	stop := progress(&done, len(jobs), begin)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, j := range jobs {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			out, err := one(ctx, cat, j)
			results[i] = out
			done.Add(1)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(results...), nil
}

func progress(done *atomic.Int64, n int, begin time.Time) (stop func()) {
	t := time.NewTicker(10 * time.Second)
	end := make(chan struct{})
	go func() {
		for {
			select {
			case <-end:
				return
			case <-t.C:
				d := done.Load()
				rate := float64(d) / time.Since(begin).Seconds()
				fmt.Fprintf(os.Stderr, "%d of %d rollouts, %.0f/s, %s left\n", d, n, rate, (time.Duration(float64(int64(n)-d)/rate) * time.Second))
			}
		}
	}()
	return func() { t.Stop(); close(end) }
}

// show prints the report of one world.
func show(ctx context.Context, j job, html string) error {
	cat, err := catalogue.Load(rules.Signals)
	if err != nil {
		return err
	}
	for _, f := range append(corpus.Healthy(), corpus.Regressions()...) {
		if f.Name == j.family.Name {
			world, report, err := replay(ctx, cat, job{f, j.seed, j.scrape})
			if err != nil {
				return err
			}
			if html != "" {
				var page bytes.Buffer
				if err := errors.Join(report.WriteHTML(&page), os.WriteFile(html, page.Bytes(), 0o644)); err != nil {
					return err
				}
			}
			e := json.NewEncoder(os.Stdout)
			e.SetIndent("", "  ")
			err = errors.Join(e.Encode(world.Releases), e.Encode(report))
			for _, rel := range report.Releases {
				for _, ev := range rel.Curves().Evidence {
					for _, p := range ev.Curve {
						fmt.Printf("%s %s %s release %d/%d stable %d/%d e %.3g\n", rel.ReplicaSet, ev.Signal, p.At.Sub(rel.StartedAt), p.Release.Bad, p.Release.Total, p.Stable.Bad, p.Stable.Total, p.EValue)
					}
				}
			}
			return err
		}
	}
	return fmt.Errorf("no family is called %q", j.family.Name)
}

// one simulates a world and replays it.
func one(ctx context.Context, cat *catalogue.Catalogue, j job) ([]outcome, error) {
	world, report, err := replay(ctx, cat, j)
	if err != nil {
		return nil, fmt.Errorf("%s, seed %d: %w", j.family.Name, j.seed, err)
	}
	var out []outcome
	for i, t := range world.Releases {
		o := outcome{Truth: t, seed: j.seed, scrape: j.scrape, why: "it was not found"}
		for _, r := range rivals.All() {
			o.rivals = append(o.rivals, r.Judge(world.Minutes[i], int(corpus.Past/time.Minute)))
		}
		for _, rel := range report.Releases {
			if rel.Namespace == t.Namespace && rel.ReplicaSet == t.ReplicaSet {
				o.hear(rel)
			}
		}
		out = append(out, o)
	}
	return out, nil
}

func replay(ctx context.Context, cat *catalogue.Catalogue, j job) (*corpus.World, *backtest.Report, error) {
	start := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC).Add(time.Duration(j.seed%86400) * time.Second)
	world := corpus.New(j.family, corpus.Options{Seed: j.seed, Start: start, Observe: observe, Scrape: j.scrape})
	report, err := backtest.Run(ctx, cat, storeOf(world), backtest.Options{
		From: start.Add(-10*time.Minute - j.family.Before()), KnownGood: world.Sound, To: start.Add(observe + 90*time.Second), Observe: observe, Tick: tick, Workers: 1,
		Policy: func(string, string) release.Policy {
			p := release.DefaultPolicy()
			p.Autonomy = release.AutonomyAuto
			return p
		},
	})
	return world, report, err
}

func storeOf(w *corpus.World) *memory.Store {
	store := memory.New()
	b := labels.NewScratchBuilder(12)
	for _, s := range w.Series {
		if len(s.Samples) == 0 {
			continue
		}
		b.Reset()
		for _, l := range s.Labels {
			b.Add(l[0], l[1])
		}
		b.Sort()
		store.Add(b.Labels(), s.Samples)
	}
	return store
}

// hear takes what was said of a release.
func (o *outcome) hear(rel *backtest.Release) {
	o.said, o.by, o.why = rel.Verdict, rel.AffectedBy, rel.Why()
	if rel.DecidedAt != nil {
		o.after = rel.DecidedAt.Sub(o.StartedAt)
	}
}

// complain prints what was said wrongly.
func complain(outcomes []outcome) {
	for _, o := range outcomes {
		if o.wrong() {
			fmt.Printf("%-18s seed %d %s, %s, %.3g/s, %s: %s after %s, bound %.0f s; %s\n", o.Family, o.seed, o.Effect, o.Dialect, o.Requests, o.ReplicaSet, o.said, o.after, o.Bound, o.why)
		}
	}
}

// wrong reports a verdict that should have been another.
func (o outcome) wrong() bool {
	if !o.Regressed {
		return o.said == release.Regressed || o.said == ""
	}
	return o.said != release.Regressed && (o.Bound > 0 && 3*o.Bound <= observe.Seconds() || o.Kind == "state" || o.Kind == "silence")
}

// Command store measures what a full store costs: it fills one with releases,
// their evidence, actions and audit, and prints how long the queries behind
// the pages take, how long the start takes and how large the file is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/watchtower-verify/watchtower/internal/api/listing"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

var quiet = slog.New(slog.DiscardHandler)

func main() {
	count := flag.Int("releases", 100_000, "how many releases are stored")
	asked := flag.Int("queries", 1000, "how often each query is asked")
	only := flag.String("only", "", "sqlite or postgresql; empty: both")
	flag.Parse()
	if err := run(context.Background(), *count, *asked, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench/store:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, count, asked int, only string) error {
	dir, err := os.MkdirTemp("", "watchtower-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var missed []error
	if only != "postgresql" {
		path := filepath.Join(dir, "w.db")
		missed = append(missed, measure(ctx, "SQLite", path, count, asked), fileSize(path))
	}
	if only != "sqlite" {
		server, err := postgres.Start(ctx)
		if err != nil {
			return err
		}
		defer server.Stop() //nolint:errcheck // it is gone either way
		missed = append(missed, measure(ctx, "PostgreSQL", server.URL("postgres"), count, asked))
	}
	return errors.Join(missed...)
}

func fileSize(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Printf("%-11s %-34s %8.0f MB   at most 1000 MB\n", "SQLite", "size of the file", float64(info.Size())/1e6)
	if info.Size() > 1e9 {
		return fmt.Errorf("the file has %d bytes", info.Size())
	}
	return nil
}

func measure(ctx context.Context, name, target string, count, asked int) error {
	end := time.Now().UTC()
	began := time.Now()
	if err := fill(ctx, target, count, end); err != nil {
		return err
	}
	fmt.Printf("%-11s filled with %d releases in %s\n", name, count, time.Since(began).Round(time.Second))
	began = time.Now()
	s, err := store.Open(ctx, target, quiet, store.ForCluster("production"))
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Live(ctx, "production"); err != nil {
		return err
	}
	if _, err := s.ReclaimJobs(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("%-11s %-34s %8.1f ms   at most 2000 ms\n", name, "start", took.Seconds()*1e3)
	var missed error
	if took > 2*time.Second {
		missed = fmt.Errorf("%s: the start takes %s", name, took)
	}
	for _, q := range queries(s, count, end) {
		missed = errors.Join(missed, q.measure(ctx, name, asked))
	}
	return missed
}

func fill(ctx context.Context, target string, count int, end time.Time) error {
	s, err := store.Open(ctx, target, quiet, store.ForCluster("production"))
	if err != nil {
		return err
	}
	defer s.Close()
	const batch = 500
	for n := 0; n < count; n += batch {
		err := s.Write(ctx, func(tx *store.Tx) error {
			for i := n; i < min(n+batch, count); i++ {
				if err := save(tx, sampleOf(i, count, end)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if s.Postgres() { // its autovacuum would have done so by the time there are so many
		return s.Vacuum(ctx)
	}
	return nil
}

func save(tx *store.Tx, x sample) error {
	if err := tx.SaveRelease(x.rel, release.DefaultPolicy()); err != nil {
		return err
	}
	if err := tx.SaveVerdict(x.verdict); err != nil {
		return err
	}
	for _, a := range x.actions {
		if _, err := tx.InsertAction(a); err != nil {
			return err
		}
	}
	for _, r := range x.audit {
		if err := tx.Audit(r); err != nil {
			return err
		}
	}
	return nil
}

// query is one that a page or the command line waits for.
type query struct {
	name string
	ask  func(ctx context.Context) error
}

// queries are those of the pages: the list in its forms, and the detail of a
// release with its actions and audit.
func queries(s *store.Store, count int, end time.Time) []query {
	page := func(f func() store.Filter) func(context.Context) error {
		return func(ctx context.Context) error {
			_, _, err := listing.Page(ctx, s, f())
			return err
		}
	}
	workload := func() string { return fmt.Sprintf("service-%04d", rand.IntN(workloads)) }
	no, yes := false, true
	return []query{
		{"list, newest 50", page(func() store.Filter { return store.Filter{Limit: 50} })},
		{"list, from anywhere", page(func() store.Filter { return store.Filter{Limit: 50, Before: end.Add(-rand.N(span))} })},
		{"list of a namespace", page(func() store.Filter {
			return store.Filter{Limit: 50, Namespace: fmt.Sprintf("team-%02d", rand.IntN(40))}
		})},
		{"list of a workload", page(func() store.Filter { return store.Filter{Limit: 50, Workload: workload()} })},
		{"list of those regressed", page(func() store.Filter { return store.Filter{Limit: 50, Verdict: release.Regressed} })},
		{"list of those pending", page(func() store.Filter { return store.Filter{Limit: 50, Verdict: release.Pending} })},
		{"list of those live", page(func() store.Filter { return store.Filter{Limit: 50, Live: &yes} })},
		{"list of those not live", page(func() store.Filter { return store.Filter{Limit: 50, Live: &no} })},
		{"detail, one with curves", detail(s, func() sample { return sampleOf(count-1-rand.IntN(count/5), count, end) })},
		{"detail, any", detail(s, func() sample { return sampleOf(rand.IntN(count), count, end) })},
		{"audit, last 100", func(ctx context.Context) error {
			_, err := s.Audit(ctx, "", 100)
			return err
		}},
		{"audit, from anywhere", func(ctx context.Context) error {
			_, err := s.AuditAfter(ctx, int64(rand.IntN(3*count)), 100)
			return err
		}},
		{"verdicts of a workload", func(ctx context.Context) error {
			_, err := s.Judged(ctx, "production", sampleOf(rand.IntN(count), count, end).rel.Workload.UID)
			return err
		}},
	}
}

func detail(s *store.Store, pick func() sample) func(context.Context) error {
	return func(ctx context.Context) error {
		id := pick().rel.ID
		if _, err := s.Release(ctx, id); err != nil {
			return err
		}
		if _, err := s.Actions(ctx, id); err != nil {
			return err
		}
		_, err := s.Audit(ctx, id, 1000)
		return err
	}
}

// processorTime is what this process has taken; on a machine with other work
// it tells more than the time that passed.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const atMost = 10 * time.Millisecond

func (q query) measure(ctx context.Context, name string, asked int) error {
	took := make([]time.Duration, asked)
	busy := processorTime()
	for i := range took {
		began := time.Now()
		if err := q.ask(ctx); err != nil {
			return fmt.Errorf("%s: %s: %w", name, q.name, err)
		}
		took[i] = time.Since(began)
	}
	busy = (processorTime() - busy) / time.Duration(asked)
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	fmt.Printf("%-11s %-34s p50 %6.2f ms   p99 %6.2f ms   at most 10 ms (of processor time of this process %5.2f ms)\n",
		name, q.name, took[len(took)/2].Seconds()*1e3, p99.Seconds()*1e3, busy.Seconds()*1e3)
	if p99 > atMost {
		return fmt.Errorf("%s: %s takes %s", name, q.name, p99.Round(10*time.Microsecond))
	}
	return nil
}

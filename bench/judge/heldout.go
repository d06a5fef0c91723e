package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/watchtower-verify/watchtower/bench/corpus"
	"github.com/watchtower-verify/watchtower/bench/heldout"
	"github.com/watchtower-verify/watchtower/bench/server"
	"github.com/watchtower-verify/watchtower/internal/backtest"
)

// heldOut writes the other simulation's rollouts as blocks, starts a real
// Prometheus over them and has the command itself replay them.
func heldOut(ctx context.Context, prometheus, watchtower string, from heldout.Options, verbose bool) error {
	dir, err := os.MkdirTemp("", "watchtower-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	begin := time.Now()
	from.Observe, from.Spread = observe, time.Duration(from.Healthy+from.Regressed)*20*time.Second
	truth, err := heldout.Write(ctx, filepath.Join(dir, "data"), from)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d rollouts written in %s\n", len(truth.Releases), time.Since(begin).Round(time.Second))
	prom, err := server.Start(prometheus, dir, "global: {}\n", "--storage.tsdb.retention.time=100y", "--query.max-samples=100000000",
		"--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h") // it compacts nothing meanwhile
	if err != nil {
		return err
	}
	defer prom.Stop()
	report, err := command(ctx, watchtower, prom.URL, truth)
	if err != nil {
		return err
	}
	outcomes := compare(truth, report)
	if verbose {
		complain(outcomes)
	}
	print(outcomes)
	return nil
}

// command runs `watchtower backtest` and tells what it took.
func command(ctx context.Context, watchtower, url string, truth *heldout.Truth) (*backtest.Report, error) {
	cmd := exec.CommandContext(ctx, watchtower, "backtest", "--prometheus-url="+url, "--output=json", "--tick="+tick.String(), "--observe="+observe.String(),
		"--from="+truth.From.Format(time.RFC3339), "--to="+truth.To.Format(time.RFC3339))
	cmd.Stderr = os.Stderr
	begin := time.Now()
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("watchtower backtest: %w", err)
	}
	var report backtest.Report
	if err := json.Unmarshal(text, &report); err != nil {
		return nil, err
	}
	most := int64(0)
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		most = usage.Maxrss / 1024
	}
	fmt.Printf("%d releases replayed against a real Prometheus in %.0f s, at most %d MiB; %d queries, %d samples\n",
		report.Summary.Releases, time.Since(begin).Seconds(), most, report.Summary.Queries, report.Summary.Samples)
	return &report, nil
}

func compare(truth *heldout.Truth, report *backtest.Report) []outcome {
	said := map[string]*backtest.Release{}
	for _, r := range report.Releases {
		said[r.Namespace+"/"+r.ReplicaSet] = r
	}
	var out []outcome
	for _, t := range truth.Releases {
		o := outcome{why: "it was not found", scrape: corpus.Scrape, Truth: corpus.Truth{
			Namespace: t.Namespace, Workload: t.Workload, ReplicaSet: t.ReplicaSet, Previous: t.Previous, Family: t.Family,
			Regressed: t.Regressed, Ambiguous: t.Ambiguous, Kind: t.Kind, Effect: t.Effect, Requests: t.Requests, Dialect: t.Dialect,
			StartedAt: t.StartedAt, OnsetAt: t.OnsetAt, AffectedBy: t.AffectedBy, Bound: t.BoundSeconds,
		}}
		if r := said[t.Namespace+"/"+t.ReplicaSet]; r != nil {
			o.hear(r)
		}
		out = append(out, o)
	}
	return out
}

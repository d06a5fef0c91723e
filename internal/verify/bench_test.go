package verify

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// BenchmarkTick is one look at a thousand live releases with a fake source:
// counting apart, everything a tick does. ms/tick is the figure; it should stay
// under 100 on one core.
func BenchmarkTick(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("releases=%d", n), func(b *testing.B) {
			const tick = 10 * time.Second
			src := &cannedSource{tick: tick}
			m := newMemory()
			v := New(Config{Cluster: "lab", Tick: tick}, Deps{
				Cluster: newSimCluster(), Source: src, Recorder: m, Policies: fixedPolicy{testPolicy()},
				Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			})
			start := time.Now().Truncate(tick)
			for i := range n {
				next, old := rs(fmt.Sprint("new", i), 0, "v2"), rs("old", 0, "v1")
				r := release.Release{
					ID:         release.ID(fmt.Sprint("r", i)),
					Workload:   release.Workload{Namespace: "shop", Name: fmt.Sprint("w", i), UID: fmt.Sprint("w", i)},
					ReplicaSet: next, Previous: &old, StartedAt: start, SeenAt: start, HistoryUntil: start,
				}
				p := testPolicy()
				p.Observe = 1000 * time.Hour
				v.track(r, p, release.Verdict{})
			}
			w := healthyWorld(1)
			for from := start.Add(-5 * time.Minute); from.Before(start); from = from.Add(tick) {
				src.history = append(src.history, w.reading(from, from.Add(tick), 0))
			}
			for i := range 64 {
				src.readings = append(src.readings, w.reading(start.Add(time.Duration(i)*tick), start.Add(time.Duration(i+1)*tick), .25))
			}
			now := start
			v.Tick(b.Context(), now) // histories
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				now = now.Add(tick)
				src.i++
				v.Tick(b.Context(), now)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/tick")
			if len(v.live) != n {
				b.Fatalf("%d releases are live, want %d", len(v.live), n)
			}
		})
	}
}

// cannedSource hands out readings made before the clock ran.
type cannedSource struct {
	tick     time.Duration
	history  []signal.Reading
	readings []signal.Reading
	i        int
}

func (s *cannedSource) Read(_ context.Context, at time.Time, subjects []signal.Subject) map[release.ID]signal.Result {
	out := make(map[release.ID]signal.Result, len(subjects))
	rd := s.readings[s.i%len(s.readings)]
	rd.From, rd.To = at.Add(-s.tick), at
	for _, sub := range subjects {
		out[sub.ID] = signal.Result{Readings: []signal.Reading{rd}, Dialect: "prometheus"}
	}
	return out
}

func (s *cannedSource) History(_ context.Context, subjects []signal.Subject, _ time.Duration) map[release.ID]signal.Result {
	out := make(map[release.ID]signal.Result, len(subjects))
	for _, sub := range subjects {
		out[sub.ID] = signal.Result{Readings: s.history}
	}
	return out
}

func (s *cannedSource) Rollouts(context.Context, []signal.Subject, time.Duration) map[release.ID]signal.Result {
	return nil
}

func (s *cannedSource) Forget(release.ID) {}

// BenchmarkRollouts replays rollouts at 20 requests/s with 5 s ticks and prints
// what became of them: the share called regressed and healthy, and after how
// many seconds (median and p90 of those decided).
func BenchmarkRollouts(b *testing.B) {
	const each = 200
	cases := []struct {
		name   string
		change func(w *world, i int)
		kind   release.VerdictKind
	}{
		{"healthy,many shapes", manyShapes, release.Healthy},
		{"healthy,errors 0.1%", func(*world, int) {}, release.Healthy},
		{"errors 0.1%→5%", func(w *world, _ int) { w.releaseErr = .05 }, release.Regressed},
		{"errors 0.1%→5%,2m of history", func(w *world, _ int) { w.releaseErr, w.historyFor = .05, 2*time.Minute }, release.Regressed},
		{"errors 0.1%→5%,Recreate", func(w *world, _ int) { w.releaseErr, w.rollout = .05, time.Second }, release.Regressed},
		{"errors 0.1%→1%", func(w *world, _ int) { w.releaseErr = .01 }, release.Regressed},
		{"latency+50%", func(w *world, _ int) { w.releaseSlow = 1.5 }, release.Regressed},
		{"latency×2", func(w *world, _ int) { w.releaseSlow = 2 }, release.Regressed},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			var regressed, healthy, total int
			var delays []float64
			for n := 0; b.Loop(); n++ {
				for i := range each {
					w := healthyWorld(uint64(5000 + n*each + i))
					c.change(w, i)
					v := replay(b.Context(), w)
					total++
					switch v.Kind {
					case release.Regressed:
						regressed++
					case release.Healthy:
						healthy++
					}
					if v.Kind == c.kind {
						delays = append(delays, v.DecidedAt.Sub(replayStart).Seconds())
					}
				}
			}
			slices.Sort(delays)
			b.ReportMetric(100*float64(regressed)/float64(total), "%regressed")
			b.ReportMetric(100*float64(healthy)/float64(total), "%healthy")
			if len(delays) > 0 {
				b.ReportMetric(delays[len(delays)/2], "s-median")
				b.ReportMetric(delays[len(delays)*9/10], "s-p90")
			}
		})
	}
}

// manyShapes varies traffic, error level and burstiness over healthy rollouts.
func manyShapes(w *world, i int) {
	w.rate = 2 + float64(i%10)*5
	w.errors = []float64{0, .0005, .002, .01, .05}[i%5]
	w.releaseErr = w.errors
	w.burst = []float64{1, 1, 3, 8}[i%4]
}

var replayStart = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// replay runs one rollout for ten minutes of simulated time.
func replay(ctx context.Context, w *world) release.Verdict { return replayUnder(ctx, w, testPolicy()) }

func replayUnder(ctx context.Context, w *world, p release.Policy) release.Verdict {
	return replayBeside(ctx, w, p, nil)
}

// replayBeside is the same with other workloads in the namespace, by name.
func replayBeside(ctx context.Context, w *world, p release.Policy, peers map[string]*world) release.Verdict {
	return replayWith(ctx, w, p, peers, func(*simSource) {})
}

// replayWith is the same of a source that was set up.
func replayWith(ctx context.Context, w *world, p release.Policy, peers map[string]*world, setUp func(*simSource)) release.Verdict {
	return replayAfter(ctx, w, p, peers, nil, setUp)
}

// replayAfter is the same after earlier sound releases.
func replayAfter(ctx context.Context, w *world, p release.Policy, peers map[string]*world, earlier []Earlier, setUp func(*simSource)) release.Verdict {
	src, m, cluster := newSimSource(simTick), newMemory(), newSimCluster()
	for name, peer := range peers {
		src.worlds[release.ID("peer:shop/"+name)] = peer
		cluster.peers = append(cluster.peers, name)
	}
	slices.Sort(cluster.peers)
	v := New(Config{Cluster: "lab", Tick: simTick}, Deps{
		Cluster: cluster, Source: src, Recorder: m, Policies: fixedPolicy{p},
		Log: slog.New(slog.DiscardHandler),
	})
	old := rs("old", 0, "v1")
	r := release.Release{
		ID: "r", Workload: release.Workload{Namespace: "shop", Name: "w", UID: "w"}, ReplicaSet: rs("new", 0, "v2"), Previous: &old,
		StartedAt: replayStart, SeenAt: replayStart, HistoryUntil: replayStart,
	}
	src.worlds["r"], m.earlier = w, earlier
	setUp(src)
	v.track(r, p, release.Verdict{})
	for now := replayStart; len(v.live) > 0; now = now.Add(simTick) {
		v.Tick(ctx, now)
	}
	return m.verdict("r")
}

// BenchmarkState is what a live release holds in memory after half an hour of ticks
// with ten signals and eight pods, its past apart from what the judge keeps of it.
// KiB/release is the figure; it should stay under 64.
func BenchmarkState(b *testing.B) {
	const (
		tick = 15 * time.Second
		n    = 100
	)
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		before := heap()
		kept := make([]*verification, n)
		for i := range kept {
			kept[i] = longObserved(tick, 120, uint64(i))
		}
		b.ReportMetric((heap()-before)/n/1024, "KiB/release")
		b.ReportMetric(float64(len(kept[0].signals)), "signals")
		keep = kept
	}
}

var keep any

// longObserved is a verification after so many ticks.
func longObserved(tick time.Duration, ticks int, seed uint64) *verification {
	next, old := rs("new", 0, "v2"), rs("old", 0, "v1")
	r := release.Release{
		ID: "r", Workload: release.Workload{Namespace: "shop", Name: "w", UID: "w"},
		ReplicaSet: next, Previous: &old, StartedAt: replayStart, SeenAt: replayStart, HistoryUntil: replayStart,
	}
	t := newVerification(r, testPolicy(), tick)
	w := healthyWorld(seed)
	full := func(from time.Time, share float64) signal.Reading {
		rd := w.reading(from, from.Add(tick), share)
		rd.Fresh, rd.Scraped = true, [2]bool{true, true}
		pods := func(m release.Measure) (out signal.ArmQuantity) {
			out.Measure, out.Pods = m, map[string]release.Measure{}
			for p := range 8 {
				out.Pods[fmt.Sprint("new-", p)] = release.Measure{Sum: m.Sum / 8, Weight: m.Weight / 8}
			}
			return out
		}
		both := signal.Quantity{Release: pods(release.Measure{Sum: 80, Weight: 8}), Stable: pods(release.Measure{Sum: 80, Weight: 8})}
		rd.Quantities = map[string]signal.Quantity{}
		for _, name := range []string{release.SignalThroughput, release.SignalCPU, release.SignalMemory, release.SignalLatencyMean} {
			rd.Quantities[name] = both
		}
		rd.Restarts = &signal.Pair{Release: signal.Arm{Count: release.Count{Total: 120}}, Stable: signal.Arm{Count: release.Count{Total: 120}}}
		rd.Callers = rd.Errors
		return rd
	}
	var past []signal.Reading
	for i := range 120 {
		past = append(past, full(replayStart.Add(time.Duration(i-120)*tick), 0))
	}
	t.takeHistory(signal.Result{Readings: past}, replayStart)
	for i := range ticks {
		at := replayStart.Add(time.Duration(i) * tick)
		t.take(signal.Result{Readings: []signal.Reading{full(at, .3)}, Dialect: "prometheus"}, at.Add(tick))
	}
	return t
}

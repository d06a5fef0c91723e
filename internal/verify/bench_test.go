package verify

import (
	"context"
	"fmt"
	"io"
	"log/slog"
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

func (s *cannedSource) Forget(release.ID) {}

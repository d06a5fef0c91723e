package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
)

// BenchmarkFiftyAtOnce tells every receiver of fifty releases at once, and
// reports after how long the slowest in a hundred was told, in milliseconds.
func BenchmarkFiftyAtOnce(b *testing.B) {
	_, dir, cfg := started(b)
	for _, r := range cfg.Receivers {
		b.Run(r.Name, func(b *testing.B) {
			var took []time.Duration
			for round := range b.N {
				s, err := sinkOf(r, dir)
				if err != nil {
					b.Fatal(err)
				}
				took = append(took, atOnce(b, s, round)...)
				s.Close()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func atOnce(b *testing.B, s sinktest.Sink, round int) []time.Duration {
	b.Helper()
	took := make([]time.Duration, 50)
	var wg sync.WaitGroup
	for i := range took {
		wg.Go(func() {
			m := sinktest.Regressed(release.ID(fmt.Sprintf("r%d-%d-%d", time.Now().UnixNano(), round, i)))
			begun := time.Now()
			if _, err := s.Deliver(b.Context(), m, nil); err != nil {
				b.Error(err)
			}
			took[i] = time.Since(begun)
		})
	}
	wg.Wait()
	return took
}

package curve

import (
	"testing"

	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
)

// BenchmarkOf draws the curve of one release.
func BenchmarkOf(b *testing.B) {
	m := sinktest.Regressed("abc")
	for b.Loop() {
		p, ok, err := Of(m)
		if err != nil || !ok {
			b.Fatal(ok, err)
		}
		b.ReportMetric(float64(len(p.PNG)), "bytes")
	}
}

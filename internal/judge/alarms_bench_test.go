package judge

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// BenchmarkFalseAlarms plays good rollouts of a quarter of an hour, 20 requests a
// second, and prints how many were called regressed at α = 0.001: at most one in
// a thousand is promised.
func BenchmarkFalseAlarms(b *testing.B) {
	const each = 1000
	for _, burst := range []float64{1, 5, 20} {
		for _, history := range []int{6, 24, 180} { // ticks
			for _, rate := range []float64{.001, .01} {
				for _, ramp := range []int{0, 8} { // ticks with both arms; 0 is Recreate
					b.Run(fmt.Sprintf("burst=%v,history=%d,errors=%v,ramp=%d", burst, history, rate, ramp), func(b *testing.B) {
						alarms, total := 0, 0
						for n := 0; b.Loop(); n++ {
							for i := range each {
								total++
								if alarm(rand.New(rand.NewPCG(uint64(n*each+i), 99991)), burst, rate, history, ramp) {
									alarms++
								}
							}
						}
						b.ReportMetric(float64(alarms), "alarms")
						b.ReportMetric(float64(total), "rollouts")
					})
				}
			}
		}
	}
}

func alarm(rnd *rand.Rand, burst, rate float64, history, ramp int) bool {
	draw := func(share float64) release.Count {
		n := int64(distuv.Poisson{Lambda: 100 * share, Src: rnd}.Rand())
		bad := int64(0)
		for range int(distuv.Poisson{Lambda: 100 * share * rate / burst, Src: rnd}.Rand()) {
			bad++
			for burst > 1 && rnd.Float64() < 1-1/burst {
				bad++
			}
		}
		return release.Count{Total: n, Bad: min(bad, n)}
	}
	s := Signal{Name: "errors", Weight: 1, Required: true}
	for range history {
		s.History = append(s.History, draw(1))
	}
	j := New(Config{Alpha: .001, Beta: .05, MinEffect: .1, HealthyRatio: 1.5, HealthyIncrease: .01}, []Signal{s})
	for k := range 180 {
		share := 1.0
		if k < ramp {
			share = float64(k+1) / float64(ramp+1)
		}
		t := Tick{Release: draw(share)}
		if share < 1 {
			t.Stable = draw(1 - share)
		}
		j.Step(time.Unix(int64(5*k), 0), map[string]Tick{"errors": t})
		if j.regressed {
			return true
		}
	}
	j.Last(time.Unix(900, 0))
	return j.regressed
}

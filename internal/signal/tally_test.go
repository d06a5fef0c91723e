package signal

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestASampleIsSeenInTheTicksWhoseLookBackHoldsIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := &tracked{
			pos:  rapid.Int64Range(-100, 100).Draw(t, "position"),
			tick: rapid.Int64Range(1, 30).Draw(t, "tick"),
			look: rapid.Int64Range(1, 100).Draw(t, "look-back"),
		}
		at := rapid.OneOf(rapid.Int64Range(-300, 600), rapid.Just(int64(math.MinInt64))).Draw(t, "sample")
		s := presence{ticks: make([]bool, rapid.IntRange(0, 20).Draw(t, "ticks"))}
		s.mark(of, at)
		for k, got := range s.ticks {
			end := of.pos + int64(k+1)*of.tick
			if want := at <= end && at > end-of.look; got != want {
				t.Errorf("tick %d, which ends at %d: seen is %v", k, end, got)
			}
		}
	})
}

package rivals

import (
	"testing"

	"github.com/watchtower-verify/watchtower/bench/corpus"
)

func TestTheShiftIsThatOfThePublishedExample(t *testing.T) {
	low, high, estimate, ok := Shift([]float64{10, 20, 30, 40}, []float64{1, 2, 3, 4}, 0.95)
	if !ok || low != 6 || high != 39 || estimate != 22.5 {
		t.Errorf("[%g, %g], estimate %g; want [6, 39], 22.5", low, high, estimate)
	}
}

// arms is a rollout of which the release fails a share from its start on.
func arms(failing float64) []corpus.Minute {
	arm := func(p float64) corpus.Arm {
		buckets := make([]float64, len(corpus.Bounds()))
		buckets[3] = 1000 // 25 to 50 ms
		return corpus.Arm{Requests: 1000, Failed: 1000 * p, Slower: buckets}
	}
	var out []corpus.Minute
	for k := range 66 {
		m := corpus.Minute{Stable: arm(0.0005)}
		if k >= 36 {
			m = corpus.Minute{Release: arm(failing)}
		}
		out = append(out, m)
	}
	return out
}

func TestEachRejectsWhatIsBadAndKeepsWhatIsNot(t *testing.T) {
	for _, r := range All() {
		if got := r.Judge(arms(0.0005), 36); got >= 0 {
			t.Errorf("%s rejects a sound release after %d min", r.Name, got)
		}
		if got := r.Judge(arms(0.2), 36); got < 0 || got > 30 {
			t.Errorf("%s finds a fifth of failures after %d min", r.Name, got)
		}
	}
}

package corpus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

func every(t *testing.T, look func(t *testing.T, f Family)) {
	t.Helper()
	for _, f := range append(Healthy(), Regressions()...) {
		t.Run(f.Name, func(t *testing.T) { look(t, f) })
	}
}

func TestASeedGivesTheSameWorld(t *testing.T) {
	every(t, func(t *testing.T, f Family) {
		sum := func(seed uint64) string {
			w := New(f, Options{Seed: seed, Start: start})
			n, total := 0, 0.0
			for _, s := range w.Series {
				for _, v := range s.Samples {
					n++
					total += v.Value
				}
			}
			return fmt.Sprint(len(w.Series), n, total, w.Releases)
		}
		if diff := cmp.Diff(sum(5), sum(5)); diff != "" {
			t.Error(diff)
		}
		if sum(5) == sum(6) {
			t.Error("another seed gives the same")
		}
	})
}

func TestCountersOnlyRiseAndSamplesComeInOrder(t *testing.T) {
	every(t, func(t *testing.T, f Family) {
		for _, s := range New(f, Options{Seed: 3, Start: start}).Series {
			name := s.Labels[0][1]
			counter := strings.HasSuffix(name, "_total") || strings.HasSuffix(name, "_bucket") || strings.HasSuffix(name, "_count")
			for i := 1; i < len(s.Samples); i++ {
				if s.Samples[i].Millis <= s.Samples[i-1].Millis {
					t.Fatalf("%v: sample %d is not after the one before", s.Labels, i)
				}
				if counter && s.Samples[i].Value < s.Samples[i-1].Value {
					t.Fatalf("%v falls from %g to %g", s.Labels, s.Samples[i-1].Value, s.Samples[i].Value)
				}
			}
		}
	})
}

func TestEachFamilyIsAsItSays(t *testing.T) {
	every(t, func(t *testing.T, f Family) {
		w := New(f, Options{Seed: 11, Start: start})
		regressed := 0
		for i, r := range w.Releases {
			if r.Family != f.Name || r.StartedAt.Before(start) || r.ReplicaSet == r.Previous {
				t.Errorf("%+v", r)
			}
			if r.Regressed {
				regressed++
			}
			if n := len(w.Minutes[i]); n < 60 {
				t.Errorf("%d minutes", n)
			}
			told := 0
			for _, s := range w.Series {
				for _, l := range s.Labels {
					if l == [2]string{"replicaset", r.ReplicaSet} {
						told++
					}
				}
			}
			if told < 4 {
				t.Errorf("%d series tell of the ReplicaSet", told)
			}
		}
		if want := map[bool]int{true: 1}[f.Regressed]; regressed != want {
			t.Errorf("%d regressed, want %d", regressed, want)
		}
	})
}

func TestTheBoundFallsWithTrafficAndHarm(t *testing.T) {
	for _, c := range []struct{ less, more float64 }{
		{likelihoodRatio(100, 5, 1000, 10, tolerated), likelihoodRatio(1000, 50, 10000, 100, tolerated)},
		{likelihoodRatio(1000, 20, 10000, 100, tolerated), likelihoodRatio(1000, 50, 10000, 100, tolerated)},
		{likelihoodRatio(1000, 11, 10000, 100, tolerated), likelihoodRatio(1000, 20, 10000, 100, tolerated)},
	} {
		if c.less < 0 || c.more <= c.less {
			t.Errorf("%g, then %g nats", c.less, c.more)
		}
	}
	if got := likelihoodRatio(1000, 11, 10000, 100, tolerated); got != 0 {
		t.Errorf("what is tolerated holds %g nats", got)
	}
}

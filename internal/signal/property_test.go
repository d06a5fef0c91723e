package signal

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const worldMinutes = 6

// podTotals adds up the errors signal by pod, and checks that the arms' sums
// are their pods'.
func podTotals(t *rapid.T, readings []Reading) map[string]release.Count {
	out := map[string]release.Count{}
	for _, rd := range readings {
		if rd.Errors == nil {
			continue
		}
		for _, arm := range []Arm{rd.Errors.Release, rd.Errors.Stable} {
			var sum release.Count
			for name, c := range arm.Pods {
				sum = sum.Add(c)
				out[name] = out[name].Add(c)
			}
			if sum != arm.Count {
				t.Fatalf("arm says %+v, its pods %+v in the tick that ends %s", arm.Count, sum, rd.To)
			}
		}
	}
	return out
}

func checkWorld(t *rapid.T, w *world, readings []Reading, to time.Time) {
	got := podTotals(t, readings)
	for _, p := range w.pods {
		a, b := p.sum("a", epoch, to), p.sum("b", epoch, to)
		if got[p.name] != a && (p.books["b"] == nil || got[p.name] != b) {
			t.Fatalf("%s served %+v (by another scraper %+v), counted %+v", p.name, a, b, got[p.name])
		}
	}
}

func TestCountsEqualWhatPodsServedUpToTheLastScrape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, worldMinutes)
		end := epoch.Add(worldMinutes * time.Minute)
		r := newTestReader(t, w.store)
		var readings []Reading
		for at := epoch.Add(testTick); !at.After(end); at = at.Add(testTick) {
			if rapid.IntRange(0, 3).Draw(t, "tick is skipped") == 0 && at.Before(end) {
				continue
			}
			if rapid.IntRange(0, 4).Draw(t, "read fails") == 0 && at.Before(end) {
				n := rapid.IntRange(0, 2).Draw(t, "failing query")
				w.store.fail = func(string, time.Duration) error {
					if n--; n < 0 {
						return release.E(release.CodeUnavailable, "down", nil)
					}
					return nil
				}
			}
			res := r.Read(context.Background(), at.Add(3*time.Second), []Subject{worldSubject()})["r1"]
			w.store.fail = nil
			if res.Err != nil && len(res.Readings) > 0 {
				t.Fatal("a failed read hands out readings")
			}
			readings = append(readings, res.Readings...)
		}
		if n := int(worldMinutes * time.Minute / testTick); len(readings) != n {
			t.Fatalf("%d readings, want one for each of %d ticks", len(readings), n)
		}
		for i, rd := range readings {
			if want := epoch.Add(time.Duration(i) * testTick); !rd.From.Equal(want) || rd.To.Sub(rd.From) != testTick {
				t.Fatalf("reading %d is of (%s, %s]", i, rd.From, rd.To)
			}
		}
		checkWorld(t, w, readings, end)
	})
}

func TestCatchingUpGivesTheSameTicksAsReadingTickByTick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, worldMinutes)
		end := epoch.Add(worldMinutes * time.Minute)
		ctx := context.Background()
		steady := newTestReader(t, w.store)
		var want []Reading
		for at := epoch.Add(testTick); !at.After(end); at = at.Add(testTick) {
			want = append(want, steady.Read(ctx, at, []Subject{worldSubject()})["r1"].Readings...)
		}
		late := newTestReader(t, w.store)
		var got []Reading
		if rapid.Bool().Draw(t, "in two steps") {
			mid := epoch.Add(time.Duration(rapid.IntRange(0, worldMinutes*60).Draw(t, "first step")) * time.Second)
			got = late.Read(ctx, mid, []Subject{worldSubject()})["r1"].Readings
		}
		got = append(got, late.Read(ctx, end, []Subject{worldSubject()})["r1"].Readings...)
		// Before discovery a steady reader cannot know that there is a counter;
		// what it counted then is nothing all the same.
		for i := range want {
			if want[i].Errors == nil && i < len(got) && got[i].Errors != nil && got[i].Errors.Release.Total+got[i].Errors.Stable.Total == 0 {
				got[i].Errors = nil
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("tick by tick (-), catching up (+):\n%s", diff)
		}
	})
}

package backtest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/verify"
)

func TestWhatIsHeardFromATapeIsWhatWouldBeReadAgain(t *testing.T) {
	// Another release, which this one calls, fails since before this one does: this one
	// is watched to its end, of which the tape does not tell.
	guilty := verify.Suspect{
		Namespace: "shop", Workload: "cart", ReplicaSet: "cart-6d5f7c9b8", Began: start.Add(-time.Minute),
		Troubled: start.Add(-30 * time.Second), Guilty: start.Add(-30 * time.Second), CalledBy: []string{"shop/web-6d5f7c9b8"},
	}
	for name, test := range map[string]struct {
		others []verify.Suspect
		longer bool
	}{
		"with nobody to blame the verdict is the same and falls as soon":  {nil, false},
		"with another to blame it is replayed beyond the end of the tape": {[]verify.Suspect{guilty}, true},
	} {
		t.Run(name, func(t *testing.T) {
			opt := options()
			opt.Lag = 20 * time.Second
			w := newWorld().standard(0.03)
			w.sets[0].to = w.sets[1].from // no stable pod tells whose fault it is
			store := &store{q: w.store()}
			r := &runner{cat: builtin(t), store: store, state: kubeState{store}, opt: opt}
			candidates, err := r.state.find(t.Context(), opt.From, opt.To)
			if err != nil || len(candidates) != 1 {
				t.Fatalf("%d rollouts, %v", len(candidates), err)
			}
			first, err := r.one(t.Context(), candidates[0])
			if err != nil || first.Verdict != release.Regressed || !first.others || first.tape == nil {
				t.Fatalf("%+v, %v", first, err)
			}
			again := func(from *Release) (ticks []said, queries int64) {
				r.look = func(_ time.Time, v release.Verdict) { ticks = append(ticks, saidOf(v)) }
				before := store.queries.Load()
				if _, err := r.oneAgain(t.Context(), from, test.others, nil); err != nil {
					t.Fatal(err)
				}
				return ticks, store.queries.Load() - before
			}
			heard, few := again(first)
			read, many := again(&Release{candidate: first.candidate, policy: first.policy, tape: &tape{scene: first.tape.scene}})
			if diff := cmp.Diff(read, heard); diff != "" {
				t.Errorf("read (-) and heard (+) differ:\n%s", diff)
			}
			if longer := len(heard) > 100; longer != test.longer {
				t.Errorf("it is replayed for %d ticks", len(heard))
			}
			if few >= many || few > 0 && !test.longer {
				t.Errorf("%d queries with the tape, %d without", few, many)
			}
		})
	}
}

func TestAReleaseIsReplayedAgainOnceWhenAllOthersOfItsTimeAreKnown(t *testing.T) {
	w := newWorld().standard(0.03)
	w.sets[0].to = w.sets[1].from
	store := &store{q: w.store()}
	r := &runner{cat: builtin(t), store: store, state: kubeState{store}, opt: options()}
	candidates, err := r.state.find(t.Context(), r.opt.From, r.opt.To)
	if err != nil || len(candidates) != 1 {
		t.Fatalf("%d rollouts, %v", len(candidates), err)
	}
	first, err := r.one(t.Context(), candidates[0])
	if err != nil {
		t.Fatal(err)
	}
	end := first.StartedAt.Add(first.policy.Observe)
	cart := &Release{Namespace: "shop", suspect: verify.Suspect{Namespace: "shop", Workload: "cart", Began: start}}
	out := []*Release{first, cart, nil}
	for _, step := range []struct {
		says    string
		unknown time.Time
		again   bool
	}{
		{"while others may begin in its time", end, false},
		{"when none can", end.Add(time.Second), true},
		{"and not once more", time.Time{}, false},
	} {
		again := false
		r.look = func(time.Time, release.Verdict) { again = true }
		if err := r.again(t.Context(), out, step.unknown); err != nil {
			t.Fatal(err)
		}
		if again != step.again {
			t.Errorf("%s: replayed again is %v", step.says, again)
		}
	}
	if out[0].Verdict != release.Regressed || out[0].tape != nil || out[1] != cart {
		t.Errorf("in the end: %s, its tape kept: %v", out[0].Verdict, out[0].tape != nil)
	}
}

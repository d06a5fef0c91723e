package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

func wrongStands(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	r, other := Release("webapp", 2), Release("webapp", 3)
	for _, one := range []release.Release{r, other} {
		Save(t, s, one, Verdict(one, release.Regressed, true))
	}
	mark := &release.Mark{At: At, By: "ann", Why: "it was the load test"}
	write(t, s, func(tx *store.Tx) error {
		must(t, tx.SaveAftermath(store.Aftermath{Release: r.ID, Wrong: mark}))
		return tx.Audit(release.AuditRow{At: At, Actor: "ann", Release: r.ID, What: "verdict", Outcome: "marked wrong", Why: "so it is"})
	})
	got, err := s.Release(t.Context(), r.ID)
	must(t, err)
	same(t, "mark", mark, got.Verdict.Wrong)
	same(t, "verdict", release.Regressed, got.Verdict.Kind)
	list, err := s.Releases(t.Context(), store.Filter{Verdict: release.Regressed})
	must(t, err)
	same(t, "listed", 2, len(list))
	for _, rec := range list {
		same(t, "marked in the list", rec.Release.ID == r.ID, rec.Verdict.Wrong != nil)
	}
	judged, err := s.Judged(t.Context(), r.Workload.Cluster, r.Workload.UID)
	must(t, err)
	same(t, "judged", map[string]release.VerdictKind{r.ReplicaSet.UID: release.Pending, other.ReplicaSet.UID: release.Regressed}, judged)
	// The mark is kept beside the verdict: what is written again is the same.
	write(t, s, func(tx *store.Tx) error { return tx.SaveVerdict(got.Verdict) })
	_, faults, err := s.VerifyAudit(t.Context())
	must(t, err)
	same(t, "faults of the audit", 0, len(faults))
}

func turnsShared(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	const burst = 5
	take := func(place string, patience time.Duration) (time.Duration, bool) {
		t.Helper()
		due, taken, err := s.TakeTurn(t.Context(), place, time.Minute, burst, patience)
		must(t, err)
		return due, taken
	}
	var at atomic.Int32
	var all sync.WaitGroup
	for range 4 * burst { // many at the same moment
		all.Go(func() {
			if due, taken, err := s.TakeTurn(t.Context(), "a", time.Minute, burst, 0); err != nil {
				t.Error(err)
			} else if taken {
				at.Add(1)
				if due != 0 {
					t.Errorf("a turn of the burst is due in %s", due)
				}
			}
		})
	}
	all.Wait()
	same(t, "turns of a burst", int32(burst), at.Load())
	within := func(what string, got, least, most time.Duration) {
		t.Helper()
		if got < least || got > most {
			t.Errorf("%s: %s, want %s to %s", what, got, least, most)
		}
	}
	due, taken := take("a", time.Second)
	same(t, "taken after the burst", false, taken)
	within("come again", due, 30*time.Second, time.Minute)
	due, taken = take("a", 2*time.Minute)
	same(t, "taken by who waits", true, taken)
	within("due", due, 30*time.Second, time.Minute)
	due, taken = take("a", 2*time.Minute)
	same(t, "taken by the next who waits", true, taken)
	within("due", due, 90*time.Second, 2*time.Minute)
	_, taken = take("b", 0)
	same(t, "taken elsewhere", true, taken)

	held, err := s.TurnsHeld(t.Context(), "b")
	must(t, err)
	same(t, "held", time.Duration(0), held)
	must(t, s.HoldTurns(t.Context(), "b", time.Hour))
	must(t, s.HoldTurns(t.Context(), "b", time.Minute)) // the longest counts
	must(t, s.HoldTurns(t.Context(), "c", time.Hour))
	for _, place := range []string{"b", "c"} {
		held, err = s.TurnsHeld(t.Context(), place)
		must(t, err)
		within("held", held, 59*time.Minute, time.Hour)
		due, taken = take(place, time.Second)
		same(t, "taken while it is held", false, taken)
		within("come again", due, 59*time.Minute, time.Hour)
	}
	held, err = s.TurnsHeld(t.Context(), "nosuch")
	must(t, err)
	same(t, "held where nobody was", time.Duration(0), held)

	// A clock that was set back by a day holds nobody up for a day.
	_, err = s.DB().ExecContext(t.Context(), fmt.Sprintf(`UPDATE paces SET next_at = next_at + %[1]d, taken_at = taken_at + %[1]d, held_until = held_until + %[1]d`, 86_400_000))
	must(t, err)
	for _, place := range []string{"a", "b"} {
		held, err = s.TurnsHeld(t.Context(), place)
		must(t, err)
		same(t, "held after the clock was set back", time.Duration(0), held)
		due, taken = take(place, 0)
		same(t, "taken after the clock was set back", true, taken)
		same(t, "due", time.Duration(0), due)
	}
}

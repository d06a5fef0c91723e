package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

func TestAFailoverOfPostgreSQLLosesAndDoublesNothing(t *testing.T) {
	primary, err := postgres.Start(t.Context())
	if err != nil {
		postgres.Missing(t, err)
	}
	defer primary.Stop() //nolint:errcheck // it was killed
	standby, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer standby.Stop() //nolint:errcheck // it is gone either way
	s := database{postgres.Either("postgres", primary, standby)}.OpenFor(t, "lab")
	defer s.Close()

	const before, after = 50, 50 // writes
	done, half, promoted := make(chan error, 1), make(chan struct{}), make(chan struct{})
	writes := 0 // known to be committed
	var longest time.Duration
	go func() {
		defer close(done)
		for over := after; over > 0; {
			began := time.Now()
			// A commit whose answer was lost is the caller's to look for.
			for {
				err := saveOnce(context.WithoutCancel(t.Context()), s, writes+1)
				if err == nil {
					break
				}
				if release.ErrorCode(err) != release.CodeUnavailable {
					done <- err
					return
				}
			}
			longest = max(longest, time.Since(began))
			if writes++; writes == before {
				close(half)
			}
			select {
			case <-promoted:
				over--
			default:
			}
		}
	}()
	<-half
	began := time.Now()
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	away := time.Since(began)
	close(promoted)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantWhole(t, s, writes)
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("no primary for %s; the longest of %d writes took %s", away.Round(10*time.Millisecond), writes, longest.Round(10*time.Millisecond))
	if longest < away/2 || longest > 10*time.Second {
		t.Errorf("the longest write took %s, and there was no primary for %s", longest, away)
	}
}

// saveOnce is save, but adds nothing to what was saved before, as its callers in
// Watchtower do.
func saveOnce(ctx context.Context, s *store.Store, n int) error {
	r := storetest.Release("webapp", n)
	return s.Write(ctx, func(tx *store.Tx) error {
		if kind, _, err := tx.Standing(r.ID); err != nil || kind == release.Healthy {
			return err
		}
		if err := tx.SaveRelease(r, release.DefaultPolicy()); err != nil {
			return err
		}
		if err := tx.SaveVerdict(storetest.Verdict(r, release.Healthy, true)); err != nil {
			return err
		}
		return tx.Audit(release.AuditRow{At: storetest.At, Actor: "x", Release: r.ID, What: "verdict", Outcome: "healthy, final"})
	})
}

func TestAStandbyAloneIsNoPrimary(t *testing.T) {
	primary, err := postgres.Start(t.Context())
	if err != nil {
		postgres.Missing(t, err)
	}
	defer primary.Stop() //nolint:errcheck // it is gone either way
	standby, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer standby.Stop() //nolint:errcheck // it is gone either way
	database{primary.URL("postgres")}.Open(t).Close()
	if err := primary.Replayed(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ target, words string }{
		"of a URL that asks for the primary": {postgres.Either("postgres", standby), "none of its hosts takes writes"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := store.Open(t.Context(), test.target, quiet)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			wantFault(t, err, release.CodeUnavailable, test.words)
		})
	}
	s := database{standby.URL("postgres")}.OpenFor(t, "lab") // its schema is current, so nothing is written yet
	defer s.Close()
	wantFault(t, save(t.Context(), s, 1), release.CodeUnavailable, "it is read-only; is this a standby? Add target_session_attrs=read-write to the URL")
	wantFault(t, s.Ready(t.Context()), release.CodeUnavailable, "it is read-only")
}

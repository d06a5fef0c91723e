package storetest

import (
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

const day = 24 * time.Hour

func retention(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	// Thirty releases of webapp a minute apart, the last four with something open;
	// one of a workload that was never rolled out again.
	for n := range 30 {
		r := Release("webapp", n+1)
		Save(t, s, r, Verdict(r, release.Regressed, n != 0))
		addAudit(t, s, r.ID)
	}
	pending := action(Release("webapp", 2), release.ActionAlert, release.ActionPending)
	firing := store.Alert{Release: Release("webapp", 3).ID, State: store.AlertFiring, Alert: release.Alert{StartsAt: At}}
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.InsertAction(pending)
		must(t, err)
		_, err = tx.InsertAlert(firing)
		return err
	}))
	gone := Release("gone", 1)
	Save(t, s, gone, Verdict(gone, release.Healthy, true))
	young := Release("webapp", 31)
	young.SeenAt = At.Add(500 * day)
	Save(t, s, young, Verdict(young, release.Healthy, true))

	now := At.Add(501 * day)
	done, err := s.Retain(t.Context(), store.Retention{Releases: 400 * day, Curves: 90 * day}, now)
	must(t, err)
	// Of webapp's 31 the newest 25 stay; of the other six, one is not final, one
	// has an open action and one a firing alert.
	same(t, "removed", store.Removed{Releases: 3 + 1, Curves: 29 + 1}, done)
	for n, want := range map[int]bool{1: true, 2: true, 3: true, 4: false, 5: false, 6: false, 7: true, 30: true, 31: true} {
		got, err := s.Release(t.Context(), Release("webapp", n).ID)
		same(t, "release is there", want, err == nil)
		if n == 7 {
			same(t, "curves of an old release", 0, len(got.Verdict.Evidence[0].Curve))
			same(t, "evidence of an old release", 2, len(got.Verdict.Evidence))
		}
		if n == 31 {
			same(t, "curves of a young release", 1, len(got.Verdict.Evidence[0].Curve))
		}
	}
	_, err = s.Release(t.Context(), gone.ID)
	same(t, "the release of a workload that is gone", release.CodeNotFound, release.ErrorCode(err))
	rows, faults, err := s.VerifyAudit(t.Context())
	must(t, err)
	same(t, "audit rows, two of them on what was removed", int64(32), rows)
	same(t, "faults", 0, len(faults))
	done, err = s.Retain(t.Context(), store.Retention{Releases: 400 * day, Curves: 90 * day}, now)
	must(t, err)
	same(t, "removed the second time", store.Removed{}, done)
}

func auditRetention(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	var ids []release.ID
	for range 10 {
		ids = append(ids, "a")
	}
	rows := addAudit(t, s, ids...) // a second apart
	removed := release.AuditMark{ID: 4, Hash: rows[3].Hash}
	done, err := s.Retain(t.Context(), store.Retention{Audit: day}, At.Add(day+4*time.Second))
	must(t, err)
	same(t, "removed", store.Removed{Audit: 4}, done)
	_, base, err := s.AuditMarks(t.Context())
	must(t, err)
	same(t, "base", removed, base)
	n, faults, err := s.VerifyAudit(t.Context(), removed)
	must(t, err)
	same(t, "rows, one of them on what was removed", int64(7), n)
	same(t, "faults", 0, len(faults))
	if _, err := s.DB().ExecContext(t.Context(), `DELETE FROM audit WHERE seq = 5`); err == nil {
		t.Error("a row after the base could be removed")
	}
	// The last row stays whatever its age, so that the chain goes on from it.
	_, err = s.Retain(t.Context(), store.Retention{Audit: day}, At.Add(99*day))
	must(t, err)
	addAudit(t, s, "b")
	_, faults, err = s.VerifyAudit(t.Context())
	must(t, err)
	same(t, "faults", 0, len(faults))
}

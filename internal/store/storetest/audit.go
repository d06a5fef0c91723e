package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// addAudit adds a row for each release and answers with them as they must be
// read back.
func addAudit(t *testing.T, s *store.Store, ids ...release.ID) []release.AuditRow {
	t.Helper()
	head, _, err := s.AuditMarks(t.Context())
	must(t, err)
	var out []release.AuditRow
	for i, id := range ids {
		row := release.AuditRow{
			At: At.Add(time.Duration(i) * time.Second), Actor: "watchtower", Release: id, What: "decision", Outcome: "healthy",
			Why: "it's \"fine\"\x00" + string([]byte{0xff}),
		}
		must(t, s.Write(t.Context(), func(tx *store.Tx) error { return tx.Audit(row) }))
		row.ID, row.Previous, row.Why = head.ID+1, head.Hash, "it's \"fine\"\uFFFD\uFFFD"
		row.Hash = row.Digest()
		head = release.AuditMark{ID: row.ID, Hash: row.Hash}
		out = append(out, row)
	}
	return out
}

func auditOnlyGrows(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	want := addAudit(t, s, "a", "b", "a")
	for _, statement := range []string{
		`UPDATE audit SET why = 'otherwise' WHERE seq = 1`, `DELETE FROM audit WHERE seq = 1`, `DELETE FROM audit`, `TRUNCATE audit`,
	} {
		if _, err := s.DB().ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%q was allowed", statement)
		}
	}
	for _, test := range []struct {
		id    release.ID
		limit int
		want  []release.AuditRow
	}{{"", 0, want}, {"", 2, want[1:]}, {"a", 0, []release.AuditRow{want[0], want[2]}}, {"a", 1, want[2:]}, {"c", 0, nil}} {
		got, err := s.Audit(t.Context(), test.id, test.limit)
		must(t, err)
		same(t, fmt.Sprintf("audit of %q, last %d", test.id, test.limit), test.want, got)
	}
	got, err := s.AuditAfter(t.Context(), 1, 1)
	must(t, err)
	same(t, "the row after the first", want[1:2], got)
}

func auditTampered(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	unlocked(t, s)
	rows := addAudit(t, s, "a", "b", "c", "d", "e", "f")
	anchor := release.AuditMark{ID: 5, Hash: rows[4].Hash}
	found := func(anchors ...release.AuditMark) string {
		t.Helper()
		_, faults, err := s.VerifyAudit(t.Context(), anchors...)
		must(t, err)
		var said []string
		for _, f := range faults {
			said = append(said, fmt.Sprintf("%d: %s", f.ID, f.Why))
		}
		return strings.Join(said, "\n")
	}
	same(t, "faults of what nobody touched", "", found(anchor))
	forged := rows[4]
	forged.Previous = rows[2].Hash
	forged.Hash = forged.Digest()
	for _, test := range []struct {
		name  string
		do    []string
		want  string // without an anchor
		known string // what only an anchor kept elsewhere finds
	}{
		{"a changed reason", []string{`UPDATE audit SET why = 'otherwise' WHERE seq = 3`}, "3: it was changed", ""},
		{"a changed time", []string{`UPDATE audit SET at = at + 1 WHERE seq = 1`}, "1: it was changed", ""},
		{"a row taken out", []string{`DELETE FROM audit WHERE seq = 4`}, "rows 4 to 4 are missing", ""},
		{
			"a row taken out, the next ones moved up", []string{
				`DELETE FROM audit WHERE seq = 4`, `UPDATE audit SET seq = 4 WHERE seq = 5`, `UPDATE audit SET seq = 5 WHERE seq = 6`,
			}, "4: it does not follow row 3", "",
		},
		{
			"a row taken out, the next one forged to fit", []string{
				`DELETE FROM audit WHERE seq = 4`, `UPDATE audit SET seq = 4, previous = '` + forged.Previous + `', hash = '` + forged.Hash + `' WHERE seq = 5`,
			}, "4: it was changed", "",
		},
		{"two rows that changed places", []string{
			`UPDATE audit SET seq = 99 WHERE seq = 2`, `UPDATE audit SET seq = 2 WHERE seq = 3`, `UPDATE audit SET seq = 3 WHERE seq = 99`,
		}, "2: it does not follow row 1", ""},
		{"the last rows cut off", []string{`DELETE FROM audit WHERE seq > 4`}, "0: it was cut off: its last row is 4, its head 6", ""},
		{"the head set back alone", []string{`UPDATE audit_heads SET seq = 4, hash = '` + rows[3].Hash + `'`}, "5: it lies after the head", ""},
		{"all rows removed", []string{`DELETE FROM audit`}, "0: it was cut off", ""},
		{
			"the last rows cut off and the head set back", []string{
				`DELETE FROM audit WHERE seq > 4`, `UPDATE audit_heads SET seq = 4, hash = '` + rows[3].Hash + `'`,
			}, "", "0: it was cut off: its last row is 4, and there is an anchor of row 5",
		},
		{
			"the end written anew", []string{
				`UPDATE audit SET release_id = 'x', why = 'y' WHERE seq = 6`, `DELETE FROM audit WHERE seq = 5`,
				`INSERT INTO audit SELECT cluster, 5, at, actor, release_id, what, outcome, why, evidence, previous, 'forged' FROM audit WHERE seq = 4`,
			}, "5: it does not follow row 4", "5: it is not the row the anchor was taken of",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			saved := table(t, s, "audit")
			heads := table(t, s, "audit_heads")
			for _, statement := range test.do {
				_, err := s.DB().ExecContext(t.Context(), statement)
				must(t, err)
			}
			if got := found(); !strings.Contains(got, test.want) || (test.want == "") != (got == "") {
				t.Errorf("found %q, want %q", got, test.want)
			}
			if got := found(anchor); !strings.Contains(got, test.known) {
				t.Errorf("with the anchor: found %q, want %q", got, test.known)
			}
			saved()
			heads()
			same(t, "faults once all is back", "", found(anchor))
		})
	}
}

// unlocked takes the triggers away, as who owns the database can.
func unlocked(t *testing.T, s *store.Store) {
	t.Helper()
	on := ""
	if s.Postgres() {
		on = " ON audit"
	}
	names := []string{"audit_rows_stay", "audit_rows_remain"}
	if s.Postgres() {
		names = []string{"audit_rows_stay", "audit_stays"}
	}
	for _, name := range names {
		_, err := s.DB().ExecContext(t.Context(), `DROP TRIGGER `+name+on)
		must(t, err)
	}
}

// table keeps a copy of a table and answers with what puts it back.
func table(t *testing.T, s *store.Store, name string) func() {
	t.Helper()
	run := func(statement string) {
		t.Helper()
		_, err := s.DB().ExecContext(t.Context(), statement)
		must(t, err)
	}
	run(`CREATE TABLE kept_` + name + ` AS SELECT * FROM ` + name)
	return func() {
		t.Helper()
		run(`DELETE FROM ` + name)
		run(`INSERT INTO ` + name + ` SELECT * FROM kept_` + name)
		run(`DROP TABLE kept_` + name)
	}
}

func auditEvidence(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	r := Release("webapp", 2)
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		must(t, tx.SaveRelease(r, release.DefaultPolicy()))
		must(t, tx.SaveVerdict(Verdict(r, release.Regressed, true)))
		return tx.Audit(release.AuditRow{At: At, Actor: "watchtower", Release: r.ID, What: "verdict", Outcome: "regressed, final", Why: "worse"})
	}))
	rows, faults, err := s.VerifyAudit(t.Context())
	must(t, err)
	same(t, "rows", int64(1), rows)
	same(t, "faults", 0, len(faults))
	got, err := s.Audit(t.Context(), r.ID, 0)
	must(t, err)
	same(t, "digits of the digest", 64, len(got[0].Evidence))
	for _, change := range []string{
		`UPDATE evidence SET queries = body`, `UPDATE evidence SET body = queries`, `DELETE FROM evidence`, `UPDATE verdicts SET verdict_json = '{}'`,
	} {
		_, err = s.DB().ExecContext(t.Context(), change)
		must(t, err)
		_, faults, err = s.VerifyAudit(t.Context())
		must(t, err)
		same(t, "faults after "+change, []release.AuditFault{{ID: 1, Why: "the verdict or the evidence of release " + string(r.ID) + " was changed after it"}}, faults)
		Save(t, s, r, Verdict(r, release.Regressed, true))
	}
}

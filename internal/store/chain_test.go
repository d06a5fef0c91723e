package store

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestTheAuditOfAnOlderVersionBecomesAChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.db")
	quiet := slog.New(slog.DiscardHandler)
	old := &Store{log: quiet}
	if err := old.openSQLite(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	provider, _, err := old.migrations()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO releases VALUES ('r1', 'lab', 'shop', 'webapp', 'u', 'rs', 1, '{}', '{}')`,
		`INSERT INTO audit (at, actor, release_id, what, outcome, why) VALUES (1, 'watchtower', 'r1', 'verdict', 'healthy', 'first'),
			(2, 'watchtower', '', 'start', 'ok', 'of no release'), (3, 'watchtower', 'r1', 'verdict', 'regressed', 'second')`,
	} {
		if _, err := old.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	s, err := Open(t.Context(), path, quiet, ForCluster("lab"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows, err := s.Audit(t.Context(), "", 0)
	if err != nil || len(rows) != 2 || rows[0].Why != "first" || rows[1].Why != "second" || rows[1].ID != 2 {
		t.Fatalf("%+v, %v; want the two rows of the release", rows, err)
	}
	must := func(rows int64) {
		t.Helper()
		n, faults, err := s.VerifyAudit(t.Context())
		if err != nil || n != rows || len(faults) != 0 {
			t.Fatalf("%d rows, faults %v, %v; want %d sound rows", n, faults, err, rows)
		}
	}
	must(2)
	if err := s.Write(t.Context(), func(tx *Tx) error { return tx.Audit(release.AuditRow{Actor: "x", What: "next"}) }); err != nil {
		t.Fatal(err)
	}
	must(3)
}

package store

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

// A migration that ends in the middle, here because of a row it cannot read,
// leaves the schema as it was; the next start goes on with it.
func TestAMigrationThatWasInterruptedGoesOn(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { interrupted(t, filepath.Join(t.TempDir(), "w.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { interrupted(t, postgres.Fresh(t)) })
}

func interrupted(t *testing.T, target string) {
	quiet := slog.New(slog.DiscardHandler)
	old := &Store{log: quiet, options: options{maxConnections: 3}}
	open := old.openSQLite
	if IsPostgres(target) {
		open = old.openPostgres
	}
	if err := open(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	provider, _, err := old.migrations()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO releases VALUES ('r1', 'lab', 'shop', 'webapp', 'u', 'rs', 1, '{"id":"r1"}', '{}')`,
		`INSERT INTO verdicts VALUES ('r1', 'regressed', 1, 1, '{"release":"r1","kind":"regressed"}')`,
		`INSERT INTO evidence VALUES ('r1', 0, '{"signal":"error_ratio","queries":[{"source":"prometheus","expr":"up"}]}',
			'[{"at":"2026-03-04T05:06:07.008Z","release":{"total":4,"bad":1},"release_value":0.25,"e_value":3}]')`,
		`INSERT INTO evidence VALUES ('r1', 1, 'no JSON', '[]')`,
	} {
		if _, err := old.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	if s, err := Open(t.Context(), target, quiet); err == nil || !strings.Contains(err.Error(), "of release r1") {
		if err == nil {
			s.Close()
		}
		t.Fatalf("the migration of what cannot be read: %v", err)
	}
	mend := &Store{log: quiet, options: options{maxConnections: 3}}
	open = mend.openSQLite
	if IsPostgres(target) {
		open = mend.openPostgres
	}
	if err := open(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	// The old table is there under its name, and whole.
	res, err := mend.db.ExecContext(t.Context(), `UPDATE evidence SET evidence_json = '{"signal":"latency"}' WHERE position = 1`)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := res.RowsAffected(); n != 1 {
		t.Fatalf("%d rows mended", n)
	}
	if err := mend.Close(); err != nil {
		t.Fatal(err)
	}

	s, err := Open(t.Context(), target, quiet, ForCluster("lab"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list, err := s.Releases(t.Context(), Filter{Verdict: release.Regressed})
	if err != nil || len(list) != 1 || list[0].Live {
		t.Fatalf("%+v, %v", list, err)
	}
	rec, err := s.Release(t.Context(), "r1")
	if err != nil {
		t.Fatal(err)
	}
	e := rec.Verdict.Evidence
	if len(e) != 2 || e[0].Queries[0].Expr != "up" || *e[0].Curve[0].ReleaseValue != 0.25 || e[1].Signal != "latency" {
		t.Errorf("evidence is %+v", e)
	}
}

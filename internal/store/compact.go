package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// compactEvidence is the migration that packs evidence, a row a release, gives
// the curves a table of their own, and lets a list of releases be found by one
// index: a release holds the kind of its verdict.
func compactEvidence(d dialect) *goose.Migration {
	return goose.NewGoMigration(3, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		return compact(ctx, session{on: tx, dialect: d})
	}}, nil)
}

func compact(ctx context.Context, on session) error {
	blob, key := "BLOB", "TEXT"
	if on.dialect == onPostgres {
		blob, key = "BYTEA", `TEXT COLLATE "C"`
	}
	run := func(statements ...string) error {
		for _, s := range statements {
			if _, err := on.ExecContext(ctx, strings.NewReplacer("BLOB", blob, "KEY", key).Replace(s)); err != nil {
				return err
			}
		}
		return nil
	}
	err := run(
		`ALTER TABLE evidence RENAME TO evidence_loose`,
		`CREATE TABLE evidence (release_id KEY NOT NULL UNIQUE REFERENCES releases (id), body BLOB NOT NULL, queries BLOB NOT NULL)`,
		`CREATE TABLE curves (release_id KEY NOT NULL UNIQUE REFERENCES releases (id), body BLOB NOT NULL)`,
		`ALTER TABLE releases ADD COLUMN verdict TEXT NOT NULL DEFAULT 'pending'`,
		`ALTER TABLE releases ADD COLUMN final INTEGER NOT NULL DEFAULT 0`,
		`UPDATE releases SET verdict = (SELECT v.kind FROM verdicts v WHERE v.release_id = releases.id),
			final = (SELECT v.final FROM verdicts v WHERE v.release_id = releases.id)
			WHERE EXISTS (SELECT 1 FROM verdicts v WHERE v.release_id = releases.id)`,
		`DROP INDEX verdicts_live`,
		`DROP INDEX releases_seen_at`,
		`DROP INDEX releases_workload`,
		`CREATE INDEX releases_seen ON releases (cluster, seen_at)`,
		`CREATE INDEX releases_verdict ON releases (cluster, verdict, seen_at)`,
		`CREATE INDEX releases_final ON releases (cluster, final, seen_at)`,
		`CREATE INDEX releases_namespace ON releases (cluster, namespace, seen_at)`,
		`CREATE INDEX releases_name ON releases (cluster, workload, seen_at)`,
	)
	if err != nil {
		return err
	}
	if err := packLoose(ctx, on); err != nil {
		return fmt.Errorf("pack the evidence: %w", err)
	}
	return run(`DROP TABLE evidence_loose`)
}

func packLoose(ctx context.Context, on session) error {
	ids, err := texts(ctx, on, `SELECT DISTINCT release_id FROM evidence_loose`)
	if err != nil {
		return err
	}
	t := &Tx{ctx: ctx, on: on}
	for _, id := range ids {
		list, err := looseEvidence(ctx, on, id)
		if err != nil {
			return fmt.Errorf("of release %s: %w", id, err)
		}
		written, curves, err := encodeEvidence(list)
		if err != nil {
			return err
		}
		if err := t.saveEvidence(release.ID(id), written, curves); err != nil {
			return err
		}
	}
	return nil
}

func looseEvidence(ctx context.Context, on session, id string) (list []release.Evidence, err error) {
	rows, err := on.QueryContext(ctx, `SELECT evidence_json, curve_json FROM evidence_loose WHERE release_id = ? ORDER BY position`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var body, curve string
		if err := rows.Scan(&body, &curve); err != nil {
			return nil, err
		}
		var e release.Evidence
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			return nil, err
		}
		if curve != "" {
			if err := json.Unmarshal([]byte(curve), &e.Curve); err != nil {
				return nil, err
			}
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

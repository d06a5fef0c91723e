package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// chainAudit is the migration that makes the audit a chain for each cluster.
// The rows there are become the first of it, as they stand: it cannot tell
// whether they were changed before.
func chainAudit(d dialect) *goose.Migration {
	return goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		return rechain(ctx, session{on: tx, dialect: d})
	}}, nil)
}

func rechain(ctx context.Context, on session) error {
	if _, err := on.ExecContext(ctx, `ALTER TABLE audit RENAME TO audit_unchained`); err != nil {
		return err
	}
	for _, statement := range append([]string{
		`CREATE TABLE audit (
			cluster    TEXT NOT NULL,
			seq        BIGINT NOT NULL,
			at         BIGINT NOT NULL,
			actor      TEXT NOT NULL,
			release_id TEXT NOT NULL,
			what       TEXT NOT NULL,
			outcome    TEXT NOT NULL,
			why        TEXT NOT NULL,
			evidence   TEXT NOT NULL,
			previous   TEXT NOT NULL,
			hash       TEXT NOT NULL,
			PRIMARY KEY (cluster, seq)
		)`,
		`CREATE TABLE audit_heads (
			cluster   TEXT PRIMARY KEY,
			seq       BIGINT NOT NULL,
			hash      TEXT NOT NULL,
			base_seq  BIGINT NOT NULL,
			base_hash TEXT NOT NULL
		)`,
	}, onlyGrows(on.dialect)...) {
		if _, err := on.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if err := chainOld(ctx, on); err != nil {
		return fmt.Errorf("chain the audit: %w", err)
	}
	for _, statement := range []string{
		`DROP TABLE audit_unchained`,
		`CREATE INDEX audit_release ON audit (cluster, release_id, seq)`,
	} {
		if _, err := on.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// onlyGrows are the triggers that keep rows from being changed, or removed
// unless retention has moved the base of the chain past them.
func onlyGrows(d dialect) []string {
	if d == onSQLite {
		return []string{
			`CREATE TRIGGER audit_rows_stay BEFORE UPDATE ON audit
			BEGIN SELECT RAISE(ABORT, 'audit rows are only ever added'); END`,
			`CREATE TRIGGER audit_rows_remain BEFORE DELETE ON audit
			WHEN OLD.seq > (SELECT base_seq FROM audit_heads WHERE cluster = OLD.cluster)
			BEGIN SELECT RAISE(ABORT, 'audit rows are only ever added'); END`,
		}
	}
	return []string{
		`CREATE OR REPLACE FUNCTION watchtower_audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF TG_OP = 'DELETE' AND OLD.seq <= (SELECT base_seq FROM audit_heads WHERE cluster = OLD.cluster) THEN
				RETURN OLD;
			END IF;
			RAISE EXCEPTION 'audit rows are only ever added';
		END;
		$$`,
		`CREATE TRIGGER audit_rows_stay BEFORE UPDATE OR DELETE ON audit
		FOR EACH ROW EXECUTE FUNCTION watchtower_audit_only_grows()`,
		`CREATE FUNCTION watchtower_audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			RAISE EXCEPTION 'audit rows are only ever added';
		END;
		$$`,
		`CREATE TRIGGER audit_stays BEFORE TRUNCATE ON audit
		FOR EACH STATEMENT EXECUTE FUNCTION watchtower_audit_stays()`,
	}
}

func chainOld(ctx context.Context, on session) error {
	heads := make(map[string]release.AuditMark)
	for after := int64(0); ; {
		page, last, err := oldRows(ctx, on, after)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		after = last
		for _, r := range page {
			head := heads[r.Cluster]
			r.ID, r.Previous = head.ID+1, head.Hash
			r.Hash = r.Digest()
			if err := insertAudit(ctx, on, r); err != nil {
				return err
			}
			heads[r.Cluster] = release.AuditMark{ID: r.ID, Hash: r.Hash}
		}
	}
	for cluster, head := range heads {
		_, err := on.ExecContext(ctx, `INSERT INTO audit_heads (cluster, seq, hash, base_seq, base_hash) VALUES (?, ?, ?, 0, '')`,
			cluster, head.ID, head.Hash)
		if err != nil {
			return err
		}
	}
	return nil
}

func oldRows(ctx context.Context, on session, after int64) (page []release.AuditRow, last int64, err error) {
	rows, err := on.QueryContext(ctx, `
		SELECT a.id, coalesce(r.cluster, ''), a.at, a.actor, a.release_id, a.what, a.outcome, a.why
		FROM audit_unchained a LEFT JOIN releases r ON r.id = a.release_id
		WHERE a.id > ? ORDER BY a.id LIMIT ?`, after, auditPage)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var r release.AuditRow
		var at int64
		var rel string
		if err := rows.Scan(&last, &r.Cluster, &at, &r.Actor, &rel, &r.What, &r.Outcome, &r.Why); err != nil {
			return nil, 0, err
		}
		r.At, r.Release = fromMillis(at), release.ID(rel)
		page = append(page, r)
	}
	return page, last, rows.Err()
}

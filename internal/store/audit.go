package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Audit adds a row. Its ID is given by the database; rows are never changed
// or removed, which triggers in the database refuse.
func (t *Tx) Audit(r release.AuditRow) error {
	_, err := t.on.ExecContext(t.ctx, `INSERT INTO audit (at, actor, release_id, what, outcome, why) VALUES (?, ?, ?, ?, ?, ?)`,
		millis(r.At), r.Actor, string(r.Release), r.What, r.Outcome, r.Why)
	if err != nil {
		return fmt.Errorf("add an audit row for release %s: %w", r.Release, err)
	}
	return nil
}

// Audit answers with the last limit rows of a release, or of all with an empty
// id, oldest first; all of them when limit is 0.
func (s *Store) Audit(ctx context.Context, id release.ID, limit int) ([]release.AuditRow, error) {
	query, args := `SELECT id, at, actor, release_id, what, outcome, why FROM audit `, []any{}
	if id != "" {
		query += `WHERE release_id = ? `
		args = append(args, string(id))
	}
	query += `ORDER BY id DESC`
	if limit > 0 {
		query += ` LIMIT ?`
		args = append(args, limit)
	}
	rows, err := s.on.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	defer rows.Close()
	var out []release.AuditRow
	for rows.Next() {
		var r release.AuditRow
		var at int64
		var rel string
		if err := rows.Scan(&r.ID, &at, &r.Actor, &rel, &r.What, &r.Outcome, &r.Why); err != nil {
			return nil, fmt.Errorf("read the audit: %w", err)
		}
		r.At, r.Release = fromMillis(at), release.ID(rel)
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	slices.Reverse(out)
	return out, nil
}

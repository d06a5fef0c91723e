package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Retention says how long things are kept; 0 is for ever.
type Retention struct {
	Releases, Curves, Audit time.Duration
}

// Removed is what Retain took away.
type Removed struct {
	Releases, Curves, Audit int
}

const (
	// keptReleases of each workload stay however old they are while newer ones
	// come: Kubernetes keeps ten ReplicaSets to go back to unless told otherwise,
	// and which of them were judged regressed must be known.
	keptReleases = 25
	retainBatch  = 200
)

// Retain removes what is older than its time, in small transactions, and adds
// an audit row that says so. What is not settled stays: a release whose verdict
// is not final, whose actions are pending or waiting, whose alert has not
// ended. Of each workload that still has younger releases the newest 25 stay.
// Curves go, numbers stay. The audit loses its oldest rows only, and its chain
// then begins at the last one removed.
func (s *Store) Retain(ctx context.Context, r Retention, now time.Time) (done Removed, err error) {
	steps := []struct {
		age    time.Duration
		count  *int
		remove func(tx *Tx, before time.Time) (int, error)
		words  string
	}{
		{r.Curves, &done.Curves, (*Tx).removeCurves, "the curves of %d releases seen before %s"},
		{r.Releases, &done.Releases, (*Tx).removeReleases, "%d releases seen before %s"},
		{r.Audit, &done.Audit, (*Tx).removeAudit, "%d audit rows written before %s"},
	}
	for _, step := range steps {
		if step.age <= 0 {
			continue
		}
		before := now.Add(-step.age)
		if *step.count, err = s.inBatches(ctx, func(tx *Tx) (int, error) { return step.remove(tx, before) }); err != nil {
			return done, fmt.Errorf("remove what is past its retention: %w", err)
		}
		if *step.count == 0 {
			continue
		}
		err = s.Write(ctx, func(tx *Tx) error {
			return tx.Audit(release.AuditRow{
				At: now, Actor: "watchtower", What: "retention", Outcome: "removed",
				Why: fmt.Sprintf(step.words, *step.count, before.UTC().Format(time.RFC3339)),
			})
		})
		if err != nil {
			return done, err
		}
	}
	if done != (Removed{}) {
		return done, s.giveBack(ctx)
	}
	return done, nil
}

func (s *Store) inBatches(ctx context.Context, remove func(tx *Tx) (int, error)) (all int, err error) {
	for {
		var n int
		err := s.Write(ctx, func(tx *Tx) (err error) {
			n, err = remove(tx)
			return err
		})
		all += n
		if err != nil || n == 0 {
			return all, err
		}
	}
}

// giveBack returns the room of what was removed to the file system, a little at
// a time; PostgreSQL does that by itself.
func (s *Store) giveBack(ctx context.Context) error {
	if s.Postgres() {
		return nil
	}
	for _, pragma := range []string{`PRAGMA incremental_vacuum(10000)`, `PRAGMA optimize`} {
		if _, err := s.on.ExecContext(ctx, pragma); err != nil {
			return askError(s.where, err)
		}
	}
	return nil
}

// ofCluster narrows a query to the store's cluster.
func (t *Tx) ofCluster(column string) (where string, args []any) {
	if t.store.options.cluster == "" {
		return "", nil
	}
	return " AND " + column + " = ?", []any{t.store.options.cluster}
}

func (t *Tx) removeCurves(before time.Time) (int, error) {
	where, args := t.ofCluster("r.cluster")
	args = append(append([]any{millis(before)}, args...), retainBatch)
	res, err := t.on.ExecContext(t.ctx, `
		DELETE FROM curves WHERE release_id IN (
			SELECT r.id FROM releases r JOIN curves c ON c.release_id = r.id
			WHERE r.seen_at < ? AND r.final = 1`+where+` ORDER BY r.seen_at LIMIT ?)`, args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

func (t *Tx) removeReleases(before time.Time) (int, error) {
	where, args := t.ofCluster("r.cluster")
	args = append(append([]any{millis(before)}, args...), millis(before), keptReleases, retainBatch)
	rows, err := t.on.QueryContext(t.ctx, `
		SELECT r.id FROM releases r
		WHERE r.seen_at < ? AND r.final = 1`+where+`
			AND NOT EXISTS (SELECT 1 FROM actions a WHERE a.release_id = r.id AND a.state IN ('pending', 'waiting'))
			AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.release_id = r.id AND a.state <> 'resolved')
			AND (NOT EXISTS (SELECT 1 FROM releases n WHERE n.cluster = r.cluster AND n.workload_uid = r.workload_uid AND n.seen_at >= ?)
				OR (SELECT count(*) FROM releases n WHERE n.cluster = r.cluster AND n.workload_uid = r.workload_uid AND n.seen_at > r.seen_at) >= ?)
		ORDER BY r.seen_at LIMIT ?`, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var ids []any
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return 0, err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil || len(ids) == 0 {
		return 0, err
	}
	rows.Close() // the next statement needs the connection
	marks := "(?" + strings.Repeat(", ?", len(ids)-1) + ")"
	// A group goes with the release whose action tells of it.
	if _, err := t.on.ExecContext(t.ctx, `DELETE FROM message_members WHERE release_id IN `+marks+`
		OR group_id IN (SELECT id FROM message_groups WHERE release_id IN `+marks+`)`, slices.Concat(ids, ids)...); err != nil {
		return 0, err
	}
	for _, table := range []string{"deliveries", "grants"} {
		if _, err := t.on.ExecContext(t.ctx, `DELETE FROM `+table+` WHERE action_key IN (SELECT action_key FROM actions WHERE release_id IN `+marks+`)`, ids...); err != nil {
			return 0, err
		}
	}
	for _, table := range []string{"curves", "evidence", "verdicts", "actions", "alerts", "aftermaths", "regressions", "incidents", "message_groups"} {
		if _, err := t.on.ExecContext(t.ctx, `DELETE FROM `+table+` WHERE release_id IN `+marks, ids...); err != nil {
			return 0, err
		}
	}
	_, err = t.on.ExecContext(t.ctx, `DELETE FROM releases WHERE id IN `+marks, ids...)
	return len(ids), err
}

// removeAudit takes rows off the beginning of the chain, up to the first that
// is young enough; never its last one.
func (t *Tx) removeAudit(before time.Time) (int, error) {
	cluster := t.store.options.cluster
	rows, err := readAudit(t.ctx, t.on, selectAudit+`
		WHERE cluster = ? AND seq < coalesce((SELECT min(seq) FROM audit WHERE cluster = ? AND at >= ?), (SELECT max(seq) FROM audit WHERE cluster = ?))
		ORDER BY seq LIMIT ?`, cluster, cluster, millis(before), cluster, retainBatch)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	last := rows[len(rows)-1]
	// The base moves first: the database refuses to remove what is after it.
	if _, err := t.on.ExecContext(t.ctx, `UPDATE audit_heads SET base_seq = ?, base_hash = ? WHERE cluster = ?`, last.ID, last.Hash, cluster); err != nil {
		return 0, err
	}
	_, err = t.on.ExecContext(t.ctx, `DELETE FROM audit WHERE cluster = ? AND seq <= ?`, cluster, last.ID)
	return len(rows), err
}

// Vacuum writes the database anew without the room of what was removed. It
// needs as much room on the disk again, and everything else waits.
func (s *Store) Vacuum(ctx context.Context) error {
	statement := `VACUUM`
	if s.Postgres() {
		statement = `VACUUM (ANALYZE)`
	}
	if _, err := s.db.ExecContext(ctx, statement); err != nil {
		return askError(s.where, fmt.Errorf("vacuum: %w", err))
	}
	return nil
}

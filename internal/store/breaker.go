package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// SaveBreaker writes how a breaker stands.
func (t *Tx) SaveBreaker(b release.Breaker) error {
	_, err := t.on.ExecContext(t.ctx, `
		INSERT INTO breakers (cluster, namespace, is_open, changed_at, closes_at, actor, why) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (cluster, namespace) DO UPDATE SET is_open = excluded.is_open, changed_at = excluded.changed_at,
			closes_at = excluded.closes_at, actor = excluded.actor, why = excluded.why`,
		b.Cluster, b.Namespace, boolInt(b.Open), millis(b.ChangedAt), nullMillis(b.ClosesAt), b.Actor, b.Why)
	if err != nil {
		return fmt.Errorf("save the breaker of %s: %w", b.Scope(), err)
	}
	return nil
}

// Breakers answers with all breakers of a cluster that ever opened, the
// cluster's own first.
func (s *Store) Breakers(ctx context.Context, cluster string) (_ []release.Breaker, err error) {
	defer s.inWords(&err)
	return readBreakers(ctx, s.on, cluster)
}

// Breakers is Store.Breakers inside the transaction.
func (t *Tx) Breakers(cluster string) ([]release.Breaker, error) {
	return readBreakers(t.ctx, t.on, cluster)
}

func readBreakers(ctx context.Context, q querier, cluster string) ([]release.Breaker, error) {
	rows, err := q.QueryContext(ctx, `
		SELECT cluster, namespace, is_open, changed_at, closes_at, actor, why FROM breakers WHERE cluster = ? ORDER BY namespace`, cluster)
	if err != nil {
		return nil, fmt.Errorf("read the breakers: %w", err)
	}
	defer rows.Close()
	var out []release.Breaker
	for rows.Next() {
		var b release.Breaker
		var changed int64
		var open int
		var closes sql.NullInt64
		if err := rows.Scan(&b.Cluster, &b.Namespace, &open, &changed, &closes, &b.Actor, &b.Why); err != nil {
			return nil, fmt.Errorf("read the breakers: %w", err)
		}
		b.Open, b.ChangedAt, b.ClosesAt = open != 0, fromMillis(changed), fromNull(closes)
		out = append(out, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the breakers: %w", err)
	}
	return out, nil
}

// Grant lets a rollback through the breaker at a moment; once.
func (t *Tx) Grant(key string, w release.Workload, at time.Time) error {
	_, err := t.on.ExecContext(t.ctx, `
		INSERT INTO grants (action_key, cluster, namespace, at) VALUES (?, ?, ?, ?) ON CONFLICT (action_key) DO NOTHING`,
		key, w.Cluster, w.Namespace, millis(at))
	if err != nil {
		return fmt.Errorf("let %s through the breaker: %w", key, err)
	}
	return nil
}

// Ungrant takes a rollback that did nothing out of the count again.
func (t *Tx) Ungrant(key string) error {
	if _, err := t.on.ExecContext(t.ctx, `DELETE FROM grants WHERE action_key = ?`, key); err != nil {
		return fmt.Errorf("take %s out of the breaker's count: %w", key, err)
	}
	return nil
}

// Granted counts the rollbacks that were let through since a moment, in a
// namespace, or in the whole cluster for "".
func (t *Tx) Granted(cluster, namespace string, since time.Time) (n int, err error) {
	err = t.on.QueryRowContext(t.ctx, `SELECT count(*) FROM grants WHERE cluster = ? AND (? = '' OR namespace = ?) AND at >= ?`,
		cluster, namespace, namespace, millis(since)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count rollbacks: %w", err)
	}
	return n, nil
}

// InsertRegression notes that a release regressed, as part of an incident or, for
// "", of none.
func (t *Tx) InsertRegression(r release.Release, at time.Time, incident string) error {
	_, err := t.on.ExecContext(t.ctx, `
		INSERT INTO regressions (release_id, cluster, namespace, workload_uid, at, incident) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (release_id) DO NOTHING`,
		string(r.ID), r.Workload.Cluster, r.Workload.Namespace, r.Workload.UID, millis(at), incident)
	if err != nil {
		return fmt.Errorf("note that release %s regressed: %w", r.ID, err)
	}
	return nil
}

// RegressedSince counts the workloads of a cluster that regressed since a moment.
func (t *Tx) RegressedSince(cluster string, since time.Time) (n int, err error) {
	err = t.on.QueryRowContext(t.ctx, `SELECT count(DISTINCT workload_uid) FROM regressions WHERE cluster = ? AND at >= ?`,
		cluster, millis(since)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count regressions: %w", err)
	}
	return n, nil
}

// Gather makes what regressed in a cluster since a moment, and of which nobody
// was told yet, part of an incident.
func (t *Tx) Gather(incident, cluster string, since time.Time) error {
	_, err := t.on.ExecContext(t.ctx, `
		UPDATE regressions SET incident = ? WHERE cluster = ? AND at >= ? AND incident = ''
			AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.release_id = regressions.release_id AND a.posted_at IS NOT NULL)
			AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.release_id = regressions.release_id AND d.told_seq > 0)
			AND NOT EXISTS (SELECT 1 FROM message_members m WHERE m.release_id = regressions.release_id AND m.told <> '')`,
		incident, cluster, millis(since))
	if err == nil { // what is told in the incident is told in no group
		_, err = t.on.ExecContext(t.ctx, `
			DELETE FROM message_members WHERE told = '' AND release_id IN (SELECT g.release_id FROM regressions g WHERE g.incident = ?)`, incident)
	}
	if err != nil {
		return fmt.Errorf("gather incident %s: %w", incident, err)
	}
	return nil
}

// IncidentOf is the incident a release is part of, "" for none.
func (t *Tx) IncidentOf(id release.ID) (string, error) { return readIncidentOf(t.ctx, t.on, id) }

// IncidentOf is Tx.IncidentOf outside of a transaction.
func (s *Store) IncidentOf(ctx context.Context, id release.ID) (_ string, err error) {
	defer s.inWords(&err)
	return readIncidentOf(ctx, s.on, id)
}

func readIncidentOf(ctx context.Context, q querier, id release.ID) (incident string, err error) {
	err = q.QueryRowContext(ctx, `SELECT incident FROM regressions WHERE release_id = ?`, string(id)).Scan(&incident)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the incident of release %s: %w", id, err)
	}
	return incident, nil
}

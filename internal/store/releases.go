package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Record is a release with what is known of it.
type Record struct {
	Release release.Release
	Verdict release.Verdict // Pending before there is one
	Policy  release.Policy
	Live    bool // the verdict is not final yet
}

// Filter selects releases of the store's cluster; empty fields select all.
type Filter struct {
	Namespace string
	Workload  string // name of the Deployment
	Verdict   release.VerdictKind
	Live      *bool
	Limit     int       // 100 when 0
	Before    time.Time // seen before; the SeenAt of the last of a page gives the next
}

// SaveRelease inserts the release or writes it anew.
func (t *Tx) SaveRelease(r release.Release, p release.Policy) error {
	rel, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode release %s: %w", r.ID, err)
	}
	pol, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode the policy of release %s: %w", r.ID, err)
	}
	_, err = t.on.ExecContext(t.ctx, `
		INSERT INTO releases (id, cluster, namespace, workload, workload_uid, replicaset_uid, seen_at, release_json, policy_json, verdict, final)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', 0)
		ON CONFLICT (id) DO UPDATE SET release_json = excluded.release_json, policy_json = excluded.policy_json`,
		string(r.ID), r.Workload.Cluster, r.Workload.Namespace, r.Workload.Name, r.Workload.UID, r.ReplicaSet.UID,
		millis(r.SeenAt), string(rel), string(pol))
	if err != nil {
		return fmt.Errorf("save release %s: %w", r.ID, err)
	}
	return nil
}

// What is read of records: lists would spend most of their time on evidence that they
// do not show.
var (
	selectListed  = selectRecords(`''`, `NULL`)
	selectBare    = selectRecords(`r.policy_json`, `NULL`)
	selectCounted = selectRecords(`r.policy_json`, `(SELECT e.body FROM evidence e WHERE e.release_id = r.id)`)
)

func selectRecords(policy, evidence string) string {
	return `
	SELECT r.release_json, ` + policy + `, coalesce(v.verdict_json, ''), r.final, ` + evidence + `, w.wrong_at, coalesce(w.wrong_by, ''), coalesce(w.wrong_why, '')
	FROM releases r LEFT JOIN verdicts v ON v.release_id = r.id LEFT JOIN aftermaths w ON w.release_id = r.id `
}

// Release answers with the whole record, curves included, or CodeNotFound.
func (s *Store) Release(ctx context.Context, id release.ID) (_ Record, err error) {
	defer s.inWords(&err)
	return readRelease(ctx, s.on, id)
}

// Release is Store.Release inside the transaction.
func (t *Tx) Release(id release.ID) (Record, error) { return readRelease(t.ctx, t.on, id) }

func readRelease(ctx context.Context, q querier, id release.ID) (Record, error) {
	rec, err := scanRecord(q.QueryRowContext(ctx, selectBare+`WHERE r.id = ?`, string(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return Record{}, release.E(release.CodeNotFound, "release "+string(id)+" is not known", nil)
	}
	if err != nil {
		return Record{}, fmt.Errorf("read release %s: %w", id, err)
	}
	rec.Verdict.Evidence, err = readEvidence(ctx, q, id)
	return rec, err
}

// Releases answers newest first, without evidence and policies: Release has them.
func (s *Store) Releases(ctx context.Context, f Filter) (_ []Record, err error) {
	defer s.inWords(&err)
	var where []string
	var args []any
	cond := func(c string, arg any) { where, args = append(where, c), append(args, arg) }
	if s.options.cluster != "" {
		cond("r.cluster = ?", s.options.cluster)
	}
	if f.Namespace != "" {
		cond("r.namespace = ?", f.Namespace)
	}
	if f.Workload != "" {
		cond("r.workload = ?", f.Workload)
	}
	if f.Verdict != "" {
		cond("r.verdict = ?", string(f.Verdict))
	}
	if f.Live != nil {
		cond("r.final = ?", boolInt(!*f.Live))
	}
	if !f.Before.IsZero() {
		cond("r.seen_at < ?", millis(f.Before))
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	query := selectListed
	if len(where) > 0 {
		query += "WHERE " + strings.Join(where, " AND ")
	}
	return s.records(ctx, query+` ORDER BY r.seen_at DESC, r.id LIMIT ?`, append(args, limit)...)
}

// Live answers with the releases of a cluster whose verdict is not final,
// oldest first, evidence without its curves and queries.
func (s *Store) Live(ctx context.Context, cluster string) (_ []Record, err error) {
	defer s.inWords(&err)
	return s.records(ctx, selectCounted+`
		WHERE r.cluster = ? AND r.final = 0 ORDER BY r.seen_at, r.id`, cluster)
}

func (s *Store) records(ctx context.Context, query string, args ...any) ([]Record, error) {
	rows, err := s.on.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	defer rows.Close()
	var out []Record
	for rows.Next() {
		rec, err := scanRecord(rows)
		if err != nil {
			return nil, fmt.Errorf("list releases: %w", err)
		}
		out = append(out, rec)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	return out, nil
}

// Judged answers with the last verdict of every release of a workload, by the
// UID of its ReplicaSet. One that a person said is wrong stands no more: it is
// pending.
func (s *Store) Judged(ctx context.Context, cluster, workloadUID string) (_ map[string]release.VerdictKind, err error) {
	defer s.inWords(&err)
	rows, err := s.on.QueryContext(ctx, `
		SELECT r.replicaset_uid, CASE WHEN a.wrong_at IS NULL THEN v.kind ELSE 'pending' END
		FROM releases r JOIN verdicts v ON v.release_id = r.id LEFT JOIN aftermaths a ON a.release_id = r.id
		WHERE r.cluster = ? AND r.workload_uid = ?`, cluster, workloadUID)
	if err != nil {
		return nil, fmt.Errorf("list the verdicts of workload %s: %w", workloadUID, err)
	}
	defer rows.Close()
	out := make(map[string]release.VerdictKind)
	for rows.Next() {
		var uid, kind string
		if err := rows.Scan(&uid, &kind); err != nil {
			return nil, fmt.Errorf("list the verdicts of workload %s: %w", workloadUID, err)
		}
		out[uid] = release.VerdictKind(kind)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the verdicts of workload %s: %w", workloadUID, err)
	}
	return out, nil
}

type scanner interface{ Scan(dest ...any) error }

func scanRecord(row scanner) (Record, error) {
	var rec Record
	var rel, pol, verdict string
	var final bool
	var evidence []byte
	var wrong markColumns
	if err := row.Scan(&rel, &pol, &verdict, &final, &evidence, &wrong.at, &wrong.by, &wrong.why); err != nil {
		return Record{}, err
	}
	if err := decode([]byte(rel), &rec.Release); err != nil {
		return Record{}, fmt.Errorf("decode a release: %w", err)
	}
	if pol != "" {
		if err := decode([]byte(pol), &rec.Policy); err != nil {
			return Record{}, fmt.Errorf("decode the policy of release %s: %w", rec.Release.ID, err)
		}
	}
	rec.Live = !final
	rec.Verdict = release.Verdict{Release: rec.Release.ID, Kind: release.Pending}
	if verdict != "" {
		if err := decode([]byte(verdict), &rec.Verdict); err != nil {
			return Record{}, fmt.Errorf("decode the verdict of release %s: %w", rec.Release.ID, err)
		}
	}
	rec.Verdict.Wrong = wrong.mark()
	if evidence != nil {
		var err error
		if rec.Verdict.Evidence, err = decodeEvidence(evidence, nil, nil); err != nil {
			return Record{}, fmt.Errorf("decode the evidence of release %s: %w", rec.Release.ID, err)
		}
	}
	return rec, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

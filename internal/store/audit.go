package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Audit adds a row to the end of the cluster's chain. Its ID, cluster and
// hashes are given here; so is the digest of its evidence, when the verdict of
// its release was saved in the same transaction. Rows are never changed, which
// triggers in the database refuse, and removed by PruneAudit only.
func (t *Tx) Audit(r release.AuditRow) error {
	if err := t.audit(r); err != nil {
		return fmt.Errorf("add an audit row for release %s: %w", r.Release, err)
	}
	return nil
}

func (t *Tx) audit(r release.AuditRow) error {
	head, _, err := readHead(t.ctx, t.on, t.store.options.cluster)
	if err != nil {
		return err
	}
	r.ID, r.Cluster, r.Previous = head.ID+1, t.store.options.cluster, head.Hash
	if r.Evidence == "" {
		r.Evidence = t.evidence[r.Release]
	}
	// What is hashed is what will be read back.
	for _, s := range []*string{&r.Actor, &r.What, &r.Outcome, &r.Why, &r.Evidence} {
		*s = storableText(*s)
	}
	r.Hash = r.Digest()
	if err := insertAudit(t.ctx, t.on, r); err != nil {
		return err
	}
	_, err = t.on.ExecContext(t.ctx, `
		INSERT INTO audit_heads (cluster, seq, hash, base_seq, base_hash) VALUES (?, ?, ?, 0, '')
		ON CONFLICT (cluster) DO UPDATE SET seq = excluded.seq, hash = excluded.hash`, r.Cluster, r.ID, r.Hash)
	return err
}

func insertAudit(ctx context.Context, q querier, r release.AuditRow) error {
	_, err := q.ExecContext(ctx, `
		INSERT INTO audit (cluster, seq, at, actor, release_id, what, outcome, why, evidence, previous, hash)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.Cluster, r.ID, millis(r.At), r.Actor, string(r.Release), r.What, r.Outcome, r.Why, r.Evidence, r.Previous, r.Hash)
	return err
}

// readHead answers with where the chain of a cluster ends and what of its
// beginning was removed; both are zero when there is none.
func readHead(ctx context.Context, q querier, cluster string) (head, base release.AuditMark, err error) {
	err = q.QueryRowContext(ctx, `SELECT seq, hash, base_seq, base_hash FROM audit_heads WHERE cluster = ?`, cluster).
		Scan(&head.ID, &head.Hash, &base.ID, &base.Hash)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return head, base, err
}

const selectAudit = `SELECT cluster, seq, at, actor, release_id, what, outcome, why, evidence, previous, hash FROM audit `

// Audit answers with the last limit rows of a release, or of the cluster with
// an empty id, oldest first; all of them when limit is 0.
func (s *Store) Audit(ctx context.Context, id release.ID, limit int) (_ []release.AuditRow, err error) {
	defer s.inWords(&err)
	return lastOfAudit(ctx, s.on, s.options.cluster, id, limit)
}

// AuditOf answers with all rows of a release, inside the transaction.
func (t *Tx) AuditOf(id release.ID) ([]release.AuditRow, error) {
	return lastOfAudit(t.ctx, t.on, t.store.options.cluster, id, 0)
}

func lastOfAudit(ctx context.Context, q querier, cluster string, id release.ID, limit int) ([]release.AuditRow, error) {
	query, args := selectAudit+`WHERE cluster = ? `, []any{cluster}
	if id != "" {
		query += `AND release_id = ? `
		args = append(args, string(id))
	}
	query += `ORDER BY seq DESC`
	if limit > 0 {
		query += ` LIMIT ?`
		args = append(args, limit)
	}
	out, err := readAudit(ctx, q, query, args...)
	slices.Reverse(out)
	return out, err
}

// AuditAfter answers with up to limit rows of the cluster's chain after one,
// in their order.
func (s *Store) AuditAfter(ctx context.Context, after int64, limit int) (_ []release.AuditRow, err error) {
	defer s.inWords(&err)
	return auditAfter(ctx, s.on, s.options.cluster, after, limit)
}

func auditAfter(ctx context.Context, q querier, cluster string, after int64, limit int) ([]release.AuditRow, error) {
	return readAudit(ctx, q, selectAudit+`WHERE cluster = ? AND seq > ? ORDER BY seq LIMIT ?`, cluster, after, limit)
}

// AuditMarks answers with the head of the cluster's chain, and with its base:
// the last row that was removed, zero when all are there.
func (s *Store) AuditMarks(ctx context.Context) (head, base release.AuditMark, err error) {
	defer s.inWords(&err)
	if head, base, err = readHead(ctx, s.on, s.options.cluster); err != nil {
		return head, base, fmt.Errorf("read the head of the audit: %w", err)
	}
	return head, base, nil
}

func readAudit(ctx context.Context, q querier, query string, args ...any) ([]release.AuditRow, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	defer rows.Close()
	var out []release.AuditRow
	for rows.Next() {
		var r release.AuditRow
		var at int64
		var rel string
		if err := rows.Scan(&r.Cluster, &r.ID, &at, &r.Actor, &rel, &r.What, &r.Outcome, &r.Why, &r.Evidence, &r.Previous, &r.Hash); err != nil {
			return nil, fmt.Errorf("read the audit: %w", err)
		}
		r.At, r.Release = fromMillis(at), release.ID(rel)
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	return out, nil
}

// auditPage is how many rows are read at once, so that nothing waits long for
// SQLite's one connection.
const auditPage = 1000

// VerifyAudit checks the whole chain of the cluster, and that the evidence of
// every release judged regressed is what the audit says it was. Anchors are
// marks that were kept elsewhere. It answers with how many rows there are.
func (s *Store) VerifyAudit(ctx context.Context, anchors ...release.AuditMark) (rows int64, faults []release.AuditFault, err error) {
	defer s.inWords(&err)
	return verifyAudit(ctx, s.on, s.options.cluster, anchors...)
}

func verifyAudit(ctx context.Context, q querier, cluster string, anchors ...release.AuditMark) (rows int64, faults []release.AuditFault, err error) {
	head, base, err := readHead(ctx, q, cluster)
	if err != nil {
		return 0, nil, fmt.Errorf("read the head of the audit: %w", err)
	}
	chain := release.NewAuditChain(base, anchors...)
	var changed []release.AuditFault
	for after, more := base.ID, true; more; {
		page, err := auditAfter(ctx, q, cluster, after, auditPage)
		if err != nil {
			return 0, nil, err
		}
		more = len(page) == auditPage
		for _, r := range page {
			if after = r.ID; after > head.ID {
				more = false
				now, _, err := readHead(ctx, q, cluster)
				if err != nil {
					return 0, nil, err
				}
				if now.ID < after { // else it was added since the head was read
					changed = append(changed, release.AuditFault{ID: after, Why: "it lies after the head of the chain"})
				}
				break
			}
			chain.Add(r)
			fault, err := verifyEvidence(ctx, q, r)
			if err != nil {
				return 0, nil, err
			}
			changed = append(changed, fault...)
		}
	}
	return chain.Rows(), append(chain.End(head), changed...), nil
}

// verifyEvidence compares what a row says of its evidence with what is stored.
// Only a verdict that is regressed and final stays as it is.
func verifyEvidence(ctx context.Context, q querier, r release.AuditRow) ([]release.AuditFault, error) {
	if r.Evidence == "" || r.What != "verdict" || r.Outcome != string(release.Regressed)+", final" {
		return nil, nil
	}
	digest, err := storedDigest(ctx, q, r.Release)
	if err != nil || digest == "" || digest == r.Evidence { // "": removed by retention
		return nil, err
	}
	return []release.AuditFault{{ID: r.ID, Why: "the verdict or the evidence of release " + string(r.Release) + " was changed after it"}}, nil
}

// storedDigest is the digest of a release's verdict and evidence, without
// curves, as they are stored; "" when there is none.
func storedDigest(ctx context.Context, q querier, id release.ID) (string, error) {
	var verdict string
	var body, queries []byte
	err := q.QueryRowContext(ctx, `
		SELECT v.verdict_json, e.body, e.queries FROM verdicts v LEFT JOIN evidence e ON e.release_id = v.release_id WHERE v.release_id = ?`,
		string(id)).Scan(&verdict, &body, &queries)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the verdict of release %s: %w", id, err)
	}
	texts := []string{verdict}
	for _, packed := range [][]byte{body, queries} {
		text, err := unpack(packed)
		if err != nil { // it was changed: no digest is the right one
			text = packed
		}
		texts = append(texts, string(text))
	}
	return release.Digest(texts...), nil
}

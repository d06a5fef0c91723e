package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Standing answers with the kind of a release's verdict and whether it is
// final: Pending and false while there is none.
func (t *Tx) Standing(id release.ID) (kind release.VerdictKind, final bool, err error) {
	var k string
	err = t.on.QueryRowContext(t.ctx, `SELECT kind, final FROM verdicts WHERE release_id = ?`, string(id)).Scan(&k, &final)
	if errors.Is(err, sql.ErrNoRows) {
		return release.Pending, false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read the verdict of release %s: %w", id, err)
	}
	return release.VerdictKind(k), final, nil
}

// SaveVerdict writes the verdict of a saved release and its evidence, in place
// of what was there. Curves are kept to MaxCurvePoints.
func (t *Tx) SaveVerdict(v release.Verdict) error {
	head := v
	head.Evidence = nil
	head.EValue, head.Threshold = finite(v.EValue), finite(v.Threshold)
	body, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("encode the verdict of release %s: %w", v.Release, err)
	}
	_, err = t.on.ExecContext(t.ctx, `
		INSERT INTO verdicts (release_id, kind, final, updated_at, verdict_json) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (release_id) DO UPDATE SET kind = excluded.kind, final = excluded.final,
			updated_at = excluded.updated_at, verdict_json = excluded.verdict_json`,
		string(v.Release), string(v.Kind), boolInt(v.Final), millis(v.UpdatedAt), string(body))
	if err != nil {
		return fmt.Errorf("save the verdict of release %s: %w", v.Release, err)
	}
	if _, err := t.on.ExecContext(t.ctx, `DELETE FROM evidence WHERE release_id = ?`, string(v.Release)); err != nil {
		return fmt.Errorf("replace the evidence of release %s: %w", v.Release, err)
	}
	for i, e := range v.Evidence {
		if err := t.saveEvidence(v.Release, i, e); err != nil {
			return err
		}
	}
	t.evidence[v.Release], err = storedDigest(t.ctx, t.on, v.Release)
	return err
}

func (t *Tx) saveEvidence(id release.ID, position int, e release.Evidence) error {
	e = finiteEvidence(e)
	curve, err := json.Marshal(BoundCurve(e.Curve, e.Unit, MaxCurvePoints))
	if err != nil {
		return fmt.Errorf("encode the curve of %s of release %s: %w", e.Signal, id, err)
	}
	e.Curve = nil
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode the evidence of %s of release %s: %w", e.Signal, id, err)
	}
	_, err = t.on.ExecContext(t.ctx, `INSERT INTO evidence (release_id, position, evidence_json, curve_json) VALUES (?, ?, ?, ?)`,
		string(id), position, string(body), string(curve))
	if err != nil {
		return fmt.Errorf("save the evidence of %s of release %s: %w", e.Signal, id, err)
	}
	return nil
}

// readEvidence answers by release, in the order it was saved. It asks in
// chunks, because a statement takes a bounded number of arguments.
func readEvidence(ctx context.Context, q querier, ids []release.ID, curves bool) (map[release.ID][]release.Evidence, error) {
	out := make(map[release.ID][]release.Evidence, len(ids))
	column := "''"
	if curves {
		column = "curve_json"
	}
	for chunk := range slices.Chunk(ids, 500) {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = string(id)
		}
		if err := readEvidenceOf(ctx, q, column, args, out); err != nil {
			return nil, fmt.Errorf("read evidence: %w", err)
		}
	}
	return out, nil
}

func readEvidenceOf(ctx context.Context, q querier, column string, ids []any, out map[release.ID][]release.Evidence) error {
	rows, err := q.QueryContext(ctx, `SELECT release_id, evidence_json, `+column+` FROM evidence WHERE release_id IN (?`+
		strings.Repeat(", ?", len(ids)-1)+`) ORDER BY release_id, position`, ids...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, body, curve string
		if err := rows.Scan(&id, &body, &curve); err != nil {
			return err
		}
		var e release.Evidence
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			return fmt.Errorf("decode that of release %s: %w", id, err)
		}
		if curve != "" {
			if err := json.Unmarshal([]byte(curve), &e.Curve); err != nil {
				return fmt.Errorf("decode a curve of release %s: %w", id, err)
			}
		}
		out[release.ID(id)] = append(out[release.ID(id)], e)
	}
	return rows.Err()
}

// finite makes a number that JSON can hold: an overflowed e-value or an open
// interval becomes the largest float, NaN becomes 0.
func finite(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return 0
	case math.IsInf(x, 1):
		return math.MaxFloat64
	case math.IsInf(x, -1):
		return -math.MaxFloat64
	}
	return x
}

func finitePtr(x *float64) *float64 {
	if x == nil {
		return nil
	}
	y := finite(*x)
	return &y
}

func finiteEvidence(e release.Evidence) release.Evidence {
	e.EValue, e.HealthyEValue = finitePtr(e.EValue), finitePtr(e.HealthyEValue)
	e.BaselineValue, e.ReleaseValue = finite(e.BaselineValue), finite(e.ReleaseValue)
	if e.Effect != nil {
		e.Effect = &release.Effect{Ratio: finite(e.Effect.Ratio), Low: finite(e.Effect.Low), High: finite(e.Effect.High)}
	}
	e.Curve = slices.Clone(e.Curve)
	for i := range e.Curve {
		p := &e.Curve[i]
		p.EValue = finite(p.EValue)
		p.ReleaseValue, p.BaselineValue = finitePtr(p.ReleaseValue), finitePtr(p.BaselineValue)
	}
	return e
}

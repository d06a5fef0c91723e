package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

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
	head.Evidence, head.Wrong = nil, nil
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
	if _, err = t.on.ExecContext(t.ctx, `UPDATE releases SET verdict = ?, final = ? WHERE id = ?`,
		string(v.Kind), boolInt(v.Final), string(v.Release)); err != nil {
		return fmt.Errorf("save the verdict of release %s: %w", v.Release, err)
	}
	texts, curves, err := encodeEvidence(v.Evidence)
	if err != nil {
		return fmt.Errorf("encode the evidence of release %s: %w", v.Release, err)
	}
	if err := t.saveEvidence(v.Release, texts, curves); err != nil {
		return fmt.Errorf("save the evidence of release %s: %w", v.Release, err)
	}
	t.evidence[v.Release] = release.Digest(string(body), string(texts.evidence), string(texts.queries))
	return nil
}

// evidenceTexts is a verdict's evidence as JSON: the evidence without its
// queries and curves, and the queries of each. The digest of the audit is of
// these.
type evidenceTexts struct{ evidence, queries []byte }

func encodeEvidence(list []release.Evidence) (texts evidenceTexts, curves [][]release.Point, err error) {
	bare := make([]release.Evidence, len(list))
	queries := make([][]release.Query, len(list))
	for i, e := range list {
		e = finiteEvidence(e)
		curves = append(curves, BoundCurve(e.Curve, e.Unit, MaxCurvePoints))
		queries[i] = e.Queries
		e.Curve, e.Queries = nil, nil
		bare[i] = e
	}
	if texts.evidence, err = json.Marshal(bare); err != nil {
		return texts, nil, err
	}
	texts.queries, err = json.Marshal(queries)
	return texts, curves, err
}

// saveEvidence writes it in place of what was there. The curves are in a table
// of their own: they are large, and do not stay as long.
func (t *Tx) saveEvidence(id release.ID, texts evidenceTexts, curves [][]release.Point) error {
	_, err := t.on.ExecContext(t.ctx, `
		INSERT INTO evidence (release_id, body, queries) VALUES (?, ?, ?)
		ON CONFLICT (release_id) DO UPDATE SET body = excluded.body, queries = excluded.queries`,
		string(id), pack(texts.evidence), pack(texts.queries))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(curves, func(c []release.Point) bool { return len(c) > 0 }) {
		_, err = t.on.ExecContext(t.ctx, `DELETE FROM curves WHERE release_id = ?`, string(id))
		return err
	}
	_, err = t.on.ExecContext(t.ctx, `
		INSERT INTO curves (release_id, body) VALUES (?, ?) ON CONFLICT (release_id) DO UPDATE SET body = excluded.body`,
		string(id), packCurves(curves))
	return err
}

// readEvidence answers with all evidence of a release, in the order it was
// saved.
func readEvidence(ctx context.Context, q querier, id release.ID) ([]release.Evidence, error) {
	var body, queries, curves []byte
	err := q.QueryRowContext(ctx, `
		SELECT e.body, e.queries, c.body FROM evidence e LEFT JOIN curves c ON c.release_id = e.release_id WHERE e.release_id = ?`,
		string(id)).Scan(&body, &queries, &curves)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the evidence of release %s: %w", id, err)
	}
	out, err := decodeEvidence(body, queries, curves)
	if err != nil {
		return nil, fmt.Errorf("decode the evidence of release %s: %w", id, err)
	}
	return out, nil
}

// decodeEvidence leaves out what is nil of queries and curves.
func decodeEvidence(body, queries, curves []byte) (list []release.Evidence, err error) {
	text, err := unpack(body)
	if err != nil {
		return nil, err
	}
	if err := decode(text, &list); err != nil {
		return nil, err
	}
	if queries != nil {
		var of [][]release.Query
		if text, err = unpack(queries); err != nil {
			return nil, err
		}
		if err := decode(text, &of); err != nil {
			return nil, err
		}
		for i := range min(len(of), len(list)) {
			list[i].Queries = of[i]
		}
	}
	if curves != nil {
		of, err := unpackCurves(curves)
		if err != nil {
			return nil, err
		}
		for i := range min(len(of), len(list)) {
			list[i].Curve = of[i]
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list, nil
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

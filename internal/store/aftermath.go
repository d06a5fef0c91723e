package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Aftermath is what became of a release after its verdict.
type Aftermath struct {
	Release release.ID
	// Restored is what came of watching the version that was put back: done,
	// failed or void, "" while that is not known.
	Restored       release.ActionState
	RestoredDetail string
	RestoredAt     *time.Time
	// Closed says why the release is over: a newer one took over, the workload is
	// gone. "" while it is not.
	Closed string
	// Wrong is who said that the verdict is wrong; nil: nobody did.
	Wrong *release.Mark
	// Acknowledged is what a person did last to the incident elsewhere; nil: nothing.
	Acknowledged *release.Acknowledgement
}

const aftermathColumns = `a.release_id, a.restored_state, a.restored_detail, a.restored_at, a.closed,
	a.wrong_at, a.wrong_by, a.wrong_why, a.ack_what, a.ack_who, a.ack_where, a.ack_at`

// Aftermath answers with what became of a release; empty where nothing did.
func (t *Tx) Aftermath(id release.ID) (Aftermath, error) { return readAftermath(t.ctx, t.on, id) }

// Aftermath is Tx.Aftermath outside of a transaction.
func (s *Store) Aftermath(ctx context.Context, id release.ID) (_ Aftermath, err error) {
	defer s.inWords(&err)
	return readAftermath(ctx, s.on, id)
}

func readAftermath(ctx context.Context, q querier, id release.ID) (Aftermath, error) {
	a, err := scanAftermath(q.QueryRowContext(ctx, `SELECT `+aftermathColumns+` FROM aftermaths a WHERE a.release_id = ?`, string(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return Aftermath{Release: id}, nil
	}
	if err != nil {
		return Aftermath{Release: id}, fmt.Errorf("read what became of release %s: %w", id, err)
	}
	return a, nil
}

func scanAftermath(row scanner) (a Aftermath, err error) {
	var id, state string
	var restored sql.NullInt64
	var wrong markColumns
	var ack ackColumns
	if err := row.Scan(&id, &state, &a.RestoredDetail, &restored, &a.Closed,
		&wrong.at, &wrong.by, &wrong.why, &ack.what, &ack.who, &ack.where, &ack.at); err != nil {
		return Aftermath{}, err
	}
	a.Release, a.Restored, a.RestoredAt = release.ID(id), release.ActionState(state), fromNull(restored)
	a.Wrong, a.Acknowledged = wrong.mark(), ack.acknowledgement()
	return a, nil
}

// markColumns are a release.Mark as the database has it, without at where there
// is none.
type markColumns struct {
	at      sql.NullInt64
	by, why string
}

func (c markColumns) mark() *release.Mark {
	if !c.at.Valid {
		return nil
	}
	return &release.Mark{At: fromMillis(c.at.Int64), By: c.by, Why: c.why}
}

func columnsOfMark(m *release.Mark) (c markColumns) {
	if m != nil {
		c = markColumns{nullMillis(&m.At), m.By, m.Why}
	}
	return c
}

// ackColumns are a release.Acknowledgement as the database has it, without at
// where there is none.
type ackColumns struct {
	at               sql.NullInt64
	what, who, where string
}

func (c ackColumns) acknowledgement() *release.Acknowledgement {
	if !c.at.Valid {
		return nil
	}
	return &release.Acknowledgement{What: release.AckKind(c.what), Who: c.who, Where: c.where, At: fromMillis(c.at.Int64)}
}

func columnsOfAck(a *release.Acknowledgement) (c ackColumns) {
	if a != nil {
		c = ackColumns{nullMillis(&a.At), string(a.What), a.Who, a.Where}
	}
	return c
}

// SaveAftermath writes what became of a release.
func (t *Tx) SaveAftermath(a Aftermath) error {
	wrong, ack := columnsOfMark(a.Wrong), columnsOfAck(a.Acknowledged)
	_, err := t.on.ExecContext(t.ctx, `
		INSERT INTO aftermaths (release_id, restored_state, restored_detail, restored_at, closed,
			wrong_at, wrong_by, wrong_why, ack_what, ack_who, ack_where, ack_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (release_id) DO UPDATE SET restored_state = excluded.restored_state, restored_detail = excluded.restored_detail,
			restored_at = excluded.restored_at, closed = excluded.closed,
			wrong_at = excluded.wrong_at, wrong_by = excluded.wrong_by, wrong_why = excluded.wrong_why,
			ack_what = excluded.ack_what, ack_who = excluded.ack_who, ack_where = excluded.ack_where, ack_at = excluded.ack_at`,
		string(a.Release), string(a.Restored), a.RestoredDetail, nullMillis(a.RestoredAt), a.Closed,
		wrong.at, wrong.by, wrong.why, ack.what, ack.who, ack.where, ack.at)
	if err != nil {
		return fmt.Errorf("save what became of release %s: %w", a.Release, err)
	}
	return nil
}

// aftermaths are those of an incident, by release.
func (s *Store) aftermaths(ctx context.Context, incident string) (map[release.ID]Aftermath, error) {
	rows, err := s.on.QueryContext(ctx, `SELECT `+aftermathColumns+`
		FROM aftermaths a JOIN regressions g ON g.release_id = a.release_id WHERE g.incident = ?`, incident)
	if err != nil {
		return nil, fmt.Errorf("read what became of incident %s: %w", incident, err)
	}
	defer rows.Close()
	out := make(map[release.ID]Aftermath)
	for rows.Next() {
		a, err := scanAftermath(rows)
		if err != nil {
			return nil, fmt.Errorf("read what became of incident %s: %w", incident, err)
		}
		out[a.Release] = a
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read what became of incident %s: %w", incident, err)
	}
	return out, nil
}

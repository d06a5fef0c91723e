package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Incident is many regressions told as one.
type Incident struct {
	ID      string
	Cluster string
	Release release.ID // the one that made it an incident
	Why     string
	// State is that of its alert.
	State    AlertState
	OpenedAt time.Time
	PostedAt *time.Time // when Alertmanager first took it
	EndedAt  *time.Time
	// Acknowledged is what a person did to it last elsewhere; nil: nothing.
	Acknowledged *release.Acknowledgement
}

// SaveIncident inserts an incident or writes it anew.
func (t *Tx) SaveIncident(i Incident) error {
	ack := columnsOfAck(i.Acknowledged)
	_, err := t.on.ExecContext(t.ctx, `
		INSERT INTO incidents (id, cluster, release_id, why, state, opened_at, posted_at, ended_at, ack_what, ack_who, ack_where, ack_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, posted_at = excluded.posted_at, ended_at = excluded.ended_at, why = excluded.why,
			ack_what = excluded.ack_what, ack_who = excluded.ack_who, ack_where = excluded.ack_where, ack_at = excluded.ack_at`,
		i.ID, i.Cluster, string(i.Release), i.Why, string(i.State), millis(i.OpenedAt), nullMillis(i.PostedAt), nullMillis(i.EndedAt),
		ack.what, ack.who, ack.where, ack.at)
	if err != nil {
		return fmt.Errorf("save incident %s: %w", i.ID, err)
	}
	return nil
}

// OpenIncident is the incident of a cluster that has not ended.
func (t *Tx) OpenIncident(cluster string) (i Incident, found bool, err error) {
	return firstIncident(t.ctx, t.on, `WHERE cluster = ? AND state = 'firing' ORDER BY opened_at DESC, id LIMIT 1`, cluster)
}

// Incident answers with an incident by its ID.
func (t *Tx) Incident(id string) (i Incident, found bool, err error) {
	return firstIncident(t.ctx, t.on, `WHERE id = ?`, id)
}

// Incident is Tx.Incident outside of a transaction.
func (s *Store) Incident(ctx context.Context, id string) (i Incident, found bool, err error) {
	defer s.inWords(&err)
	return firstIncident(ctx, s.on, `WHERE id = ?`, id)
}

func firstIncident(ctx context.Context, q querier, where string, args ...any) (i Incident, found bool, err error) {
	is, err := readIncidents(ctx, q, where, args...)
	if err != nil || len(is) == 0 {
		return Incident{}, false, err
	}
	return is[0], true, nil
}

// FiringIncidents answers with those whose alert has not been resolved yet.
func (s *Store) FiringIncidents(ctx context.Context) (_ []Incident, err error) {
	defer s.inWords(&err)
	return readIncidents(ctx, s.on, `WHERE state IN ('firing', 'resolving') AND (? = '' OR cluster = ?) ORDER BY opened_at, id`,
		s.options.cluster, s.options.cluster)
}

func readIncidents(ctx context.Context, q querier, where string, args ...any) ([]Incident, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, cluster, release_id, why, state, opened_at, posted_at, ended_at, ack_what, ack_who, ack_where, ack_at FROM incidents `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("list incidents: %w", err)
	}
	defer rows.Close()
	var out []Incident
	for rows.Next() {
		var i Incident
		var id, state string
		var opened int64
		var posted, ended sql.NullInt64
		var ack ackColumns
		if err := rows.Scan(&i.ID, &i.Cluster, &id, &i.Why, &state, &opened, &posted, &ended, &ack.what, &ack.who, &ack.where, &ack.at); err != nil {
			return nil, fmt.Errorf("list incidents: %w", err)
		}
		i.Release, i.State, i.OpenedAt = release.ID(id), AlertState(state), fromMillis(opened)
		i.PostedAt, i.EndedAt, i.Acknowledged = fromNull(posted), fromNull(ended), ack.acknowledgement()
		out = append(out, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list incidents: %w", err)
	}
	return out, nil
}

// Member is a release of an incident with all that there is to say of it.
type Member struct {
	Record
	Actions   []release.Action
	Aftermath Aftermath
}

// Members answers with the releases of an incident, the first to regress first,
// evidence without its curves.
func (s *Store) Members(ctx context.Context, incident string) (_ []Member, err error) {
	defer s.inWords(&err)
	records, err := s.records(ctx, selectCounted+`JOIN regressions g ON g.release_id = r.id WHERE g.incident = ? ORDER BY g.at, r.id`, incident)
	if err != nil {
		return nil, err
	}
	actions, err := listActions(ctx, s.on, `
		WHERE release_id IN (SELECT release_id FROM regressions WHERE incident = ?) ORDER BY created_at, action_key`, incident)
	if err != nil {
		return nil, fmt.Errorf("list the actions of incident %s: %w", incident, err)
	}
	of := make(map[release.ID][]release.Action)
	for _, a := range actions {
		of[a.Release] = append(of[a.Release], a)
	}
	after, err := s.aftermaths(ctx, incident)
	if err != nil {
		return nil, err
	}
	out := make([]Member, len(records))
	for i, rec := range records {
		out[i] = Member{Record: rec, Actions: of[rec.Release.ID], Aftermath: after[rec.Release.ID]}
	}
	return out, nil
}

// Unsettled counts the releases of an incident that neither came back nor are
// over.
func (t *Tx) Unsettled(incident string) (n int, err error) {
	err = t.on.QueryRowContext(t.ctx, `
		SELECT count(*) FROM regressions g LEFT JOIN aftermaths a ON a.release_id = g.release_id
		WHERE g.incident = ? AND coalesce(a.closed, '') = '' AND coalesce(a.restored_state, '') <> 'done' AND a.wrong_at IS NULL`, incident).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count what is left of incident %s: %w", incident, err)
	}
	return n, nil
}

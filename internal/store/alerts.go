package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// AlertState is where the alert of a release stands.
type AlertState string

// The states of an alert. A resolving one has ended, but Alertmanager has not
// taken its end yet.
const (
	AlertFiring    AlertState = "firing"
	AlertResolving AlertState = "resolving"
	AlertResolved  AlertState = "resolved"
)

// Alert is the one alert of a release.
type Alert struct {
	Release   release.ID
	Incident  string // set instead of Release for that of many releases
	State     AlertState
	Alert     release.Alert // without EndsAt, which is decided when it is posted
	PostedAt  *time.Time    // when Alertmanager first took it
	ResolveAt *time.Time    // when it ended
}

// InsertAlert adds the alert of a release unless it has one.
func (t *Tx) InsertAlert(a Alert) (inserted bool, err error) {
	labels, annotations, err := encodeAlert(a)
	if err != nil {
		return false, err
	}
	res, err := t.on.ExecContext(t.ctx, `
		INSERT INTO alerts (release_id, state, labels_json, annotations_json, generator_url, starts_at, posted_at, resolve_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (release_id) DO NOTHING`,
		string(a.Release), string(a.State), labels, annotations, a.Alert.GeneratorURL, millis(a.Alert.StartsAt),
		nullMillis(a.PostedAt), nullMillis(a.ResolveAt))
	if err != nil {
		return false, fmt.Errorf("insert the alert of release %s: %w", a.Release, err)
	}
	return one(res, "insert the alert of release "+string(a.Release))
}

// UpdateAlert writes state, annotations, PostedAt and ResolveAt. Labels and
// StartsAt are the alert's identity and stay.
func (t *Tx) UpdateAlert(a Alert) error {
	_, annotations, err := encodeAlert(a)
	if err != nil {
		return err
	}
	_, err = t.on.ExecContext(t.ctx, `
		UPDATE alerts SET state = ?, annotations_json = ?, posted_at = ?, resolve_at = ? WHERE release_id = ?`,
		string(a.State), annotations, nullMillis(a.PostedAt), nullMillis(a.ResolveAt), string(a.Release))
	if err != nil {
		return fmt.Errorf("update the alert of release %s: %w", a.Release, err)
	}
	return nil
}

// Alert answers with the alert of a release; found is false when it has none.
func (t *Tx) Alert(id release.ID) (a Alert, found bool, err error) {
	as, err := readAlerts(t.ctx, t.on, `WHERE release_id = ?`, string(id))
	if err != nil || len(as) == 0 {
		return Alert{}, false, err
	}
	return as[0], true, nil
}

// FiringAlerts answers with the alerts that Alertmanager must hear of again:
// those of the cluster that fire and those whose end it has not taken yet. What is
// told together with others is none of its own.
func (s *Store) FiringAlerts(ctx context.Context) (_ []Alert, err error) {
	defer s.inWords(&err)
	where, args := "", []any(nil)
	if c := s.options.cluster; c != "" {
		where, args = ` AND EXISTS (SELECT 1 FROM releases r WHERE r.id = alerts.release_id AND r.cluster = ?)`, []any{c}
	}
	return readAlerts(ctx, s.on, `
		WHERE state IN ('firing', 'resolving') AND (posted_at IS NOT NULL OR NOT EXISTS
			(SELECT 1 FROM regressions g WHERE g.release_id = alerts.release_id AND g.incident <> ''))`+where+`
		ORDER BY starts_at, release_id`, args...)
}

func readAlerts(ctx context.Context, q querier, where string, args ...any) ([]Alert, error) {
	rows, err := q.QueryContext(ctx, `
		SELECT release_id, state, labels_json, annotations_json, generator_url, starts_at, posted_at, resolve_at
		FROM alerts `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	defer rows.Close()
	var out []Alert
	for rows.Next() {
		a, err := scanAlert(rows)
		if err != nil {
			return nil, fmt.Errorf("list alerts: %w", err)
		}
		out = append(out, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	return out, nil
}

func scanAlert(row scanner) (Alert, error) {
	var a Alert
	var id, state, labels, annotations string
	var starts int64
	var posted, resolve sql.NullInt64
	if err := row.Scan(&id, &state, &labels, &annotations, &a.Alert.GeneratorURL, &starts, &posted, &resolve); err != nil {
		return Alert{}, err
	}
	a.Release, a.State, a.Alert.StartsAt = release.ID(id), AlertState(state), fromMillis(starts)
	a.PostedAt, a.ResolveAt = fromNull(posted), fromNull(resolve)
	if err := decode([]byte(labels), &a.Alert.Labels); err != nil {
		return Alert{}, fmt.Errorf("decode the labels of release %s: %w", id, err)
	}
	if err := decode([]byte(annotations), &a.Alert.Annotations); err != nil {
		return Alert{}, fmt.Errorf("decode the annotations of release %s: %w", id, err)
	}
	return a, nil
}

func encodeAlert(a Alert) (labels, annotations string, err error) {
	l, err := json.Marshal(a.Alert.Labels)
	if err != nil {
		return "", "", fmt.Errorf("encode the labels of release %s: %w", a.Release, err)
	}
	n, err := json.Marshal(a.Alert.Annotations)
	if err != nil {
		return "", "", fmt.Errorf("encode the annotations of release %s: %w", a.Release, err)
	}
	return string(l), string(n), nil
}

func nullMillis(t *time.Time) sql.NullInt64 {
	if t == nil {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: millis(*t), Valid: true}
}

func fromNull(n sql.NullInt64) *time.Time {
	if !n.Valid {
		return nil
	}
	t := fromMillis(n.Int64)
	return &t
}

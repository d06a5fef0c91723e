package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Delivery is what one receiver was told of a release and has yet to be told.
type Delivery struct {
	Key     string // of its action
	Release release.ID
	Sink    string
	// Sequence counts what there was to tell, from 1; ToldSequence is the last of
	// it that was told, as the state Told. 0 and "" before.
	Sequence, ToldSequence int
	Told                   release.MessageState
	// Opening is the newest message of an open state while none was told: it goes
	// before one that ends it. nil for none.
	Opening *release.Message
	// Ref is what the receiver wants remembered, to find what it wrote.
	Ref []byte
}

// Behind reports whether there is something to tell.
func (d Delivery) Behind() bool { return d.ToldSequence < d.Sequence }

// SaveDelivery inserts a delivery, whose action must be there, or writes it anew.
func (t *Tx) SaveDelivery(d Delivery) error {
	opening := ""
	if d.Opening != nil {
		body, err := json.Marshal(d.Opening)
		if err != nil {
			return fmt.Errorf("encode the message of %s: %w", d.Key, err)
		}
		opening = string(body)
	}
	_, err := t.on.ExecContext(t.ctx, `
		INSERT INTO deliveries (action_key, release_id, sink, sequence, opening_json, told, told_seq, ref) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (action_key) DO UPDATE SET sequence = excluded.sequence, opening_json = excluded.opening_json,
			told = excluded.told, told_seq = excluded.told_seq, ref = excluded.ref`,
		d.Key, string(d.Release), d.Sink, d.Sequence, opening, string(d.Told), d.ToldSequence, base64.StdEncoding.EncodeToString(d.Ref))
	if err != nil {
		return fmt.Errorf("save the delivery %s: %w", d.Key, err)
	}
	return nil
}

const selectDeliveries = `SELECT action_key, release_id, sink, sequence, opening_json, told, told_seq, ref FROM deliveries `

// Delivery answers with the delivery of an action.
func (s *Store) Delivery(ctx context.Context, key string) (d Delivery, found bool, err error) {
	return readDelivery(ctx, s.on, key)
}

// Delivery is Store.Delivery inside the transaction.
func (t *Tx) Delivery(key string) (d Delivery, found bool, err error) {
	return readDelivery(t.ctx, t.on, key)
}

func readDelivery(ctx context.Context, q querier, key string) (d Delivery, found bool, err error) {
	d, err = scanDelivery(q.QueryRowContext(ctx, selectDeliveries+`WHERE action_key = ?`, key))
	if errors.Is(err, sql.ErrNoRows) {
		return Delivery{}, false, nil
	}
	if err != nil {
		return Delivery{}, false, fmt.Errorf("read the delivery %s: %w", key, err)
	}
	return d, true, nil
}

// Deliveries answers with those of a release, in order of their sinks.
func (t *Tx) Deliveries(id release.ID) ([]Delivery, error) {
	rows, err := t.on.QueryContext(t.ctx, selectDeliveries+`WHERE release_id = ? ORDER BY sink`, string(id))
	if err != nil {
		return nil, fmt.Errorf("list the deliveries of release %s: %w", id, err)
	}
	defer rows.Close()
	var out []Delivery
	for rows.Next() {
		d, err := scanDelivery(rows)
		if err != nil {
			return nil, fmt.Errorf("list the deliveries of release %s: %w", id, err)
		}
		out = append(out, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the deliveries of release %s: %w", id, err)
	}
	return out, nil
}

func scanDelivery(row scanner) (d Delivery, err error) {
	var id, opening, told, ref string
	if err := row.Scan(&d.Key, &id, &d.Sink, &d.Sequence, &opening, &told, &d.ToldSequence, &ref); err != nil {
		return Delivery{}, err
	}
	d.Release, d.Told = release.ID(id), release.MessageState(told)
	if opening != "" {
		d.Opening = new(release.Message)
		if err := json.Unmarshal([]byte(opening), d.Opening); err != nil {
			return Delivery{}, fmt.Errorf("decode the message of %s: %w", d.Key, err)
		}
	}
	if ref != "" {
		if d.Ref, err = base64.StdEncoding.DecodeString(ref); err != nil {
			return Delivery{}, fmt.Errorf("decode what the receiver of %s remembers: %w", d.Key, err)
		}
	}
	return d, nil
}

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
}

// Aftermath answers with what became of a release; empty where nothing did.
func (t *Tx) Aftermath(id release.ID) (Aftermath, error) { return readAftermath(t.ctx, t.on, id) }

// Aftermath is Tx.Aftermath outside of a transaction.
func (s *Store) Aftermath(ctx context.Context, id release.ID) (Aftermath, error) {
	return readAftermath(ctx, s.on, id)
}

func readAftermath(ctx context.Context, q querier, id release.ID) (Aftermath, error) {
	a := Aftermath{Release: id}
	var state string
	var at sql.NullInt64
	err := q.QueryRowContext(ctx, `SELECT restored_state, restored_detail, restored_at, closed FROM aftermaths WHERE release_id = ?`, string(id)).
		Scan(&state, &a.RestoredDetail, &at, &a.Closed)
	if errors.Is(err, sql.ErrNoRows) {
		return a, nil
	}
	if err != nil {
		return a, fmt.Errorf("read what became of release %s: %w", id, err)
	}
	a.Restored, a.RestoredAt = release.ActionState(state), fromNull(at)
	return a, nil
}

// SaveAftermath writes what became of a release.
func (t *Tx) SaveAftermath(a Aftermath) error {
	_, err := t.on.ExecContext(t.ctx, `
		INSERT INTO aftermaths (release_id, restored_state, restored_detail, restored_at, closed) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (release_id) DO UPDATE SET restored_state = excluded.restored_state, restored_detail = excluded.restored_detail,
			restored_at = excluded.restored_at, closed = excluded.closed`,
		string(a.Release), string(a.Restored), a.RestoredDetail, nullMillis(a.RestoredAt), a.Closed)
	if err != nil {
		return fmt.Errorf("save what became of release %s: %w", a.Release, err)
	}
	return nil
}

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
	// SnoozedUntil is until when the receiver is told nothing but the end; nil: it
	// is told all.
	SnoozedUntil *time.Time
}

// Snoozed reports whether a person wants the receiver to be told nothing.
func (d Delivery) Snoozed(now time.Time) bool {
	return d.SnoozedUntil != nil && d.SnoozedUntil.After(now)
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
		INSERT INTO deliveries (action_key, release_id, sink, sequence, opening_json, told, told_seq, ref, snoozed_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (action_key) DO UPDATE SET sequence = excluded.sequence, opening_json = excluded.opening_json,
			told = excluded.told, told_seq = excluded.told_seq, ref = excluded.ref, snoozed_until = excluded.snoozed_until`,
		d.Key, string(d.Release), d.Sink, d.Sequence, opening, string(d.Told), d.ToldSequence, base64.StdEncoding.EncodeToString(d.Ref),
		nullMillis(d.SnoozedUntil))
	if err != nil {
		return fmt.Errorf("save the delivery %s: %w", d.Key, err)
	}
	return nil
}

const selectDeliveries = `SELECT action_key, release_id, sink, sequence, opening_json, told, told_seq, ref, snoozed_until FROM deliveries `

// Delivery answers with the delivery of an action.
func (s *Store) Delivery(ctx context.Context, key string) (d Delivery, found bool, err error) {
	defer s.inWords(&err)
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
	var snoozed sql.NullInt64
	if err := row.Scan(&d.Key, &id, &d.Sink, &d.Sequence, &opening, &told, &d.ToldSequence, &ref, &snoozed); err != nil {
		return Delivery{}, err
	}
	d.SnoozedUntil = fromNull(snoozed)
	d.Release, d.Told = release.ID(id), release.MessageState(told)
	if opening != "" {
		d.Opening = new(release.Message)
		if err := decode([]byte(opening), d.Opening); err != nil {
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

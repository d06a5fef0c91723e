package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Group is what one receiver is told of together: releases of a cluster that have
// a key in common.
type Group struct {
	ID           string
	Cluster, Key string
	Sink         string
	Release      release.ID // that opened it; the action that tells of the group is its
	// Wait is how long its first message waits for others, Interval what is at least
	// between two.
	Wait, Interval time.Duration
	OpenedAt       time.Time
	EndedAt        *time.Time // nil: it is open
}

// Membership is that a release is told of in a group.
type Membership struct {
	Group
	Told release.MessageState // what the receiver was told of the release last; "" before
}

const selectGroups = `
	SELECT g.id, g.cluster, g.group_key, g.sink, g.release_id, g.wait_ms, g.interval_ms, g.opened_at, g.ended_at FROM message_groups g `

// SaveGroup inserts a group or writes it anew.
func (t *Tx) SaveGroup(g Group) error {
	_, err := t.on.ExecContext(t.ctx, `
		INSERT INTO message_groups (id, cluster, group_key, sink, release_id, wait_ms, interval_ms, opened_at, ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET wait_ms = excluded.wait_ms, interval_ms = excluded.interval_ms, ended_at = excluded.ended_at`,
		g.ID, g.Cluster, g.Key, g.Sink, string(g.Release), g.Wait.Milliseconds(), g.Interval.Milliseconds(), millis(g.OpenedAt), nullMillis(g.EndedAt))
	if err != nil {
		return fmt.Errorf("save group %s: %w", g.ID, err)
	}
	return nil
}

// OpenGroup is the group of a key and a receiver that has not ended.
func (t *Tx) OpenGroup(cluster, key, sink string) (g Group, found bool, err error) {
	return readGroup(t.ctx, t.on, `WHERE g.cluster = ? AND g.group_key = ? AND g.sink = ? AND g.ended_at IS NULL`, cluster, key, sink)
}

// Group answers with a group by its ID.
func (t *Tx) Group(id string) (g Group, found bool, err error) {
	return readGroup(t.ctx, t.on, `WHERE g.id = ?`, id)
}

// Group is Tx.Group outside of a transaction.
func (s *Store) Group(ctx context.Context, id string) (g Group, found bool, err error) {
	defer s.inWords(&err)
	return readGroup(ctx, s.on, `WHERE g.id = ?`, id)
}

func readGroup(ctx context.Context, q querier, where string, args ...any) (Group, bool, error) {
	g, err := scanGroup(q.QueryRowContext(ctx, selectGroups+where, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return Group{}, false, nil
	}
	if err != nil {
		return Group{}, false, fmt.Errorf("read a group: %w", err)
	}
	return g, true, nil
}

// scanGroup reads a group, and what comes after it into more.
func scanGroup(row scanner, more ...any) (g Group, err error) {
	var id string
	var wait, interval, opened int64
	var ended sql.NullInt64
	if err := row.Scan(append([]any{&g.ID, &g.Cluster, &g.Key, &g.Sink, &id, &wait, &interval, &opened, &ended}, more...)...); err != nil {
		return Group{}, err
	}
	g.Release, g.OpenedAt, g.EndedAt = release.ID(id), fromMillis(opened), fromNull(ended)
	g.Wait, g.Interval = time.Duration(wait)*time.Millisecond, time.Duration(interval)*time.Millisecond
	return g, nil
}

// Memberships are the groups a release is told of in, by their receivers.
func (t *Tx) Memberships(id release.ID) (map[string]Membership, error) {
	const query = `
		SELECT g.id, g.cluster, g.group_key, g.sink, g.release_id, g.wait_ms, g.interval_ms, g.opened_at, g.ended_at, m.told
		FROM message_groups g JOIN message_members m ON m.group_id = g.id WHERE m.release_id = ?`
	rows, err := t.on.QueryContext(t.ctx, query, string(id))
	if err != nil {
		return nil, fmt.Errorf("list the groups of release %s: %w", id, err)
	}
	defer rows.Close()
	out := make(map[string]Membership)
	for rows.Next() {
		var told string
		g, err := scanGroup(rows, &told)
		if err != nil {
			return nil, fmt.Errorf("list the groups of release %s: %w", id, err)
		}
		out[g.Sink] = Membership{Group: g, Told: release.MessageState(told)}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the groups of release %s: %w", id, err)
	}
	return out, nil
}

// Join puts a release into a group, and out of the receiver's group it was in
// before. opening is what it says while the receiver was told of nothing open in
// the group; nil keeps what it said before.
func (t *Tx) Join(g Group, id release.ID, opening *release.Message, at time.Time) error {
	said := ""
	if opening != nil {
		body, err := json.Marshal(opening)
		if err != nil {
			return fmt.Errorf("encode the message of release %s: %w", id, err)
		}
		said = string(body)
	}
	_, err := t.on.ExecContext(t.ctx, `
		INSERT INTO message_members (release_id, sink, group_id, joined_at, told, opening_json) VALUES (?, ?, ?, ?, '', ?)
		ON CONFLICT (release_id, sink) DO UPDATE SET
			joined_at = CASE WHEN message_members.group_id = excluded.group_id THEN message_members.joined_at ELSE excluded.joined_at END,
			opening_json = CASE WHEN excluded.opening_json = '' AND message_members.group_id = excluded.group_id
				THEN message_members.opening_json ELSE excluded.opening_json END,
			group_id = excluded.group_id`,
		string(id), g.Sink, g.ID, millis(at), said)
	if err != nil {
		return fmt.Errorf("put release %s into group %s: %w", id, g.ID, err)
	}
	return nil
}

// ToldInGroup notes what a receiver was told of the members of a group. Once it
// knows of something open, no opening is left to be told.
func (t *Tx) ToldInGroup(g Group, states map[release.ID]release.MessageState, open bool) error {
	for id, state := range states {
		_, err := t.on.ExecContext(t.ctx, `UPDATE message_members SET told = ? WHERE release_id = ? AND sink = ? AND group_id = ? AND told <> ?`,
			string(state), string(id), g.Sink, g.ID, string(state))
		if err != nil {
			return fmt.Errorf("note what was told of group %s: %w", g.ID, err)
		}
	}
	if !open {
		return nil
	}
	if _, err := t.on.ExecContext(t.ctx, `UPDATE message_members SET opening_json = '' WHERE group_id = ? AND opening_json <> ''`, g.ID); err != nil {
		return fmt.Errorf("note that group %s is told of: %w", g.ID, err)
	}
	return nil
}

// GroupMember is a release of a group.
type GroupMember struct {
	Member
	Told    release.MessageState
	Opening *release.Message
	// Alone is whether the receiver is told of it by itself as well.
	Alone bool
}

// GroupMembers answers with the releases of a group, the first to come first,
// evidence without its curves.
func (s *Store) GroupMembers(ctx context.Context, g Group) (_ []GroupMember, err error) {
	defer s.inWords(&err)
	out, err := s.groupMembers(ctx, g)
	if err != nil {
		return nil, fmt.Errorf("list the members of group %s: %w", g.ID, err)
	}
	records, err := s.records(ctx, selectCounted+`JOIN message_members m ON m.release_id = r.id WHERE m.group_id = ?`, g.ID)
	if err != nil {
		return nil, err
	}
	of := make(map[release.ID]Record, len(records))
	for _, rec := range records {
		of[rec.Release.ID] = rec
	}
	for i := range out {
		id := out[i].Release.ID
		out[i].Record = of[id]
		if out[i].Actions, err = s.Actions(ctx, id); err != nil {
			return nil, err
		}
		if out[i].Aftermath, err = s.Aftermath(ctx, id); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Store) groupMembers(ctx context.Context, g Group) (out []GroupMember, err error) {
	rows, err := s.on.QueryContext(ctx, `
		SELECT m.release_id, m.told, m.opening_json,
			CASE WHEN EXISTS (SELECT 1 FROM deliveries d WHERE d.release_id = m.release_id AND d.sink = m.sink) THEN 1 ELSE 0 END
		FROM message_members m WHERE m.group_id = ? ORDER BY m.joined_at, m.release_id`, g.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m GroupMember
		var id, told, opening string
		var alone int
		if err := rows.Scan(&id, &told, &opening, &alone); err != nil {
			return nil, err
		}
		m.Release.ID, m.Told, m.Alone = release.ID(id), release.MessageState(told), alone != 0
		if opening != "" {
			m.Opening = new(release.Message)
			if err := decode([]byte(opening), m.Opening); err != nil {
				return nil, fmt.Errorf("decode the message of release %s: %w", id, err)
			}
		}
		out = append(out, m)
	}
	return out, rows.Err()
}

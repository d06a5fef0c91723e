package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// InsertAction adds the action unless its key exists; inserted says which.
func (t *Tx) InsertAction(a release.Action) (inserted bool, err error) {
	res, err := t.on.ExecContext(t.ctx, `
		INSERT INTO actions (action_key, release_id, kind, sink, state, detail, url, waits_for, asked_by, expires_at, attempts, plan_json,
			created_at, updated_at, pending_since)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?) ON CONFLICT (action_key) DO NOTHING`,
		a.Key, string(a.Release), string(a.Kind), a.Sink, string(a.State), a.Detail, a.URL, string(a.WaitsFor), a.AskedBy, nullMillis(a.ExpiresAt),
		a.Attempts, millis(a.CreatedAt), millis(a.UpdatedAt), millis(a.PendingSince))
	if err != nil {
		return false, fmt.Errorf("insert action %s: %w", a.Key, err)
	}
	return one(res, "insert action "+a.Key)
}

// UpdateAction writes state, detail, URL, attempts, who asked and UpdatedAt of an
// action that is pending or waiting. A settled action never changes: changed is false
// then.
func (t *Tx) UpdateAction(a release.Action) (changed bool, err error) {
	res, err := t.on.ExecContext(t.ctx, `
		UPDATE actions SET state = ?, detail = ?, url = ?, waits_for = ?, asked_by = ?, expires_at = ?, attempts = ?, updated_at = ?, pending_since = ?
		WHERE action_key = ? AND state IN ('pending', 'waiting')`,
		string(a.State), a.Detail, a.URL, string(a.WaitsFor), a.AskedBy, nullMillis(a.ExpiresAt), a.Attempts, millis(a.UpdatedAt), millis(a.PendingSince), a.Key)
	if err != nil {
		return false, fmt.Errorf("update action %s: %w", a.Key, err)
	}
	return one(res, "update action "+a.Key)
}

// ReopenAction makes a settled action pending anew at a moment: a message with
// something new to tell, or a dead letter that a person sends again. It answers
// whether it was settled.
func (t *Tx) ReopenAction(key, detail string, at time.Time) (changed bool, err error) {
	res, err := t.on.ExecContext(t.ctx, `
		UPDATE actions SET state = 'pending', detail = ?, attempts = 0, updated_at = ?, pending_since = ?
		WHERE action_key = ? AND state NOT IN ('pending', 'waiting')`, detail, millis(at), millis(at), key)
	if err != nil {
		return false, fmt.Errorf("reopen action %s: %w", key, err)
	}
	return one(res, "reopen action "+key)
}

// SavePlan keeps what an action is about to do, before it does it, so that a
// retry after a crash does the same and not something new.
func (t *Tx) SavePlan(key string, plan any) error {
	body, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("encode the plan of action %s: %w", key, err)
	}
	res, err := t.on.ExecContext(t.ctx, `UPDATE actions SET plan_json = ? WHERE action_key = ?`, string(body), key)
	if err != nil {
		return fmt.Errorf("save the plan of action %s: %w", key, err)
	}
	if ok, err := one(res, "save the plan of action "+key); err != nil || ok {
		return err
	}
	return release.E(release.CodeNotFound, "action "+key+" is not known", nil)
}

// ClearPlan forgets what an action was about to do, where nothing of it was done.
func (t *Tx) ClearPlan(key string) error {
	if _, err := t.on.ExecContext(t.ctx, `UPDATE actions SET plan_json = '' WHERE action_key = ?`, key); err != nil {
		return fmt.Errorf("clear the plan of action %s: %w", key, err)
	}
	return nil
}

// Plan reads what SavePlan kept into plan; found is false when there is none.
func (s *Store) Plan(ctx context.Context, key string, plan any) (found bool, err error) {
	defer s.inWords(&err)
	var body string
	err = s.on.QueryRowContext(ctx, `SELECT plan_json FROM actions WHERE action_key = ?`, key).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && body == "") {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the plan of action %s: %w", key, err)
	}
	if err := decode([]byte(body), plan); err != nil {
		return false, fmt.Errorf("decode the plan of action %s: %w", key, err)
	}
	return true, nil
}

const selectActions = `
	SELECT action_key, release_id, kind, sink, state, detail, url, waits_for, asked_by, expires_at, attempts, created_at, updated_at, pending_since
	FROM actions `

// Actions answers with the actions of a release in the order they were made.
func (s *Store) Actions(ctx context.Context, id release.ID) (_ []release.Action, err error) {
	defer s.inWords(&err)
	return readActions(ctx, s.on, id)
}

// Actions is Store.Actions inside the transaction.
func (t *Tx) Actions(id release.ID) ([]release.Action, error) { return readActions(t.ctx, t.on, id) }

func readActions(ctx context.Context, q querier, id release.ID) ([]release.Action, error) {
	out, err := listActions(ctx, q, `WHERE release_id = ? ORDER BY created_at, action_key`, string(id))
	if err != nil {
		return nil, fmt.Errorf("list the actions of release %s: %w", id, err)
	}
	return out, nil
}

// ActionFilter selects actions; empty fields select all.
type ActionFilter struct {
	State    release.ActionState
	Kind     release.ActionKind
	Sink     string // the receiver it is for
	WaitsFor release.Wait
	Before   time.Time // those that cannot be approved any more then
	Limit    int       // 100 when 0, all when negative
}

// ListActions answers with actions of the store's cluster, changed last first.
func (s *Store) ListActions(ctx context.Context, f ActionFilter) (_ []release.Action, err error) {
	defer s.inWords(&err)
	return filterActions(ctx, s.on, s.options.cluster, f)
}

// ListActions is Store.ListActions inside the transaction.
func (t *Tx) ListActions(f ActionFilter) ([]release.Action, error) {
	return filterActions(t.ctx, t.on, t.store.options.cluster, f)
}

func filterActions(ctx context.Context, q querier, cluster string, f ActionFilter) ([]release.Action, error) {
	where, args := `WHERE (? = '' OR EXISTS (SELECT 1 FROM releases r WHERE r.id = actions.release_id AND r.cluster = ?))`, []any{cluster, cluster}
	for column, value := range map[string]string{"state": string(f.State), "kind": string(f.Kind), "sink": f.Sink, "waits_for": string(f.WaitsFor)} {
		if value != "" {
			where, args = where+` AND `+column+` = ?`, append(args, value)
		}
	}
	if !f.Before.IsZero() {
		where, args = where+` AND expires_at <= ?`, append(args, millis(f.Before))
	}
	where += ` ORDER BY updated_at DESC, action_key`
	if f.Limit >= 0 {
		where, args = where+` LIMIT ?`, append(args, cmp.Or(f.Limit, 100))
	}
	out, err := listActions(ctx, q, where, args...)
	if err != nil {
		return nil, fmt.Errorf("list actions: %w", err)
	}
	return out, nil
}

// ActionCount is how many actions of a kind are in a state.
type ActionCount struct {
	Kind  release.ActionKind
	State release.ActionState
	N     int
}

// CountActions counts the actions of the store's cluster that are not settled for
// good: pending, waiting and failed.
func (s *Store) CountActions(ctx context.Context) (_ []ActionCount, err error) {
	defer s.inWords(&err)
	rows, err := s.on.QueryContext(ctx, `
		SELECT kind, state, count(*) FROM actions
		WHERE state IN ('pending', 'waiting', 'failed')
			AND (? = '' OR EXISTS (SELECT 1 FROM releases r WHERE r.id = actions.release_id AND r.cluster = ?))
		GROUP BY kind, state`, s.options.cluster, s.options.cluster)
	if err != nil {
		return nil, fmt.Errorf("count actions: %w", err)
	}
	defer rows.Close()
	var out []ActionCount
	for rows.Next() {
		var c ActionCount
		var kind, state string
		if err := rows.Scan(&kind, &state, &c.N); err != nil {
			return nil, fmt.Errorf("count actions: %w", err)
		}
		c.Kind, c.State = release.ActionKind(kind), release.ActionState(state)
		out = append(out, c)
	}
	return out, rows.Err()
}

// DropAction settles a dead letter as void: a person has seen to it.
func (t *Tx) DropAction(key, detail string, at time.Time) (changed bool, err error) {
	res, err := t.on.ExecContext(t.ctx, `
		UPDATE actions SET state = 'void', detail = ?, waits_for = '', updated_at = ? WHERE action_key = ? AND state IN ('failed', 'waiting')`,
		detail, millis(at), key)
	if err != nil {
		return false, fmt.Errorf("drop action %s: %w", key, err)
	}
	return one(res, "drop action "+key)
}

func listActions(ctx context.Context, q querier, where string, args ...any) ([]release.Action, error) {
	rows, err := q.QueryContext(ctx, selectActions+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []release.Action
	for rows.Next() {
		a, err := scanAction(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// Action answers with one action, or CodeNotFound.
func (s *Store) Action(ctx context.Context, key string) (_ release.Action, err error) {
	defer s.inWords(&err)
	return readAction(ctx, s.on, key)
}

// Action is Store.Action inside the transaction.
func (t *Tx) Action(key string) (release.Action, error) { return readAction(t.ctx, t.on, key) }

func readAction(ctx context.Context, q querier, key string) (release.Action, error) {
	a, err := scanAction(q.QueryRowContext(ctx, selectActions+`WHERE action_key = ?`, key))
	if errors.Is(err, sql.ErrNoRows) {
		return release.Action{}, release.E(release.CodeNotFound, "action "+key+" is not known", nil)
	}
	if err != nil {
		return release.Action{}, fmt.Errorf("read action %s: %w", key, err)
	}
	return a, nil
}

func scanAction(row scanner) (release.Action, error) {
	var a release.Action
	var id, kind, state, waits string
	var created, updated, pending int64
	var expires sql.NullInt64
	if err := row.Scan(&a.Key, &id, &kind, &a.Sink, &state, &a.Detail, &a.URL, &waits, &a.AskedBy, &expires, &a.Attempts, &created, &updated, &pending); err != nil {
		return release.Action{}, err
	}
	a.WaitsFor, a.ExpiresAt, a.PendingSince = release.Wait(waits), fromNull(expires), fromMillis(pending)
	a.Release, a.Kind, a.State = release.ID(id), release.ActionKind(kind), release.ActionState(state)
	a.CreatedAt, a.UpdatedAt = fromMillis(created), fromMillis(updated)
	return a, nil
}

// one reports whether the statement touched a row.
func one(res sql.Result, what string) (bool, error) {
	n, err := res.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	return n > 0, nil
}

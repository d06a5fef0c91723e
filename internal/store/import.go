package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Import reads what Export wrote into an empty database, in one transaction:
// it is there as a whole or not at all. Before that ends, the rows are counted
// and the chains of the audit are checked. Jobs of the exporting store's own
// queue become jobs of this one's. Errors of the file are CodeInvalid, a
// database that is not empty is CodeRefused.
func (s *Store) Import(ctx context.Context, r io.Reader) (counts map[string]int, err error) {
	hold, err := s.holdAtOnce(ctx)
	if err != nil {
		return nil, err
	}
	defer hold.Release()
	err = s.Write(ctx, func(tx *Tx) error {
		if counts != nil {
			return errors.New("the database was lost on the way: begin anew")
		}
		counts = make(map[string]int)
		return (&loader{tx: tx, counts: counts, tables: make(map[string]*target)}).load(json.NewDecoder(r))
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// holdAtOnce takes the right to act, unless a Watchtower has it.
func (s *Store) holdAtOnce(ctx context.Context) (*Hold, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	hold, err := s.Hold(ctx, 0)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, release.E(release.CodeUnavailable, "a Watchtower acts for this cluster: stop it first", nil)
	}
	return hold, err
}

type loader struct {
	tx     *Tx
	counts map[string]int
	tables map[string]*target
	n      int // line
}

// target is a table that is filled.
type target struct {
	columns []string
	insert  string
}

func (l *loader) load(dec *json.Decoder) error {
	dec.UseNumber()
	if err := l.begin(dec); err != nil {
		return err
	}
	for {
		var in line
		if err := l.next(dec, &in); err != nil {
			return err
		}
		var err error
		switch {
		case in.End:
			return l.end(in.Counts)
		case in.Job != nil:
			err = l.job(in.Job)
		case in.Table != "":
			err = l.row(in.Table, in.Row)
		default:
			err = errExport(l.n, "it is neither a row nor a job")
		}
		if err != nil {
			return err
		}
	}
}

func (l *loader) next(dec *json.Decoder, in *line) error {
	l.n++
	switch err := dec.Decode(in); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errExport(l.n, "it is cut off: the last line of an export counts its rows")
	case err != nil:
		return errExport(l.n, "%v", err)
	}
	return nil
}

// begin checks that the file and the database are for each other.
func (l *loader) begin(dec *json.Decoder) error {
	var head line
	if err := l.next(dec, &head); err != nil {
		return err
	}
	s := l.tx.store
	known, err := s.Known()
	switch {
	case err != nil:
		return err
	case head.Format != dumpFormat:
		return errExport(l.n, "this is no export of `watchtower store export`")
	case head.Schema != known:
		return errExport(l.n, "its schema has version %d, this Watchtower's %d: export and import with the same version", head.Schema, known)
	}
	names, err := s.tables(l.tx.ctx, l.tx.on)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := l.open(name); err != nil {
			return err
		}
	}
	var there int
	if err := l.tx.on.QueryRowContext(l.tx.ctx, `SELECT count(*) FROM river_job`).Scan(&there); err != nil {
		return err
	}
	if there > 0 {
		return notEmpty(jobsTable, there)
	}
	return nil
}

func notEmpty(table string, rows int) error {
	return release.E(release.CodeRefused, fmt.Sprintf("the database is not empty: table %s has %d rows. Import into a new one", table, rows), nil)
}

// open learns a table's columns.
func (l *loader) open(name string) error {
	var there int
	if err := l.tx.on.QueryRowContext(l.tx.ctx, `SELECT count(*) FROM `+name).Scan(&there); err != nil {
		return err
	}
	if there > 0 {
		return notEmpty(name, there)
	}
	rows, err := l.tx.on.QueryContext(l.tx.ctx, `SELECT * FROM `+name+` WHERE 1 = 0`)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	l.tables[name] = &target{columns: columns, insert: `INSERT INTO ` + name + ` (` + strings.Join(columns, ", ") + `) VALUES (?` +
		strings.Repeat(", ?", len(columns)-1) + `)`}
	l.counts[name] = 0
	return rows.Err()
}

func (l *loader) row(name string, row map[string]any) error {
	t := l.tables[name]
	if t == nil {
		return errExport(l.n, "there is no table %q", name)
	}
	if len(row) != len(t.columns) {
		return errExport(l.n, "a row of %s has %d columns, not %d", name, len(t.columns), len(row))
	}
	args := make([]any, len(t.columns))
	for i, c := range t.columns {
		v, ok := row[c]
		if !ok {
			return errExport(l.n, "a row of %s has no column %s", name, c)
		}
		var err error
		if args[i], err = column(v); err != nil {
			return errExport(l.n, "column %s: %v", c, err)
		}
	}
	if _, err := l.tx.on.ExecContext(l.tx.ctx, t.insert, args...); err != nil {
		return fmt.Errorf("line %d of the export, a row of %s: %w", l.n, name, err)
	}
	l.counts[name]++
	return nil
}

// column is a value as the database takes it.
func column(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, nil
		}
		return v.Float64()
	case map[string]any:
		text, ok := v["base64"].(string)
		if !ok || len(v) != 1 {
			return nil, errors.New("it is neither text, a number nor bytes")
		}
		return base64.StdEncoding.DecodeString(text)
	case []any:
		return nil, errors.New("it is a list")
	}
	return v, nil
}

func (l *loader) job(j *job) error {
	queue := j.Queue
	if j.Own {
		queue = l.tx.store.Queue()
	}
	insert := `INSERT INTO river_job (queue, kind, state, priority, attempt, max_attempts, args, metadata, tags, errors,
			created_at, scheduled_at, attempted_at, finalized_at, unique_key, unique_states)
		VALUES (?, ?, ?, ?, ?, ?, jsonb(?), jsonb(?), jsonb(?), CASE WHEN ? = '' THEN NULL ELSE jsonb(?) END, ?, ?, ?, ?, ?, ?)`
	moment := func(t *time.Time) any {
		if t == nil {
			return nil
		}
		return t.UTC().Format("2006-01-02 15:04:05.000") // as River writes it in SQLite
	}
	faults := string(j.Errors)
	args := []any{
		queue, j.Kind, j.State, j.Priority, j.Attempt, j.MaxAttempts, string(j.Args), string(j.Metadata), string(j.Tags), faults, faults,
		moment(&j.CreatedAt), moment(&j.ScheduledAt), moment(j.AttemptedAt), moment(j.FinalizedAt), j.UniqueKey, j.UniqueStates,
	}
	if l.tx.store.Postgres() {
		insert = `INSERT INTO river_job (queue, kind, state, priority, attempt, max_attempts, args, metadata, tags, errors,
				created_at, scheduled_at, attempted_at, finalized_at, unique_key, unique_states)
			VALUES (?, ?, ?::text::river_job_state, ?, ?, ?, ?::text::jsonb, ?::text::jsonb, ARRAY(SELECT jsonb_array_elements_text(?::text::jsonb)),
				ARRAY(SELECT jsonb_array_elements(coalesce(nullif(?::text, ''), '[]')::jsonb)),
				?, ?, ?, ?, ?, ?::integer::bit(8))`
		args = []any{
			queue, j.Kind, j.State, j.Priority, j.Attempt, j.MaxAttempts, string(j.Args), string(j.Metadata), string(j.Tags), faults,
			j.CreatedAt, j.ScheduledAt, j.AttemptedAt, j.FinalizedAt, j.UniqueKey, j.UniqueStates,
		}
	}
	if _, err := l.tx.on.ExecContext(l.tx.ctx, insert, args...); err != nil {
		return fmt.Errorf("line %d of the export, a job: %w", l.n, err)
	}
	l.counts[jobsTable]++
	return nil
}

// end checks that everything came through, before the commit.
func (l *loader) end(want map[string]int) error {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		var there int
		if _, known := l.counts[name]; known || name == jobsTable {
			if err := l.tx.on.QueryRowContext(l.tx.ctx, `SELECT count(*) FROM `+name).Scan(&there); err != nil {
				return err
			}
		}
		if there != want[name] {
			return errExport(l.n, "%d rows of %s were exported, but %d came through", want[name], name, there)
		}
	}
	if err := l.numberOn(); err != nil {
		return err
	}
	clusters, err := texts(l.tx.ctx, l.tx.on, `SELECT cluster FROM audit_heads ORDER BY cluster`)
	if err != nil {
		return err
	}
	for _, cluster := range clusters {
		_, faults, err := verifyAudit(l.tx.ctx, l.tx.on, cluster)
		if err != nil {
			return err
		}
		if len(faults) > 0 {
			return release.E(release.CodeInvalid, fmt.Sprintf(
				"the audit of cluster %q is not what was written: row %d: %s. Nothing was imported", cluster, faults[0].ID, faults[0].Why), nil)
		}
	}
	return nil
}

// numberOn has PostgreSQL's sequences go on after the rows that brought their
// numbers with them.
func (l *loader) numberOn() error {
	if !l.tx.store.Postgres() {
		return nil
	}
	columns, err := texts(l.tx.ctx, l.tx.on, `
		SELECT table_name || ' ' || column_name FROM information_schema.columns
		WHERE table_schema = current_schema() AND is_identity = 'YES'`)
	if err != nil {
		return err
	}
	for _, c := range columns {
		table, column, _ := strings.Cut(c, " ")
		_, err := l.tx.on.ExecContext(l.tx.ctx, fmt.Sprintf(
			`SELECT setval(pg_get_serial_sequence('%[1]s', '%[2]s'), coalesce((SELECT max(%[2]s) FROM %[1]s), 0) + 1, false)`, table, column))
		if err != nil {
			return err
		}
	}
	return nil
}

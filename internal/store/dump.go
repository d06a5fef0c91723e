package store

import (
	"bufio"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// dumpFormat names what Export writes: JSON values, one a line. The first says
// what it is, then come rows and jobs, and the last one counts them.
const dumpFormat = "watchtower-store-1"

// line is one line of an export.
type line struct {
	Format string         `json:"format,omitempty"`
	Schema int64          `json:"schema,omitempty"`
	At     *time.Time     `json:"at,omitempty"`
	Table  string         `json:"table,omitempty"`
	Row    map[string]any `json:"row,omitempty"`
	Job    *job           `json:"job,omitempty"`
	End    bool           `json:"end,omitempty"`
	Counts map[string]int `json:"counts,omitempty"`
}

// job is one of River's that is not done: it waits, is to be tried again, ran
// when it was exported, or was given up.
type job struct {
	Own          bool            `json:"own,omitempty"` // of the queue of the store's cluster
	Queue        string          `json:"queue,omitempty"`
	Kind         string          `json:"kind"`
	State        string          `json:"state"`
	Priority     int             `json:"priority"`
	Attempt      int             `json:"attempt"`
	MaxAttempts  int             `json:"max_attempts"`
	Args         json.RawMessage `json:"args"`
	Metadata     json.RawMessage `json:"metadata"`
	Tags         json.RawMessage `json:"tags"`
	Errors       json.RawMessage `json:"errors,omitempty"`
	CreatedAt    time.Time       `json:"created_at"`
	ScheduledAt  time.Time       `json:"scheduled_at"`
	AttemptedAt  *time.Time      `json:"attempted_at,omitempty"`
	FinalizedAt  *time.Time      `json:"finalized_at,omitempty"`
	UniqueKey    []byte          `json:"unique_key,omitempty"`
	UniqueStates *int64          `json:"unique_states,omitempty"`
}

// jobsTable is what counts call River's jobs.
const jobsTable = "river_job"

// Export writes all there is, of every cluster, as it is at one moment. It
// answers with how many rows of each table it wrote.
func (s *Store) Export(ctx context.Context, w io.Writer) (counts map[string]int, err error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: s.snapshot()})
	if err != nil {
		return nil, askError(s.where, err)
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	on := session{on: tx, dialect: s.on.dialect}
	v, err := s.Known()
	if err != nil {
		return nil, err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	d := dumper{s: s, on: on, enc: json.NewEncoder(out), counts: make(map[string]int)}
	now := time.Now().UTC()
	if err := d.enc.Encode(line{Format: dumpFormat, Schema: v, At: &now}); err != nil {
		return nil, fmt.Errorf("write the export: %w", err)
	}
	tables, err := s.tables(ctx, on)
	if err != nil {
		return nil, err
	}
	for _, table := range tables {
		if err := d.table(ctx, table); err != nil {
			return nil, fmt.Errorf("export %s: %w", table, worded(s.where, err))
		}
	}
	if err := d.jobs(ctx); err != nil {
		return nil, fmt.Errorf("export the jobs: %w", worded(s.where, err))
	}
	if err := d.enc.Encode(line{End: true, Counts: d.counts}); err != nil {
		return nil, fmt.Errorf("write the export: %w", err)
	}
	if err := out.Flush(); err != nil {
		return nil, fmt.Errorf("write the export: %w", err)
	}
	return d.counts, nil
}

// snapshot is the isolation in which a transaction sees one moment.
func (s *Store) snapshot() sql.IsolationLevel {
	if s.Postgres() {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

// Known is the version of the schema this Watchtower knows.
func (s *Store) Known() (int64, error) {
	provider, _, err := s.migrations()
	if err != nil {
		return 0, err
	}
	sources := provider.ListSources()
	return sources[len(sources)-1].Version, nil
}

// tables lists the store's own, those that others refer to first.
func (s *Store) tables(ctx context.Context, q querier) ([]string, error) {
	query := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
	if s.Postgres() {
		query = `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'`
	}
	names, err := texts(ctx, q, query)
	if err != nil {
		return nil, askError(s.where, err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, "river_") || strings.HasPrefix(n, "goose_") })
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
	})
	return names, nil
}

// rank puts what others refer to first.
func rank(table string) int {
	if n := slices.Index([]string{"releases", "verdicts"}, table); n >= 0 {
		return n
	}
	return 2
}

func texts(ctx context.Context, q querier, query string) ([]string, error) {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

type dumper struct {
	s      *Store
	on     session
	enc    *json.Encoder
	counts map[string]int
}

func (d *dumper) table(ctx context.Context, table string) error {
	rows, err := d.on.QueryContext(ctx, `SELECT * FROM `+table)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	d.counts[table] = 0
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		row := make(map[string]any, len(columns))
		for i, c := range columns {
			row[c] = values[i]
			if b, ok := values[i].([]byte); ok {
				row[c] = map[string][]byte{"base64": b}
			}
		}
		if err := d.enc.Encode(line{Table: table, Row: row}); err != nil {
			return err
		}
		d.counts[table]++
	}
	return rows.Err()
}

func (d *dumper) jobs(ctx context.Context) error {
	query := `SELECT queue, kind, state, priority, attempt, max_attempts, json(args), json(metadata), json(tags), coalesce(json(errors), ''),
		created_at, scheduled_at, attempted_at, finalized_at, unique_key, unique_states FROM river_job`
	if d.s.Postgres() {
		query = `SELECT queue, kind, state::text, priority, attempt, max_attempts, args::text, metadata::text, to_json(tags)::text, coalesce(to_json(errors)::text, ''),
			created_at, scheduled_at, attempted_at, finalized_at, unique_key, unique_states::integer FROM river_job`
	}
	rows, err := d.on.QueryContext(ctx, query+` WHERE state NOT IN ('completed', 'cancelled') ORDER BY id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	d.counts[jobsTable] = 0
	for rows.Next() {
		var j job
		var args, metadata, tags, faults string
		if err := rows.Scan(&j.Queue, &j.Kind, &j.State, &j.Priority, &j.Attempt, &j.MaxAttempts, &args, &metadata, &tags, &faults,
			&j.CreatedAt, &j.ScheduledAt, &j.AttemptedAt, &j.FinalizedAt, &j.UniqueKey, &j.UniqueStates); err != nil {
			return err
		}
		j.Args, j.Metadata, j.Tags = json.RawMessage(args), json.RawMessage(metadata), json.RawMessage(tags)
		if faults != "" && faults != "[]" {
			j.Errors = json.RawMessage(faults)
		}
		if j.State == "running" { // nobody runs it where it goes
			j.State = "available"
		}
		if j.Queue == d.s.Queue() {
			j.Own, j.Queue = true, ""
		}
		if err := d.enc.Encode(line{Job: &j}); err != nil {
			return err
		}
		d.counts[jobsTable]++
	}
	return rows.Err()
}

// errExport is what is wrong with the file of an export.
func errExport(n int, format string, args ...any) error {
	return release.E(release.CodeInvalid, fmt.Sprintf("line %d of the export: ", n)+fmt.Sprintf(format, args...), nil)
}

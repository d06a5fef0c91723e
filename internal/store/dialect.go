package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
)

// dialect is what tells the two databases apart. The SQL of this package is
// written once, with ? for arguments.
type dialect string

const (
	onSQLite   dialect = "sqlite"
	onPostgres dialect = "postgres"
)

// rebind numbers the arguments of a query where the database asks for that. No
// query here has a ? that is no argument.
func (d dialect) rebind(query string) string {
	if d == onSQLite || !strings.Contains(query, "?") {
		return query
	}
	var b strings.Builder
	b.Grow(len(query) + 16)
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		query = after
	}
}

// querier is what a transaction and the database have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// session asks a database in its dialect. A database that went away is waited
// for where reads are asked of it outside a transaction.
type session struct {
	on      querier
	dialect dialect
	again   func(ctx context.Context, f func() (retry bool, err error)) error // nil: once
}

func (s session) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return s.on.ExecContext(ctx, s.dialect.rebind(query), storable(args)...)
}

func (s session) QueryContext(ctx context.Context, query string, args ...any) (rows *sql.Rows, err error) {
	query = s.dialect.rebind(query)
	args = storable(args)
	if s.again == nil {
		return s.on.QueryContext(ctx, query, args...) //nolint:sqlclosecheck // the caller's
	}
	err = s.again(ctx, func() (bool, error) {
		rows, err = s.on.QueryContext(ctx, query, args...) //nolint:rowserrcheck,sqlclosecheck // the caller's
		return true, err
	})
	return rows, err
}

func (s session) QueryRowContext(ctx context.Context, query string, args ...any) (row *sql.Row) {
	query = s.dialect.rebind(query)
	args = storable(args)
	if s.again == nil {
		return s.on.QueryRowContext(ctx, query, args...)
	}
	_ = s.again(ctx, func() (bool, error) { // the row holds the error
		row = s.on.QueryRowContext(ctx, query, args...)
		return true, row.Err()
	})
	return row
}

// storable makes text such that every database takes it: PostgreSQL refuses
// what is no UTF-8, and NUL.
func storable(args []any) []any {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = storableText(s)
		}
	}
	return args
}

func storableText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

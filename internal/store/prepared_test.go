package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"modernc.org/sqlite"
)

// keeping is a database with a table of the numbers 1 to 3, whose one connection keeps
// what it prepared.
func keeping(t *testing.T) *sql.DB {
	t.Helper()
	connector, err := sqlite.NewConnector(dataSource(filepath.Join(t.TempDir(), "w.db"), nil))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(preparing{connector})
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	ask(t, db, `CREATE TABLE numbers (n INTEGER PRIMARY KEY)`)
	ask(t, db, `INSERT INTO numbers (n) VALUES (1), (2), (3)`)
	return db
}

func ask(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// kept are how many statements the connection holds.
func kept(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Raw(func(c any) error { n = len(c.(*preparedConn).kept); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

const allNumbers = `SELECT n FROM numbers ORDER BY n`

// numbers are those that a query answers with; each is told to during.
func numbers(ctx context.Context, q interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, during func(),
) (out []int, err error) {
	rows, err := q.QueryContext(ctx, allNumbers)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		out = append(out, n)
		during()
	}
	return out, rows.Err()
}

func wantNumbers(t *testing.T, want string, got []int, err error) {
	t.Helper()
	if fmt.Sprint(got) != want || err != nil {
		t.Errorf("the numbers are %v, %v; want %s", got, err, want)
	}
}

func TestAStatementIsKeptAndAskedAgain(t *testing.T) {
	db := keeping(t)
	before := kept(t, db)
	for range 3 {
		got, err := numbers(t.Context(), db, func() {})
		wantNumbers(t, "[1 2 3]", got, err)
	}
	if n := kept(t, db); n != before+1 {
		t.Errorf("%d statements more are kept, want 1", n-before)
	}
}

func TestAStatementWhoseRowsAreReadCanBeAsked(t *testing.T) {
	db := keeping(t)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	got, err := numbers(t.Context(), tx, func() {
		inner, err := numbers(t.Context(), tx, func() {})
		wantNumbers(t, "[1 2 3]", inner, err)
	})
	wantNumbers(t, "[1 2 3]", got, err)
}

func TestAStatementThatFailedCanBeAskedAgain(t *testing.T) {
	db := keeping(t)
	const insert = `INSERT INTO numbers (n) VALUES (?) RETURNING n`
	for _, n := range []int{4, 4, 5} {
		var got int
		err := db.QueryRowContext(t.Context(), insert, n).Scan(&got)
		if taken := err != nil; taken != (got == 0) {
			t.Errorf("insert %d: %d, %v", n, got, err)
		}
	}
	got, err := numbers(t.Context(), db, func() {})
	wantNumbers(t, "[1 2 3 4 5]", got, err)
}

func TestAStatementIsParsedAnewWhereTheTablesChanged(t *testing.T) {
	db := keeping(t)
	got, err := numbers(t.Context(), db, func() {})
	wantNumbers(t, "[1 2 3]", got, err)
	ask(t, db, `ALTER TABLE numbers RENAME TO before`)
	ask(t, db, `CREATE TABLE numbers (other TEXT, n INTEGER)`)
	ask(t, db, `INSERT INTO numbers (n) VALUES (7)`)
	got, err = numbers(t.Context(), db, func() {})
	wantNumbers(t, "[7]", got, err)
	ask(t, db, `VACUUM`) // which nothing that is kept hinders
}

func TestNoMoreStatementsAreKeptThanThereIsRoomFor(t *testing.T) {
	db := keeping(t)
	for i := range 2*mostKept + 10 {
		ask(t, db, fmt.Sprintf(`UPDATE numbers SET n = n WHERE n = %d`, i))
	}
	if n := kept(t, db); n > mostKept {
		t.Errorf("%d statements are kept, want at most %d", n, mostKept)
	}
	got, err := numbers(t.Context(), db, func() {})
	wantNumbers(t, "[1 2 3]", got, err)
}

func TestAnInterruptedStatementHindersNoOther(t *testing.T) {
	db := keeping(t)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := db.ExecContext(ctx, `WITH RECURSIVE ever(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM ever) SELECT max(n) FROM ever`)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("interrupted, it answers %v", err)
		}
	}
	got, err := numbers(t.Context(), db, func() {})
	wantNumbers(t, "[1 2 3]", got, err)
}

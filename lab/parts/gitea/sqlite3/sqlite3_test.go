package sqlite3

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNamesOfTheOtherDriverOpenAndWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.db")
	db, err := sql.Open("sqlite3", "file:"+file+"?cache=shared&mode=rwc&_busy_timeout=500&_txlock=immediate&_journal_mode=WAL")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var mode string
	var timeout int
	if err := db.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %q (%v), want wal", mode, err)
	}
	if err := db.QueryRow("PRAGMA busy_timeout").Scan(&timeout); err != nil || timeout != 500 {
		t.Errorf("busy timeout %d (%v), want 500", timeout, err)
	}
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	if _, err := db.Exec("CREATE TABLE t (at DATETIME, yes BOOLEAN)"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO t VALUES (?, ?)", at, true); err != nil {
		t.Fatal(err)
	}
	var gotAt time.Time
	var yes bool
	if err := db.QueryRow("SELECT at, yes FROM t").Scan(&gotAt, &yes); err != nil || !gotAt.Equal(at) || !yes {
		t.Errorf("read back %s %v (%v), want %s true", gotAt, yes, err, at)
	}
}

func TestAnOptionThatIsNotKnownIsRefused(t *testing.T) {
	db, err := sql.Open("sqlite3", "file:x.db?_secure_delete=on")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ping(); err == nil || !strings.Contains(err.Error(), "_secure_delete") {
		t.Errorf("error = %v, want the option's name", err)
	}
}

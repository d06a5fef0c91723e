package store_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

// save writes a release with its verdict and an audit row.
func save(ctx context.Context, s *store.Store, n int) error {
	r := storetest.Release("webapp", n)
	return s.Write(ctx, func(tx *store.Tx) error {
		if err := tx.SaveRelease(r, release.DefaultPolicy()); err != nil {
			return err
		}
		if err := tx.SaveVerdict(storetest.Verdict(r, release.Healthy, true)); err != nil {
			return err
		}
		return tx.Audit(release.AuditRow{At: storetest.At, Actor: "x", Release: r.ID, What: "verdict", Outcome: "healthy, final"})
	})
}

func wantFault(t *testing.T, err error, code release.Code, words string) {
	t.Helper()
	if release.ErrorCode(err) != code || !strings.Contains(fmt.Sprint(err), words) {
		t.Errorf("%v (%s), want %q (%s)", err, release.ErrorCode(err), words, code)
	}
}

func wantWhole(t *testing.T, s *store.Store, releases int) {
	t.Helper()
	h, err := s.Check(t.Context())
	if err != nil || !h.Sound() || h.Rows["releases"] != releases || h.Rows["verdicts"] != releases || h.Rows["audit"] != releases {
		t.Errorf("%+v, %v; want %d of each, and all sound", h, err, releases)
	}
}

func TestAFullDiskLosesNothingThatWasThere(t *testing.T) {
	s := freshFile(t).Open(t)
	defer s.Close()
	if err := save(t.Context(), s, 1); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		if _, err := s.DB().ExecContext(t.Context(), fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // as many as there are
	saved := 1
	var err error
	for ; err == nil && saved < 200; saved++ {
		err = save(t.Context(), s, saved+1)
	}
	saved-- // the last one failed
	wantFault(t, err, release.CodeUnavailable, "the disk is full")
	wantWhole(t, s, saved)
	limit(1 << 30)
	if err := save(t.Context(), s, saved+1); err != nil {
		t.Fatalf("once there is room again: %v", err)
	}
	wantWhole(t, s, saved+1)
}

func TestADamagedPageIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.db")
	s := database{path}.Open(t)
	for n := range 200 {
		if err := save(t.Context(), s, n+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for at := len(body) / 2 / page * page; at < len(body)*3/4; at++ {
		body[at] = 0x5a
	}
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = store.Open(t.Context(), path, quiet)
	if err != nil { // it may lie where the start reads
		wantFault(t, err, release.CodeInvalid, "damaged")
		return
	}
	defer s.Close()
	h, err := s.Check(t.Context())
	if err == nil && h.Sound() {
		t.Fatal("the check finds nothing")
	}
	if err != nil {
		wantFault(t, err, release.CodeInvalid, "damaged; restore a backup")
	}
}

func TestAClockThatStepsBackBreaksNoChain(t *testing.T) {
	s := freshFile(t).Open(t)
	defer s.Close()
	for i, at := range []time.Duration{0, time.Minute, -time.Hour, -59 * time.Minute, 2 * time.Minute} {
		row := release.AuditRow{At: storetest.At.Add(at), Actor: "x", What: fmt.Sprint(i)}
		if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.Audit(row) }); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := s.Audit(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		if r.What != fmt.Sprint(i) {
			t.Errorf("row %d is %s: they are not in the order they were written", i, r.What)
		}
	}
	// What is old lies between what is young: only the beginning may go.
	done, err := s.Retain(t.Context(), store.Retention{Audit: 24 * time.Hour}, storetest.At.Add(24*time.Hour-30*time.Minute))
	if err != nil || done.Audit != 0 {
		t.Errorf("%d rows were removed, %v", done.Audit, err)
	}
	if n, faults, err := s.VerifyAudit(t.Context()); n != 5 || len(faults) != 0 || err != nil {
		t.Errorf("%d rows, %v, %v", n, faults, err)
	}
}

func TestARestartOfPostgreSQLIsWaitedFor(t *testing.T) {
	server, err := postgres.Start(t.Context())
	if err != nil {
		postgres.Missing(t, err)
	}
	defer server.Stop() //nolint:errcheck // it is gone either way
	s := database{server.URL("postgres")}.OpenFor(t, "lab")
	defer s.Close()
	const writes = 60
	done, half := make(chan error, 1), make(chan struct{})
	go func() {
		for n := range writes {
			if n == writes/2 {
				close(half)
			}
			// A commit whose answer was lost is the caller's to repeat.
			for {
				err := save(context.Background(), s, n+1)
				if err == nil {
					break
				}
				if release.ErrorCode(err) != release.CodeUnavailable {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	<-half
	if err := server.Crash(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	wantFault(t, s.Ping(short), release.CodeUnavailable, "the database PostgreSQL postgres at")
	if err := server.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	h, err := s.Check(t.Context())
	if err != nil || !h.Sound() || h.Rows["releases"] != writes || h.Rows["audit"] < writes {
		t.Errorf("%+v, %v", h, err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPostgreSQLRefusesInWords(t *testing.T) {
	server := postgres.Shared(t)
	exec := func(database, statement string) {
		t.Helper()
		if err := server.Exec(t.Context(), database, statement); err != nil {
			t.Fatal(err)
		}
	}
	name := func(address string) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return u.Path[1:]
	}
	as := func(user, address string) string { return strings.Replace(address, "watchtower@", user+"@", 1) }
	exec("postgres", `CREATE ROLE few LOGIN CONNECTION LIMIT 1`)
	exec("postgres", `CREATE ROLE guest LOGIN`)
	t.Cleanup(func() { _ = server.Exec(context.Background(), "postgres", `DROP ROLE few, guest`) })
	dir := t.TempDir()
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T) (target string, opts []store.Option)
		code    release.Code
		words   string
	}{
		{"a URL that is none", func(*testing.T) (string, []store.Option) {
			return "postgres://w:hunter2@db:port/w", nil
		}, release.CodeInvalid, "write its URL as postgres://user@host:5432/database"},
		{"a server that is not there", func(*testing.T) (string, []store.Option) {
			return "postgres://w:hunter2@127.0.0.1:1/w", nil
		}, release.CodeUnavailable, "PostgreSQL w at 127.0.0.1:1: it does not answer"},
		{"a database that is not there", func(*testing.T) (string, []store.Option) {
			return server.URL("nosuch"), nil
		}, release.CodeInvalid, "there is no such database; make it with createdb"},
		{"a user that is not there", func(t *testing.T) (string, []store.Option) {
			return as("nosuch", postgres.Fresh(t)), nil
		}, release.CodeInvalid, "it does not let this user in"},
		{"a user that may make nothing", func(t *testing.T) (string, []store.Option) {
			return as("guest", postgres.Fresh(t)), nil
		}, release.CodeInvalid, "this user may not do that"},
		{"a password file that is not there", func(t *testing.T) (string, []store.Option) {
			return postgres.Fresh(t), []store.Option{store.PasswordFile(filepath.Join(dir, "nosuch"))}
		}, release.CodeInvalid, "check store.password_file"},
		{"a server without a connection to spare", func(t *testing.T) (string, []store.Option) {
			address := postgres.Fresh(t)
			holder, err := pgconn.Connect(t.Context(), as("few", address))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = holder.Close(context.Background()) })
			return as("few", address), nil
		}, release.CodeUnavailable, "it has no connection to spare"},
		{"a database of a newer schema", func(t *testing.T) (string, []store.Option) {
			address := postgres.Fresh(t)
			s := database{address}.Open(t)
			defer s.Close()
			if _, err := s.DB().ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`); err != nil {
				t.Fatal(err)
			}
			return address, nil
		}, release.CodeInvalid, "this Watchtower is too old for it"},
		{"an empty database that must not be changed", func(t *testing.T) (string, []store.Option) {
			return postgres.Fresh(t), []store.Option{store.Manual()}
		}, release.CodeInvalid, "run `watchtower store migrate`"},
	} {
		t.Run(test.name, func(t *testing.T) {
			target, opts := test.prepare(t)
			s, err := store.Open(t.Context(), target, quiet, opts...)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			wantFault(t, err, test.code, test.words)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is told: %v", err)
			}
		})
	}
	t.Run("a database that is read-only", func(t *testing.T) {
		address := postgres.Fresh(t)
		database{address}.Open(t).Close()
		exec("postgres", `ALTER DATABASE `+name(address)+` SET default_transaction_read_only = on`)
		s := database{address}.Open(t)
		defer s.Close()
		wantFault(t, save(t.Context(), s, 1), release.CodeUnavailable, "it is read-only; is this a standby?")
	})
}

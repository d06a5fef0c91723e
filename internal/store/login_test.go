package store_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
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

// reachable is a server that answers over TCP.
func reachable(t *testing.T, settings ...string) *postgres.Server {
	t.Helper()
	port, err := postgres.OnPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server, err := postgres.Start(t.Context(), append(port, settings...)...)
	if err != nil {
		postgres.Missing(t, err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func execute(t *testing.T, server *postgres.Server, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if err := server.Exec(t.Context(), "postgres", statement); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPostgreSQLIsLoggedInToByPasswordAndRefusesInWordsWithoutTellingIt(t *testing.T) {
	const secret, wrong = "s3cr:t/ p@ss%20?", "wr0ng-passw0rd"
	server := reachable(t, "password_encryption=scram-sha-256")
	execute(t, server, `CREATE ROLE guard LOGIN PASSWORD '`+secret+`'`, `CREATE ROLE ghost PASSWORD '`+secret+`'`, `CREATE DATABASE w OWNER guard`)
	if err := server.Restrict(t.Context(), "host w guard,ghost,nosuch 127.0.0.1/32 scram-sha-256", "host nosuch all 127.0.0.1/32 scram-sha-256",
		"hostssl secure all 127.0.0.1/32 scram-sha-256"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		target string
		file   string // of the password
		code   release.Code
		words  []string // none: it is let in
	}{
		{"the right password in the URL", server.Address("guard", secret, "w"), "", "", nil},
		{"the right password in its file", server.Address("guard", "", "w"), file, "", nil},
		{"the password's file before the URL", server.Address("guard", wrong, "w"), file, "", nil},
		{"a wrong password", server.Address("guard", wrong, "w"), "", release.CodeInvalid, []string{
			"PostgreSQL w at 127.0.0.1:", "it does not take this user or this password", "store.password_file", "store.url_file",
		}},
		{"no password", server.Address("guard", "", "w"), "", release.CodeInvalid, []string{"it does not take this user or this password"}},
		{"a role that is not there", server.Address("nosuch", secret, "w"), "", release.CodeInvalid, []string{"it does not take this user or this password", "the user in store.url"}},
		{"a role that may not log in", server.Address("ghost", secret, "w"), "", release.CodeInvalid, []string{"it does not let this user in", "CREATE ROLE … LOGIN"}},
		{"a database that is not there", server.Address("guard", secret, "nosuch"), "", release.CodeInvalid, []string{"there is no such database; make it with createdb", "store.url"}},
		{"one whom pg_hba.conf does not name", server.Address("guard", secret, "postgres"), "", release.CodeInvalid, []string{"it does not let this user in", "pg_hba.conf"}},
		{"a database that is let in with TLS only", server.Address("guard", secret, "secure"), "", release.CodeInvalid, []string{"it does not let this user in", "sslmode", "no encryption"}},
		{"TLS that is not offered", server.Address("guard", secret, "w") + "?sslmode=require", "", release.CodeInvalid, []string{"it offers no TLS", "ssl = on", "sslmode=disable in store.url"}},
		{"a URL that is none", "postgres://guard:" + wrong + "@127.0.0.1:port/w", "", release.CodeInvalid, []string{"write its URL as postgres://"}},
		{"a mode of TLS that there is not", server.Address("guard", wrong, "w") + "?sslmode=maybe", "", release.CodeInvalid, []string{"write its URL as postgres://"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			s, err := store.Open(t.Context(), test.target, slog.New(slog.NewTextHandler(&log, nil)), store.PasswordFile(test.file))
			if err == nil {
				err = errors.Join(save(t.Context(), s, len(t.Name())), s.Close())
				if len(test.words) > 0 {
					t.Fatal("it was let in")
				}
			}
			if (err != nil) != (len(test.words) > 0) {
				t.Fatal(err)
			}
			for _, words := range test.words {
				wantFault(t, err, test.code, words)
			}
			told := log.String()
			for ; err != nil; err = errors.Unwrap(err) {
				told += err.Error()
			}
			for _, password := range []string{secret, wrong, url.QueryEscape(secret), url.PathEscape(secret)} {
				if strings.Contains(told, password) {
					t.Errorf("the password is told: %s", told)
				}
			}
		})
	}
}

func TestAPasswordThatChangesIsReadAnew(t *testing.T) {
	server := reachable(t, "password_encryption=scram-sha-256")
	execute(t, server, `CREATE ROLE guard LOGIN PASSWORD 'first'`, `CREATE DATABASE w OWNER guard`)
	if err := server.Restrict(t.Context(), "host all all 127.0.0.1/32 scram-sha-256"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	s, err := store.Open(t.Context(), server.Address("guard", "", "w"), quiet, store.PasswordFile(file))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	execute(t, server, `ALTER ROLE guard PASSWORD 'second'`, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guard'`)
	wantFault(t, save(t.Context(), s, 1), release.CodeInvalid, "store.password_file")
	write("second")
	if err := save(t.Context(), s, 1); err != nil {
		t.Error(err)
	}
}

func TestAServerWithoutAConnectionToSpareIsWaitedFor(t *testing.T) {
	server := reachable(t, "max_connections=9", "superuser_reserved_connections=3", "max_wal_senders=0")
	execute(t, server, `CREATE ROLE guard LOGIN`, `CREATE ROLE other LOGIN`, `CREATE DATABASE w OWNER guard`)
	if err := server.Restrict(t.Context(), "host all all 127.0.0.1/32 trust"); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), server.Address("guard", "", "w"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	execute(t, server, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guard'`)
	// Others take all there are.
	var others []*pgconn.PgConn
	for {
		c, err := pgconn.Connect(t.Context(), server.Address("other", "", "postgres"))
		var full *pgconn.PgError
		if errors.As(err, &full) && full.Code == "53300" {
			break
		}
		if err != nil || len(others) > 9 {
			t.Fatalf("%d connections, %v", len(others), err)
		}
		others = append(others, c)
	}
	again, err := store.Open(t.Context(), server.Address("guard", "", "w"), quiet)
	if err == nil {
		again.Close()
		t.Error("a start found a connection")
	}
	wantFault(t, err, release.CodeUnavailable, "it has no connection to spare; raise its max_connections, or lower store.max_connections")
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	wantFault(t, save(short, s, 1), release.CodeUnavailable, "it has no connection to spare")
	wantFault(t, s.Ping(t.Context()), release.CodeUnavailable, "it has no connection to spare")

	saved := make(chan error, 1)
	go func() { saved <- save(context.WithoutCancel(t.Context()), s, 1) }()
	select {
	case err := <-saved:
		t.Fatalf("it was not waited for: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	for _, c := range others {
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := <-saved; err != nil {
		t.Fatalf("once there is a connection: %v", err)
	}
	if rec, err := s.Release(t.Context(), storetest.Release("webapp", 1).ID); err != nil || rec.Verdict.Kind != release.Healthy {
		t.Errorf("%+v, %v", rec, err)
	}
	wantWhole(t, s, 1)
}

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// storeAt is the default store with another file.
func storeAt(path string) Store {
	s := defaultStore()
	s.Path = path
	return s
}

func TestTheStoreIsOneFileOrOneDatabase(t *testing.T) {
	for title, c := range map[string]struct {
		store string
		want  []string
	}{
		"a file":                                 {"store: {path: a.db}", nil},
		"a database":                             {"store: {url: 'postgres://w@db/watchtower'}", nil},
		"a database with its password in a file": {"store: {url: 'postgresql://w@db:5432/watchtower?sslmode=require', password_file: p}", nil},
		"a database known by a file":             {"store: {url_file: u}\nreplicas: {}", nil},
		"a file and a database":                  {"store: {path: a.db, url: 'postgres://w@db/w'}", []string{"2:15: store.path: the state is kept in one place"}},
		"a URL given twice":                      {"store: {url: 'postgres://w@db/w', url_file: u}", []string{"2:45: store.url_file: the URL is given twice"}},
		"a password in the URL":                  {"store: {url: 'postgres://w:hunter2@db/w'}", []string{"2:14: store.url: the URL carries a password: take it out"}},
		"a password behind the URL":              {"store: {url: 'postgres://w@db/w?password=hunter2'}", []string{"2:14: store.url: the URL carries a password"}},
		"a password in a URL that is none":       {"store: {url: 'postgres://w:hunter2%zz@db/w'}", []string{"2:14: store.url: the URL carries a password"}},
		"another database":                       {"store: {url: 'mysql://w@db/w'}", []string{"2:14: store.url: this is no URL of a PostgreSQL database"}},
		"a URL without a database":               {"store: {url: 'postgres://w@db'}", []string{"2:14: store.url: the URL names no database"}},
		"an empty URL":                           {"store: {url: ''}", []string{"2:14: store.url: the URL is empty"}},
		"a password for a file":                  {"store: {password_file: p}", []string{"2:24: store.password_file: a SQLite file has no password"}},
		"an unknown way to migrate":              {"store: {migrate: never}", []string{`2:18: store.migrate: "never" is unknown: use auto or manual`}},
		"too few connections":                    {"store: {max_connections: 1}", []string{"2:26: store.max_connections: 1 is out of range: use 3 to 200"}},
		"things kept for ever":                   {"store: {retention: {releases: 0s, curves: 0s}}", nil},
		"things kept too short":                  {"store: {retention: {curves: 1h}}", []string{"2:29: store.retention.curves: 1h is out of range: use 1d"}},
		"replicas of a file":                     {"replicas: {}", []string{"2:1: replicas: several replicas need PostgreSQL"}},
		"a Lease without a name":                 {"store: {url_file: u}\nreplicas: {lease: 'Watch Tower'}", []string{`3:19: replicas.lease: "Watch Tower" is no name of an object`}},
	} {
		t.Run(title, func(t *testing.T) {
			_, err := Parse("w.yaml", []byte(least+c.store+"\n"))
			if err == nil && len(c.want) > 0 {
				t.Fatal("it was taken")
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is told: %v", err)
			}
			if err != nil && len(c.want) == 0 {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %s…", err, want)
				}
			}
		})
	}
}

func TestTheTargetOfTheStoreMayStandInAFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "url")
	if err := os.WriteFile(file, []byte("postgres://w:secret@db/w\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := (Store{URLFile: file}).Target(); err != nil || got != "postgres://w:secret@db/w" {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.WriteFile(file, []byte("host=db password=secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Store{{URLFile: file}, {URLFile: filepath.Join(dir, "nosuch")}} {
		_, err := s.Target()
		if release.ErrorCode(err) != release.CodeInvalid || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}

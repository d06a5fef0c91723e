package store_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

func TestMain(m *testing.M) {
	store.RunVictim()
	runHelper()
	goleak.VerifyTestMain(postgres.Main{M: m})
}

var quiet = slog.New(slog.DiscardHandler)

// database is a file or a URL.
type database struct{ target string }

func (d database) Open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), d.target, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func freshFile(t *testing.T) storetest.Database {
	return database{filepath.Join(t.TempDir(), "watch tower?#%.db")}
}

func freshDatabase(t *testing.T) storetest.Database { return database{postgres.Fresh(t)} }

func TestSQLite(t *testing.T) { storetest.Run(t, freshFile) }

func TestPostgreSQL(t *testing.T) { storetest.Run(t, freshDatabase) }

func TestSharedPostgreSQL(t *testing.T) {
	storetest.RunShared(t, func(t *testing.T) storetest.Shared { return database{postgres.Fresh(t)} })
}

// OpenFor opens it for one cluster.
func (d database) OpenFor(t *testing.T, cluster string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), d.target, quiet, store.ForCluster(cluster))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOpenRefusesInWords(t *testing.T) {
	newer := func(table, column string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			s := database{path}.Open(t)
			defer s.Close()
			insert := `INSERT INTO river_migration (line, version) VALUES ('main', 9999)`
			if table == "goose_db_version" {
				insert = `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`
			}
			if _, err := s.DB().ExecContext(t.Context(), insert); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		code    release.Code
		words   string
	}{
		{"a file that is no database", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("this is a letter, no database\n", 100)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, release.CodeInvalid, "is not a SQLite database"},
		{"a directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, release.CodeInvalid, "is it a directory?"},
		{"a file another Watchtower has open", func(t *testing.T, path string) {
			s := database{path}.Open(t)
			t.Cleanup(func() { s.Close() })
		}, release.CodeUnavailable, "another Watchtower has it open"},
		{"a database of a newer schema", newer("goose_db_version", "version_id"), release.CodeInvalid, "too old"},
		{"a database of a newer job queue", newer("river_migration", "version"), release.CodeInvalid, "too old"},
		{"a file in a directory that does not exist", func(t *testing.T, path string) {
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}, release.CodeInvalid, "directory does not exist"},
		{"a file that ends in the middle", func(t *testing.T, path string) {
			s := database{path}.Open(t)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 10_000); err != nil {
				t.Fatal(err)
			}
		}, release.CodeInvalid, "damaged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "deep", "watchtower.db")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			test.prepare(t, path)
			s, err := store.Open(t.Context(), path, quiet)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if got := release.ErrorCode(err); got != test.code {
				t.Errorf("code %q, want %q", got, test.code)
			}
			if !strings.Contains(err.Error(), test.words) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q does not say %q of %s", err, test.words, path)
			}
		})
	}
}

func TestAStoreThatFailedToOpenLeavesNoLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "watchtower.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), path, quiet); err == nil {
		t.Fatal("it was opened")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	database{path}.Open(t).Close()
}

func TestWritersAndReadersAtOnceDoNotFail(t *testing.T) {
	s := freshFile(t).Open(t)
	defer s.Close()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range 10 {
				r := storetest.Release(fmt.Sprintf("w%d", w), n+1)
				storetest.Save(t, s, r, storetest.Verdict(r, release.Healthy, true))
				if _, err := s.Releases(t.Context(), store.Filter{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := s.Releases(t.Context(), store.Filter{})
	if err != nil || len(got) != 40 {
		t.Fatalf("%d releases, %v; want 40", len(got), err)
	}
}

func TestBoundedCurveKeepsTheTotals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 50).Draw(t, "limit")
		n := rapid.IntRange(0, 400).Draw(t, "points")
		curve := make([]release.Point, n)
		var want release.Count
		for i := range curve {
			total := rapid.Int64Range(0, 1000).Draw(t, "total")
			c := release.Count{Total: total, Bad: rapid.Int64Range(0, total).Draw(t, "bad")}
			want = want.Add(c)
			curve[i] = release.Point{At: storetest.At.Add(time.Duration(i) * time.Second), Release: c, EValue: float64(i)}
			if total > 0 {
				v := c.Ratio()
				curve[i].ReleaseValue = &v
			}
		}
		got := store.BoundCurve(curve, release.UnitRatio, limit)
		if len(got) != min(n, limit) {
			t.Fatalf("%d points of %d, limit %d", len(got), n, limit)
		}
		var sum release.Count
		for i, p := range got {
			sum = sum.Add(p.Release)
			if i > 0 && !p.At.After(got[i-1].At) {
				t.Fatalf("point %d is not after the one before", i)
			}
			if p.ReleaseValue != nil && *p.ReleaseValue != p.Release.Ratio() {
				t.Fatalf("point %d has value %v of %v", i, *p.ReleaseValue, p.Release)
			}
		}
		if sum != want {
			t.Fatalf("total %v, want %v", sum, want)
		}
		if n > 0 && (got[len(got)-1].At != curve[n-1].At || got[len(got)-1].EValue != curve[n-1].EValue) {
			t.Fatal("the end of the curve is lost")
		}
	})
}

func BenchmarkListAndDetail(b *testing.B) {
	s, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "w.db"), quiet)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := s.Write(b.Context(), func(tx *store.Tx) error {
		for n := range 2000 {
			r := storetest.Release("webapp", n+1)
			if err := tx.SaveRelease(r, release.DefaultPolicy()); err != nil {
				return err
			}
			if err := tx.SaveVerdict(storetest.Verdict(r, release.Healthy, true)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	id := storetest.Release("webapp", 1000).ID
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Releases(b.Context(), store.Filter{Limit: 50}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("detail", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Release(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
	})
}

//go:build unix

package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

// configured writes a configuration whose store is at a place.
func configured(t *testing.T, where string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "watchtower.yaml")
	if err := os.WriteFile(path, []byte(`{cluster: lab, prometheus: {url: "http://h"}, store: {`+where+`}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// command is the real program with a command line.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(context.WithoutCancel(t.Context()), "watchtower", args...)
}

// says runs the program, and answers with what it says and its status.
func says(t *testing.T, args ...string) (text string, status int) {
	t.Helper()
	out, err := command(t, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		status = exit.ExitCode()
	}
	return string(out), status
}

func openedAt(t *testing.T, target string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), target, slog.New(slog.DiscardHandler), store.ForCluster("lab"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// filledWith puts releases with their audit into a store.
func filledWith(t *testing.T, target string, releases int) {
	t.Helper()
	s := openedAt(t, target)
	for n := range releases {
		r := storetest.Release("webapp", n+1)
		if err := s.Write(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.SaveRelease(r, release.DefaultPolicy()), tx.SaveVerdict(storetest.Verdict(r, release.Regressed, true)),
				tx.Audit(release.AuditRow{At: storetest.At, Actor: "watchtower", Release: r.ID, What: "verdict", Outcome: "regressed, final", Why: "worse"}))
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.DB().ExecContext(t.Context(), `INSERT INTO river_job (kind, args, state, max_attempts) VALUES ('watchtower_action', '{}', 'available', 5)`); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// exportOf is what a store exports, in an order of its own.
func exportOf(t *testing.T, config string) []string {
	t.Helper()
	text, status := says(t, "store", "export", "--config", config)
	if status != 0 {
		t.Fatal(text)
	}
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return !strings.Contains(l, `"table"`) })
	slices.Sort(lines)
	return lines
}

func TestAnImportThatIsKilledIsDoneOnceByTheNext(t *testing.T) {
	const releases = 300
	from := filepath.Join(t.TempDir(), "w.db")
	filledWith(t, from, releases)
	source := configured(t, "path: "+strconv.Quote(from))
	file := filepath.Join(t.TempDir(), "all.jsonl")
	if text, status := says(t, "store", "export", "--config", source, file); status != 0 {
		t.Fatal(text)
	}
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := exportOf(t, source)
	for name, fresh := range map[string]func(t *testing.T) string{
		"into PostgreSQL": func(t *testing.T) string { return "url: " + strconv.Quote(postgres.Fresh(t)) },
		"into SQLite":     func(t *testing.T) string { return "path: " + strconv.Quote(filepath.Join(t.TempDir(), "w.db")) },
	} {
		t.Run(name, func(t *testing.T) {
			whole := configured(t, fresh(t))
			began := time.Now()
			if text, status := says(t, "store", "import", "--config", whole, file); status != 0 {
				t.Fatal(text)
			}
			took := time.Since(began)
			ended := map[string]int{}
			for n := range 5 {
				to := configured(t, fresh(t))
				if n < 2 { // in the middle of the file, for certain
					killedReading(t, to, body[:len(body)*(n+1)/3])
				} else {
					killedAfter(t, to, file, time.Duration(rand.Int64N(int64(took))))
				}
				text, status := says(t, "store", "import", "--config", to, file)
				switch {
				case status == 0 && strings.Contains(text, fmt.Sprintf("%d releases", releases)):
					ended["undone"]++
				case status == 1 && strings.Contains(text, "the database is not empty: table") && n >= 2:
					ended["done"]++ // it was killed after its end
				default:
					t.Fatalf("the next import: %d %s", status, text)
				}
				if !slices.Equal(exportOf(t, to), want) {
					t.Error("what was imported is not what was exported")
				}
				if text, status := says(t, "store", "check", "--config", to); status != 0 {
					t.Error(text)
				}
			}
			t.Logf("killed imports were %v; one takes %s", ended, took.Round(time.Millisecond))
		})
	}
}

// killedReading kills an import that has read all it was given and waits for more.
func killedReading(t *testing.T, config string, part []byte) {
	t.Helper()
	cmd := command(t, "store", "import", "--config", config, "-")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = io.Copy(in, bytes.NewReader(part)) // all but what the pipe holds was read
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

func killedAfter(t *testing.T, config, file string, after time.Duration) {
	t.Helper()
	cmd := command(t, "store", "import", "--config", config, file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after) // the moment of death is what is random
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed, or is done
}

func TestWhateverIsDoneToTheAuditIsFoundByTheProgram(t *testing.T) {
	const rows = 12
	path := filepath.Join(t.TempDir(), "w.db")
	filledWith(t, path, rows)
	s := openedAt(t, path)
	_, err := s.DB().ExecContext(t.Context(), `DROP TRIGGER audit_rows_stay; DROP TRIGGER audit_rows_remain`) // as who owns the file can
	list, err2 := s.Audit(t.Context(), "", 0)
	if err := errors.Join(err, err2, s.Close()); err != nil {
		t.Fatal(err)
	}
	forged := list[rows-1]
	forged.ID, forged.Why, forged.Previous = rows+1, "never happened", list[rows-1].Hash
	forged.Hash = forged.Digest()
	insert := func(hash string) string {
		return fmt.Sprintf(`INSERT INTO audit SELECT cluster, %d, at, actor, release_id, what, outcome, 'never happened', evidence, '%s', '%s' FROM audit WHERE seq = %d`, forged.ID, forged.Previous, hash, rows)
	}
	anchor := fmt.Sprintf("%d:%s", rows, list[rows-1].Hash)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name     string
		do       string
		want     string // what audit verify and store check say
		anchored bool   // only audit verify with an anchor says so
	}{
		{"nothing", ``, "", false},
		{"the last rows removed", `DELETE FROM audit WHERE seq > 10`, "it was cut off: its last row is 10, its head 12", false},
		{"all rows removed", `DELETE FROM audit`, "it was cut off", false},
		{"a row changed", `UPDATE audit SET why = 'otherwise' WHERE seq = 4`, "row 4: it was changed", false},
		{"a row and its hash changed", `UPDATE audit SET why = 'otherwise', hash = '` + strings.Repeat("a", 64) + `' WHERE seq = 4`, "row 4: it was changed", false},
		{"two rows in another order", `UPDATE audit SET seq = 99 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 6; UPDATE audit SET seq = 6 WHERE seq = 99`, "row 5: it does not follow row 4", false},
		{"a row in the middle removed", `DELETE FROM audit WHERE seq = 7`, "rows 7 to 7 are missing", false},
		{"a row added at the end, with a fitting hash", insert(forged.Hash), "row 13: it lies after the head of the chain", false},
		{"a row put in between", `UPDATE audit SET seq = -seq WHERE seq > 6; UPDATE audit SET seq = 1 - seq WHERE seq < 0; INSERT INTO audit SELECT cluster, 7, at, actor, release_id, what, outcome, 'forged', evidence, previous, hash FROM audit WHERE seq = 6`, "row 7: it does not follow row 6", false},
		{"the last rows removed and the head set back", `DELETE FROM audit WHERE seq > 10; UPDATE audit_heads SET seq = 10, hash = '` + list[9].Hash + `'`, "it was cut off: its last row is 10, and there is an anchor of row 12", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "w.db")
			if err := os.WriteFile(file, before, 0o600); err != nil {
				t.Fatal(err)
			}
			change(t, file, test.do)
			config := configured(t, "path: "+strconv.Quote(file))
			checked, status := says(t, "store", "check", "--config", config)
			wantFound(t, "store check", checked, status, test.want, test.anchored)

			s := openedAt(t, file)
			defer s.Close()
			server := serve(t, api.New(api.Deps{
				Releases: s, Audit: s, Registry: prometheus.NewRegistry(), Pages: http.NotFoundHandler(), Version: version, Log: slog.New(slog.DiscardHandler),
			}))
			verified, status := says(t, "audit", "verify", "--server", server)
			wantFound(t, "audit verify", verified, status, test.want, test.anchored)
			verified, status = says(t, "audit", "verify", "--server", server, "--anchor", anchor)
			wantFound(t, "audit verify with an anchor", verified, status, test.want, false)
		})
	}
}

func change(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), statements)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func wantFound(t *testing.T, who, said string, status int, want string, unseen bool) {
	t.Helper()
	if want == "" || unseen {
		if status != 0 || strings.Contains(said, "FAULT") {
			t.Errorf("%s: status %d\n%s", who, status, said)
		}
		return
	}
	if status != 1 || !strings.Contains(said, want) {
		t.Errorf("%s does not say %q: status %d\n%s", who, want, status, said)
	}
}

func TestTheCheckNamesADamagedPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.db")
	filledWith(t, path, 60)
	config := configured(t, "path: "+strconv.Quote(path))
	if text, status := says(t, "store", "check", "--config", config); status != 0 || !strings.Contains(text, "All is sound.") {
		t.Fatalf("%d %s", status, text)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	var page, size int64
	err = errors.Join(db.QueryRowContext(t.Context(), `SELECT pageno FROM dbstat WHERE name = 'releases' AND pagetype = 'leaf' LIMIT 1 OFFSET 2`).Scan(&page),
		db.QueryRowContext(t.Context(), `PRAGMA page_size`).Scan(&size), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(bytes.Repeat([]byte("Z"), int(size)), (page-1)*size)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	text, status := says(t, "store", "check", "--config", config)
	if status != 1 || !strings.Contains(text, "DAMAGED") || !strings.Contains(text, fmt.Sprintf("page %d", page)) || strings.Contains(text, "All is sound") {
		t.Errorf("%d %s", status, text)
	}
	out := filepath.Join(t.TempDir(), "all.jsonl")
	if text, status = says(t, "store", "export", "--config", config, out); status != 1 || !strings.Contains(text, "the file is damaged; restore a backup") {
		t.Errorf("an export: %d %s", status, text)
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half an export is left: %v", err)
	}
}

package app

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/smalldisk"
)

// watched is a cluster with a workload, and the configuration of who watches it
// and keeps what he knows in a store.
func watched(t *testing.T, store string) (cluster *standIn, config string) {
	t.Helper()
	cluster, kubeconfig := newStandIn(t)
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": []any{}}})
	}))
	t.Cleanup(prometheus.Close)
	cluster.roll(t, "webapp", 1)
	return cluster, fmt.Sprintf(`{cluster: lab, listen: "127.0.0.1:0", tick: 1s, store: {%s}, kubernetes: {kubeconfig: %q}, prometheus: {url: %q}}`, store, kubeconfig, prometheus.URL)
}

// refused is what a Watchtower says that does not start.
func startRefused(t *testing.T, config string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "refused.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test
	cmd.Env = append(os.Environ(), replicaEnv+"="+path)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Contains(string(out), "listening on") {
		t.Fatalf("it started, or %v:\n%s", err, out)
	}
	return string(out)
}

// storeReady is what /readyz says of the store.
func (w *watchtower) storeReady() string {
	_, body := w.get("/readyz")
	var said struct{ Checks map[string]string }
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		return err.Error()
	}
	return said.Checks["store"]
}

var writesFailed = regexp.MustCompile(`(?m)^watchtower_store_writes_failed_total ([0-9.e+]+)$`)

// stop ends it in order.
func (w *watchtower) stop() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	err := <-w.done
	w.done <- err
	if err != nil {
		w.t.Errorf("it ended with %v", err)
	}
}

// soundWith fails unless a store is sound and saw so many releases, each once.
func soundWith(t *testing.T, target string, releases int) {
	t.Helper()
	st := openLab(t, target)
	if h, err := st.Check(t.Context()); err != nil || !h.Sound() || h.Rows["releases"] != releases {
		t.Errorf("%+v, %v; want %d releases", h, err, releases)
	}
	audit, err := st.Audit(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[release.ID]int{}
	for _, r := range audit {
		if r.What == "release_seen" {
			seen[r.Release]++
		}
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("release %s was seen %d times", id, n)
		}
	}
	if len(seen) != releases {
		t.Errorf("%d releases were seen, want %d", len(seen), releases)
	}
}

func TestAServerGoesOnOnAFullDiskAndDoesWhatWaitsOnceThereIsRoom(t *testing.T) {
	smalldisk.On(t, "6m", func(t *testing.T, dir string) {
		path := filepath.Join(dir, "w.db")
		cluster, config := watched(t, "path: "+strconv.Quote(path))
		w := begin(t, "server", config)
		until(t, "it is ready", 20*time.Second, w.ready)
		until(t, "it judges", 20*time.Second, func() bool { return w.judges(1) })

		free := smalldisk.Fill(t, dir)
		rolled := 1
		until(t, "it says that the disk is full", time.Minute, func() bool {
			if rolled < 200 {
				cluster.roll(t, fmt.Sprintf("app%d", rolled), 1)
				rolled++
			}
			return strings.Contains(w.storeReady(), "the disk is full; make room on it, and what waits is done")
		})
		if w.ready() {
			t.Error("it is ready on a full disk")
		}
		if status, body := w.get("/healthz"); status != http.StatusOK {
			t.Errorf("it does not live: %d %s", status, body)
		}
		if status, body := w.get("/api/v1/releases"); status != http.StatusOK || !strings.Contains(body, "webapp") {
			t.Errorf("the list: %d %s", status, body)
		}
		if status, _ := w.get("/"); status != http.StatusOK {
			t.Errorf("the page: %d", status)
		}
		_, metrics := w.get("/metrics")
		if found := writesFailed.FindStringSubmatch(metrics); found == nil || found[1] == "0" {
			t.Errorf("no write is counted as failed: %v", found)
		}
		free()
		took := until(t, "it is ready again", time.Minute, w.ready)
		until(t, "it judges what was rolled out meanwhile", time.Minute, func() bool { return w.judges(rolled) })
		t.Logf("%d rollouts; ready %s after there was room", rolled, took.Round(10*time.Millisecond))
		w.stop()
		soundWith(t, path, rolled)
	})
}

func TestAServerOnADiskItMayNotWriteIsRefusedInWords(t *testing.T) {
	smalldisk.On(t, "6m", func(t *testing.T, dir string) {
		path := filepath.Join(dir, "w.db")
		openLab(t, path).Close()
		smalldisk.ReadOnly(t, dir)
		_, config := watched(t, "path: "+strconv.Quote(path))
		if said := startRefused(t, config); !strings.Contains(said, "open the database "+path+": it cannot be written; check the owner and mode of the file and its directory") {
			t.Error(said)
		}
	})
}

func TestASecondServerOnTheSameFileIsRefusedInWords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.db")
	cluster, config := watched(t, "path: "+strconv.Quote(path))
	first := begin(t, "first", config)
	until(t, "the first is ready", 20*time.Second, first.ready)
	if said := startRefused(t, config); !strings.Contains(said, "open the database "+path+": another Watchtower has it open; stop that one first, or give each a file of its own") {
		t.Error(said)
	}
	cluster.roll(t, "backend", 1)
	until(t, "the first judges on", 20*time.Second, func() bool { return first.judges(2) })
	first.stop()
	begin(t, "the next", config).stop()
	soundWith(t, path, 2)
}

func TestAServerGoesOnWhenAPageOfItsFileIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.db")
	st := openLab(t, path)
	const releases = 300
	err := st.Write(t.Context(), func(tx *store.Tx) error {
		for n := range releases {
			r := storetest.Release("old", n+1)
			if err := errors.Join(tx.SaveRelease(r, release.DefaultPolicy()), tx.SaveVerdict(storetest.Verdict(r, release.Healthy, true))); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	damage(t, path, "curves")
	_, config := watched(t, "path: "+strconv.Quote(path))
	w := begin(t, "server", config)
	until(t, "it is ready", 20*time.Second, w.ready)
	until(t, "it judges", 20*time.Second, func() bool { return w.judges(1) })
	if status, body := w.get("/api/v1/releases"); status != http.StatusOK || !strings.Contains(body, "webapp") {
		t.Errorf("the list, which is not damaged: %d %s", status, body)
	}
	damaged := 0
	for n := range releases {
		status, body := w.get("/api/v1/releases/" + string(storetest.Release("old", n+1).ID))
		switch {
		case status == http.StatusServiceUnavailable && strings.Contains(body, "the file is damaged; restore a backup"):
			damaged++
		case status != http.StatusOK:
			t.Errorf("release %d: %d %s", n+1, status, body)
		}
	}
	if damaged == 0 {
		t.Error("nothing tells of the damage")
	}
	if status, body := w.get("/healthz"); status != http.StatusOK {
		t.Errorf("it does not live: %d %s", status, body)
	}
	w.stop()
	h, err := openLab(t, path).Check(t.Context())
	if err != nil || h.Sound() {
		t.Errorf("the check finds %+v, %v", h, err)
	}
	t.Logf("%d of %d releases cannot be read; the check: %q", damaged, releases, h.Problems)
}

// damage writes over a page in the middle of a table.
func damage(t *testing.T, path, table string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	var page, size int64
	err = errors.Join(db.QueryRowContext(t.Context(), `SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' LIMIT 1 OFFSET 1`, table).Scan(&page),
		db.QueryRowContext(t.Context(), `PRAGMA page_size`).Scan(&size), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(strings.Repeat("Z", int(size))), (page-1)*size)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestAServerGoesOnAtTheNewPrimaryAfterAFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts four servers of PostgreSQL")
	}
	for name, lose := range map[string]func(*postgres.Server) error{
		"the primary was killed":  (*postgres.Server).Kill,
		"the primary fell silent": (*postgres.Server).Freeze,
	} {
		t.Run(name, func(t *testing.T) { failsOver(t, lose) })
	}
}

func failsOver(t *testing.T, lose func(*postgres.Server) error) {
	primary, err := postgres.Start(t.Context())
	if err != nil {
		postgres.Missing(t, err)
	}
	t.Cleanup(func() { _ = errors.Join(primary.Thaw(), primary.Stop()) }) // it may be dead
	standby, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = standby.Stop() })
	database := postgres.Either("postgres", primary, standby)
	cluster, config := watched(t, "url: "+strconv.Quote(database))
	w := begin(t, "server", config)
	until(t, "it is ready", 20*time.Second, w.ready)
	until(t, "it judges", 20*time.Second, func() bool { return w.judges(1) })

	began := time.Now()
	if err := lose(primary); err != nil {
		t.Fatal(err)
	}
	until(t, "it says that the database is away", 20*time.Second, func() bool { return !w.ready() })
	cluster.roll(t, "backend", 1)
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "it is ready", 60*time.Second, w.ready)
	until(t, "it judges what was rolled out meanwhile", 60*time.Second, func() bool { return w.judges(2) && w.leads(1) })
	t.Logf("it leads and judges %s after the primary was lost", time.Since(began).Round(10*time.Millisecond))
	w.stop()
	soundWith(t, database, 2)
}

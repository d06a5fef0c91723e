package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

// replicaEnv makes the test's binary a Watchtower: it holds the path of its
// configuration.
const replicaEnv = "WATCHTOWER_TEST_REPLICA"

func TestMain(m *testing.M) {
	if path := os.Getenv(replicaEnv); path != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err := Serve(ctx, Options{
			ConfigPath: path, Version: "test", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
			Listening: func(addr net.Addr) { fmt.Printf("listening on %s\n", addr) },
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(postgres.Main{M: m}.Run())
}

// watchtower is a process that serves.
type watchtower struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	base string
	done chan error
	mu   sync.Mutex
	log  strings.Builder
}

// Write takes its log.
func (w *watchtower) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *watchtower) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// begin starts a Watchtower and waits until it listens.
func begin(t *testing.T, name, config string) *watchtower {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &watchtower{t: t, name: name, done: make(chan error, 1)}
	w.cmd = exec.Command(os.Args[0]) //nolint:gosec // this test
	w.cmd.Env = append(os.Environ(), replicaEnv+"="+path, "KUBE_FEATURE_WatchListClient=false")
	w.cmd.Stderr = w
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		<-w.done //nolint:errcheck // it was killed
		if t.Failed() {
			t.Logf("%s said:\n%s", name, w.said())
		}
	})
	var address string
	n, err := fmt.Fscanf(out, "listening on %s\n", &address)
	go func() {
		_, _ = io.Copy(io.Discard, out)
		w.done <- w.cmd.Wait()
	}()
	if n != 1 {
		w.done <- <-w.done
		t.Fatalf("%s does not listen: %v\n%s", name, err, w.said())
	}
	w.base = "http://" + address
	return w
}

func (w *watchtower) get(path string) (int, string) {
	resp, err := http.Get(w.base + path) //nolint:gosec // a process of this test
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body) // a process that is killed breaks off
	return resp.StatusCode, string(body)
}

var liveReleases = regexp.MustCompile(`(?m)^watchtower_live_releases ([0-9]+)$`)

// judges reports whether it judges n releases.
func (w *watchtower) judges(n int) bool {
	_, metrics := w.get("/metrics")
	found := liveReleases.FindStringSubmatch(metrics)
	return found != nil && found[1] == fmt.Sprint(n)
}

func (w *watchtower) ready() bool {
	status, _ := w.get("/readyz")
	return status == http.StatusOK
}

// until waits for a condition and answers with how long it took.
func until(t *testing.T, what string, patience time.Duration, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > patience {
			t.Fatalf("%s: not within %s", what, patience)
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // other processes
	}
	return time.Since(began)
}

// replicated is a cluster with a workload, and the configuration of replicas
// that watch it.
func replicated(t *testing.T) (cluster *standIn, database, config string) {
	t.Helper()
	if testing.Short() {
		t.Skip("it waits for Leases to run out")
	}
	database = postgres.Fresh(t)
	cluster, kubeconfig := newStandIn(t)
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": []any{}}})
	}))
	t.Cleanup(prometheus.Close)
	cluster.roll(t, "webapp", 1)
	return cluster, database, fmt.Sprintf(`{cluster: lab, listen: "127.0.0.1:0", tick: 1s, store: {url: %q}, replicas: {namespace: watchtower}, kubernetes: {kubeconfig: %q}, prometheus: {url: %q}}`,
		database, kubeconfig, prometheus.URL)
}

func TestTheNextReplicaJudgesWithin20Seconds(t *testing.T) {
	cluster, database, config := replicated(t)
	first := begin(t, "first", config)
	until(t, "the first replica is ready", 20*time.Second, first.ready)
	until(t, "the first replica judges", 20*time.Second, func() bool { return first.judges(1) })
	second := begin(t, "second", config)
	until(t, "the second replica is ready", 20*time.Second, second.ready)
	for _, w := range []*watchtower{first, second} {
		if status, body := w.get("/api/v1/releases"); status != http.StatusOK || !strings.Contains(body, "webapp-hash1") {
			t.Errorf("%s answers %d %s", w.name, status, body)
		}
	}
	if second.judges(1) || second.judges(0) {
		t.Error("the second replica judges while the first leads")
	}
	for w, want := range map[*watchtower]string{first: "watchtower_leads 1\n", second: "watchtower_leads 0\n"} {
		if _, metrics := w.get("/metrics"); !strings.Contains(metrics, want) {
			t.Errorf("%s does not say %q", w.name, want)
		}
	}

	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cluster.roll(t, "backend", 1) // while nobody leads
	took := until(t, "the second replica judges", 20*time.Second, func() bool { return second.judges(2) })
	t.Logf("leader killed: the next one judges after %s", took.Round(10*time.Millisecond))

	third := begin(t, "third", config)
	until(t, "the third replica is ready", 20*time.Second, third.ready)
	if err := second.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	took = until(t, "the third replica judges", 10*time.Second, func() bool { return third.judges(2) })
	t.Logf("leader stopped in order: the next one judges after %s", took.Round(10*time.Millisecond))

	soundWith(t, database, 2)
	if led := cluster.ledBy(); len(led) != 4 { // the first, the second, nobody, the third
		t.Errorf("led, one after the other: %q", led)
	}
}

func (w *watchtower) leads(n int) bool {
	_, metrics := w.get("/metrics")
	return strings.Contains(metrics, fmt.Sprintf("watchtower_leads %d\n", n))
}

func TestAReplicaThatHungStandsByAndMayLeadAgain(t *testing.T) {
	_, database, config := replicated(t)
	first := begin(t, "first", config)
	until(t, "the first replica judges", 20*time.Second, func() bool { return first.judges(1) })
	second := begin(t, "second", config)
	until(t, "the second replica is ready", 20*time.Second, second.ready)

	if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	took := until(t, "the second replica judges", 25*time.Second, func() bool { return second.judges(1) })
	t.Logf("leader hangs: the next one judges after %s", took.Round(10*time.Millisecond))
	if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "the first replica leads no longer", 20*time.Second, func() bool { return first.leads(0) })
	until(t, "the first replica is ready again", 20*time.Second, first.ready)
	if !second.leads(1) {
		t.Error("the second replica gave up when the first woke")
	}

	// The same process may lead once more, and goes on with its jobs.
	if err := second.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "the first replica judges again", 25*time.Second, func() bool { return first.judges(1) && first.leads(1) })
	until(t, "the first replica is ready", 20*time.Second, first.ready)
	st := openLab(t, database)
	if rows, faults, err := st.VerifyAudit(t.Context()); err != nil || len(faults) != 0 || rows == 0 {
		t.Errorf("%d audit rows, %v, %v", rows, faults, err)
	}
}

func openLab(t *testing.T, database string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), database, slog.New(slog.DiscardHandler), store.ForCluster("lab"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

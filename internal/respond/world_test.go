package respond

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(victimEnv); path != "" {
		victim(path)
	}
	goleak.VerifyTestMain(postgres.Main{M: m})
}

// tester is what testing and rapid have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// world is everything outside Watchtower, which outlives its processes.
type world struct {
	t       tester
	dir     string
	images  int // of the database, one for each process that was killed
	cluster *strictCluster
	alerts  *strictAlertmanager
	forge   *strictForge
	sinks   map[string]*strictSink
	limits  Limits // zero: the defaults
	route   func(m release.Message) []string
	group   func(m release.Message, receiver string) (Grouping, bool)
	bare    bool // neither Alertmanager nor forge is configured
	// crashAt kills the process at a point, "before rollback" or "after issue",
	// once.
	mu      sync.Mutex // of these three, and of whether a process is dead
	crashAt string
	panicAt string
	hangAt  string
	onPatch func(*process, release.RollbackRequest) // called as the cluster takes it
	process *process
}

// migrated is an empty database with its schema: making one takes longer than
// most of the tests.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "watchtower")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	st, err := store.Open(context.Background(), filepath.Join(dir, "w.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "w.db"))
})

func newWorld(t tester, dir string) *world {
	t.Helper()
	w := &world{t: t, dir: dir, cluster: newCluster(), alerts: newAlertmanager(), forge: &strictForge{}, sinks: map[string]*strictSink{"pager": newSink()}}
	empty, err := migrated()
	if err == nil {
		err = os.WriteFile(w.path(), empty, 0o600)
	}
	if err != nil {
		t.Fatalf("make a database: %v", err)
	}
	return w
}

// process is one life of Watchtower. What it reaches the world through dies
// with it.
type process struct {
	w         *world
	store     *store.Store
	responder *Responder
	reg       *prometheus.Registry
	cancel    context.CancelFunc
	ended     chan error
	dead      bool
	killed    chan struct{} // closed once the image of the database is taken
}

// fakeTime has River use the time of the test's bubble also where it would
// use the database's.
type fakeTime struct{}

func (fakeTime) Now() time.Time       { return time.Now() }
func (fakeTime) NowOrNil() *time.Time { now := time.Now(); return &now }

// arm has the process killed at a point.
func (w *world) arm(point string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.crashAt = point
}

func mkdirTemp(dir string) (string, error) { return os.MkdirTemp(dir, "run") }

func (w *world) path() string { return filepath.Join(w.dir, fmt.Sprintf("w%d.db", w.images)) }

// open opens the database without starting to act.
func (w *world) open() *process {
	w.t.Helper()
	st, err := store.Open(context.Background(), w.path(), slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatalf("open: %v", err)
	}
	p := &process{w: w, store: st, reg: prometheus.NewRegistry(), killed: make(chan struct{}), cancel: func() {}}
	deps := Deps{Name: "lab", Limits: w.limits, Cluster: p, Alerter: p, Forge: p, ExternalURL: "https://watchtower.example/", Route: w.route, Group: w.group}
	deps.Notifiers = make(map[string]Notifier)
	for name, s := range w.sinks {
		deps.Notifiers[name] = deliverer{p, s}
	}
	if w.bare {
		deps.Alerter, deps.Forge, deps.Notifiers = nil, nil, nil
	}
	p.responder, err = newResponder(st, deps, slog.New(slog.DiscardHandler), p.reg, func(c *river.Config) {
		c.Test.Time = fakeTime{}
		c.FetchPollInterval = 5 * time.Second // the bell must do; and asking is most of what a test costs
		c.Logger = slog.New(slog.DiscardHandler)
		c.Middleware = []rivertype.Middleware{river.WorkerMiddlewareFunc(p.afterWork)}
	})
	if err != nil {
		w.t.Fatalf("new: %v", err)
	}
	w.process = p
	return p
}

// start opens the database and acts.
func (w *world) start() *process {
	w.t.Helper()
	w.open()
	return w.run()
}

// run has an opened process act.
func (w *world) run() *process {
	p := w.process
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.ended = cancel, make(chan error, 1)
	go func() { p.ended <- p.responder.Run(ctx) }()
	return p
}

// stop ends the process in order.
func (p *process) stop() {
	p.w.t.Helper()
	p.cancel()
	if p.ended != nil {
		if err := <-p.ended; err != nil {
			p.w.t.Errorf("run: %v", err)
		}
	}
	if err := p.store.Close(); err != nil {
		p.w.t.Errorf("close: %v", err)
	}
}

// kill ends the process as SIGKILL would: from this moment on nothing of it
// reaches the world, and the next process finds the file as it is now.
func (p *process) kill() {
	p.w.mu.Lock()
	alive := !p.dead
	p.dead = true
	p.w.mu.Unlock()
	if alive {
		p.takeImage()
	}
	<-p.killed
}

// takeImage keeps the database of a process that has just died.
func (p *process) takeImage() {
	defer close(p.killed)
	from, to := p.w.path(), filepath.Join(p.w.dir, fmt.Sprintf("w%d.db", p.w.images+1))
	// The one connection is held, so that the files do not change while copied.
	err := p.store.Write(context.Background(), func(*store.Tx) error {
		return errors.Join(copyFile(from, to), copyFile(from+"-wal", to+"-wal"))
	})
	if err != nil {
		p.w.t.Errorf("copy the database: %v", err)
	}
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// crash kills the process, clears it away and starts the next one.
func (w *world) crash() *process {
	w.t.Helper()
	w.process.kill()
	return w.next()
}

// next clears a killed process away and starts the one after it.
func (w *world) next() *process {
	w.t.Helper()
	w.process.stop()
	w.images++
	return w.start()
}

// revive starts the next process when the last one has died, and reports
// whether it has. What was asked of that one since may be lost.
func (w *world) revive() bool {
	w.t.Helper()
	w.mu.Lock()
	dead := w.process.dead
	w.mu.Unlock()
	if dead {
		<-w.process.killed // its image is still being taken, perhaps
		w.next()
	}
	return dead
}

// decide has the process judge a release.
func (p *process) decide(rel release.Release, v release.Verdict, policy release.Policy) {
	p.w.t.Helper()
	if err := p.responder.Decide(context.Background(), rel, v, policy); err != nil {
		p.w.t.Fatalf("decide %s: %v", rel.Workload, err)
	}
}

// until waits in fake time for a condition, a second at a time.
func (w *world) until(what string, patience time.Duration, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			w.t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func (w *world) actions(id release.ID) map[string]release.Action {
	w.t.Helper()
	list, err := w.process.store.Actions(context.Background(), id)
	if err != nil {
		w.t.Fatalf("actions: %v", err)
	}
	out := make(map[string]release.Action, len(list))
	for _, a := range list {
		out[strings.TrimPrefix(a.Key, string(id)+"/")] = a
	}
	return out
}

// settled reports whether nothing is pending for a release any more.
func (w *world) settled(id release.ID) func() bool {
	return func() bool {
		w.t.Helper()
		for _, a := range w.actions(id) {
			if a.State == release.ActionPending {
				return false
			}
		}
		return true
	}
}

// audit is the audit of a release, a line a row.
func (w *world) audit(id release.ID) []string {
	w.t.Helper()
	rows, err := w.process.store.Audit(context.Background(), id, 0)
	if err != nil {
		w.t.Fatalf("audit: %v", err)
	}
	var out []string
	for _, r := range rows {
		out = append(out, r.What+" "+r.Outcome+": "+r.Why)
	}
	return out
}

func policy(autonomy release.Autonomy) release.Policy {
	p := release.DefaultPolicy()
	p.Name, p.Autonomy = "shop", autonomy
	return p
}

func verdict(rel release.Release, kind release.VerdictKind, final bool) release.Verdict {
	now := time.Now().UTC().Truncate(time.Millisecond)
	e := 5200.0
	v := release.Verdict{
		Release: rel.ID, Kind: kind, Final: final, UpdatedAt: now, EValue: 2100, Threshold: 1000,
		Evidence: []release.Evidence{{
			Signal: release.SignalErrorRatio, Baseline: release.ArmStable, EValue: &e, Unit: release.UnitRatio,
			BaselineValue: 2.0 / 1890, ReleaseValue: 31.0 / 634, Release: release.Count{Total: 634, Bad: 31}, Stable: release.Count{Total: 1890, Bad: 2},
			Effect:  &release.Effect{Ratio: 38, Low: 12, High: 160},
			Queries: []release.Query{{Source: "prometheus", Expr: `http_requests_total{namespace="shop"}[30s]`, From: now.Add(-time.Minute), To: now}},
		}},
	}
	if kind != release.Pending {
		v.DecidedAt = &now
	}
	v.Summary = release.Headline(rel, v)
	return v
}

// bad rolls a workload out to a first version, judged healthy, and to a
// second, which the caller may call regressed.
func (w *world) bad(name string) release.Release {
	w.t.Helper()
	first := w.cluster.deploy(name, 1)
	w.process.decide(first, verdict(first, release.Healthy, true), policy(release.AutonomyAuto))
	return w.cluster.deploy(name, 2)
}

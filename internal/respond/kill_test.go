//go:build unix

package respond

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

var (
	crashKills = flag.Int("crash.kills", 20, "how many processes TestKilledAtRandom kills on each database")
	crashFull  = flag.Bool("crash.full", false, "kill at every point on every database with one and two replicas, and print the table")
)

// killPoints are all points.
var killPoints = []point{
	pointDecided, pointPlanned, pointPatched, pointEvent, pointPosted, pointFound, pointOpened, pointDelivered,
	pointRestored, pointSettled, pointWatched, pointAsked,
}

// arena is where processes are killed: a world, a database, and replicas that are
// started again whenever they died.
type arena struct {
	t        *testing.T
	world    *outside
	order    order
	replicas []*exec.Cmd
	died     chan int // index of a replica
	n        int      // workloads
}

func newArena(t *testing.T, target string, replicas int, storm ...bool) *arena {
	a := &arena{t: t, died: make(chan int, replicas)}
	a.order.Storm = len(storm) > 0
	a.world, a.order.Socket = newOutside(t)
	a.order.Target = target
	a.replicas = make([]*exec.Cmd, replicas)
	for i := range replicas {
		a.start(i)
	}
	return a
}

func (a *arena) start(i int) {
	a.t.Helper()
	text, err := json.Marshal(a.order)
	if err != nil {
		a.t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(a.t.Context()), os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+string(text))
	cmd.Stdout = io.Discard
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.replicas[i] = cmd
	go func() {
		_ = cmd.Wait()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			a.t.Errorf("a process ended by itself: %s\n%s", cmd.ProcessState, said.String())
		}
		a.died <- i
	}()
}

// kill ends a replica and starts it again.
func (a *arena) kill(i int) {
	_ = a.replicas[i].Process.Kill()
	a.revive()
}

// revive waits for a replica to die and starts it again.
func (a *arena) revive() {
	a.t.Helper()
	select {
	case i := <-a.died:
		a.start(i)
	case <-time.After(time.Minute):
		a.end()
		a.t.Fatal("nothing died within a minute")
	}
}

// end kills all replicas for good.
func (a *arena) end() {
	for _, cmd := range a.replicas {
		_ = cmd.Process.Kill()
	}
	for range a.replicas {
		<-a.died
	}
	a.replicas = nil
}

// regress rolls a workload out to a version judged healthy and one that
// regressed.
func (a *arena) regress(autonomy release.Autonomy) release.Release {
	a.n++
	name := fmt.Sprintf("app%d", a.n)
	first, second := a.world.cluster.deploy(name, 1), a.world.cluster.deploy(name, 2)
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	a.world.cases = append(a.world.cases,
		judged{first, verdict(first, release.Healthy, true), release.AutonomyAuto},
		judged{second, verdict(second, release.Regressed, true), autonomy})
	a.world.settled = 0
	return second
}

// settle waits until everything has come to its end.
func (a *arena) settle() {
	a.t.Helper()
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(5 * time.Millisecond) { // other processes are waited for
		a.world.mu.Lock()
		settled, all := a.world.settled, len(a.world.cases)
		a.world.mu.Unlock()
		if settled == all {
			return
		}
		if time.Now().After(end) {
			a.end()
			a.t.Fatalf("%d of %d releases came to their end", settled, all)
		}
	}
}

// count is how often the effects of a release are missing, and how often there
// are too many.
func (a *arena) count(id release.ID) (lost, doubled int) {
	add := func(what string, n, want int) {
		switch {
		case n < want:
			lost += want - n
		case n > want:
			doubled += n - want
		default:
			return
		}
		a.t.Errorf("release %s: %d %s, want %d", id, n, what, want)
	}
	w := a.world
	patches := 0
	for _, req := range w.cluster.taken() {
		if req.Release == id {
			patches++
		}
	}
	add("rollbacks", patches, 1)
	issues := 0
	for _, is := range w.forge.opened() {
		issues += strings.Count(is.Body, release.Marker(id))
	}
	add("issues", issues, 1)
	events := 0
	for key := range w.cluster.eventTexts() {
		if strings.HasPrefix(key, string(id)+"/") {
			events++
		}
	}
	add("events", events, 2)
	w.chat.mu.Lock()
	posts := 0
	for _, m := range w.chat.posts {
		if m.Release == id {
			posts++
		}
	}
	told := slices.Clone(w.chat.told[release.MessageKey(id)])
	w.chat.mu.Unlock()
	add("messages", posts, 1)
	restored := slices.Index(told, release.SaysRestored)
	if restored != len(told)-1 || !slices.ContainsFunc(told, release.MessageState.Open) {
		lost++
		a.t.Errorf("release %s: people were told %v", id, told)
	}
	alerts, resolved := 0, 0
	w.alerts.mu.Lock()
	for _, al := range w.alerts.alerts {
		if al.Labels["release"] == string(id) {
			alerts++
			if !al.EndsAt.After(time.Now()) {
				resolved++
			}
		}
	}
	w.alerts.mu.Unlock()
	add("alerts", alerts, 1)
	add("ends of alerts", resolved, 1)
	return lost, doubled
}

// recorded holds the database against what happened: every effect has its one
// audit row.
func (a *arena) recorded(releases []release.Release) {
	a.t.Helper()
	st, err := store.Open(a.t.Context(), a.order.Target, slog.New(slog.DiscardHandler), store.ForCluster("lab"))
	if err != nil {
		a.t.Fatal(err)
	}
	defer st.Close()
	for _, rel := range releases {
		rows, err := st.Audit(a.t.Context(), rel.ID, 0)
		if err != nil {
			a.t.Fatal(err)
		}
		for _, want := range []string{"verdict regressed", "rollback done", "issue done", "alert done", "restored done"} {
			n := 0
			for _, row := range rows {
				if strings.HasPrefix(row.What+" "+row.Outcome, want) {
					n++
				}
			}
			if n != 1 {
				a.t.Errorf("release %s: %d audit rows %q", rel.ID, n, want)
			}
		}
	}
	if _, faults, err := st.VerifyAudit(a.t.Context()); err != nil || len(faults) > 0 {
		a.t.Errorf("the audit has the faults %v, %v", faults, err)
	}
}

// setting is a database and how many replicas use it.
type setting struct {
	name     string
	target   func(t *testing.T) string
	replicas int
}

func settings() []setting {
	file := func(t *testing.T) string { return filepath.Join(t.TempDir(), "w.db") }
	server := func(t *testing.T) string { return postgres.Fresh(t) }
	return []setting{{"SQLite, 1", file, 1}, {"SQLite, 2", file, 2}, {"PostgreSQL, 1", server, 1}, {"PostgreSQL, 2", server, 2}}
}

func TestEveryPointIsKilledAt(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "point.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && v.Names[0].Name != "onPoint" {
			named++
		}
		return true
	})
	if named != len(killPoints) {
		t.Fatalf("%d points are named, %d are killed at", named, len(killPoints))
	}
	var table strings.Builder
	all := settings()
	results := make(map[string][2]int)
	for _, s := range all {
		if !*crashFull && (s.replicas > 1 || (raceEnabled && s.name != "SQLite, 1")) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			a := newArena(t, s.target(t), s.replicas)
			by := make(map[point]release.Release)
			for _, p := range killPoints {
				a.world.mu.Lock()
				a.world.armed = p
				a.world.mu.Unlock()
				autonomy := release.AutonomyAuto
				if p == pointAsked {
					autonomy = release.AutonomyApprove
				}
				by[p] = a.regress(autonomy)
				a.revive()
			}
			a.settle()
			a.end()
			var releases []release.Release
			for p, rel := range by {
				lost, doubled := a.count(rel.ID)
				results[s.name+string(p)] = [2]int{lost, doubled}
				releases = append(releases, rel)
			}
			a.recorded(releases)
		})
	}
	if !*crashFull {
		return
	}
	fmt.Fprintf(&table, "lost / doubled effects, killed at\n%-52s", "")
	for _, s := range all {
		fmt.Fprintf(&table, "%16s", s.name)
	}
	for _, p := range killPoints {
		fmt.Fprintf(&table, "\n%-52s", p)
		for _, s := range all {
			cell := "not tested"
			if r, ok := results[s.name+string(p)]; ok {
				cell = fmt.Sprintf("%d / %d", r[0], r[1])
			}
			fmt.Fprintf(&table, "%16s", cell)
		}
	}
	fmt.Println(table.String())
}

func TestKilledAtRandom(t *testing.T) {
	for _, s := range settings() {
		if (!*crashFull && s.name != "SQLite, 1" && s.name != "PostgreSQL, 2") || ((testing.Short() || raceEnabled) && s.replicas > 1) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			a := newArena(t, s.target(t), s.replicas)
			var releases []release.Release
			began := time.Now()
			kills := *crashKills
			if raceEnabled {
				kills /= 3 // each takes longer to start
			}
			if *crashFull {
				kills /= 4 // of one and the same number over all
			}
			for n := range kills {
				if n%2 == 0 {
					releases = append(releases, a.regress([]release.Autonomy{release.AutonomyAuto, release.AutonomyApprove}[n/2%2]))
				}
				time.Sleep(time.Duration(rand.IntN(600)) * time.Millisecond) // the moment of death is what is random
				a.kill(rand.IntN(s.replicas))
			}
			a.settle()
			a.end()
			lost, doubled := 0, 0
			for _, rel := range releases {
				l, d := a.count(rel.ID)
				lost, doubled = lost+l, doubled+d
			}
			a.recorded(releases)
			line := fmt.Sprintf("%-16s %4d random kills, %4d releases in %s: %d lost, %d doubled", s.name, kills, len(releases), time.Since(began).Round(time.Second), lost, doubled)
			if *crashFull {
				fmt.Println(line)
			} else {
				t.Log(line)
			}
		})
	}
}

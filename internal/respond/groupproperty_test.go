package respond

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// groupRun is a random run in which the pager is told of everything together, by
// the first letter of the workload.
type groupRun struct {
	t        *rapid.T
	w        *world
	versions map[string]int
	current  map[string]release.Release
	final    map[release.ID]bool
	over     map[release.ID]bool
}

// TestWhatMustNeverHappenInGroups holds groups to what they promise, whatever
// becomes of their members, the receiver and the process.
func TestWhatMustNeverHappenInGroups(t *testing.T) {
	few(t, "25")
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			sub, err := mkdirTemp(dir)
			if err != nil {
				t.Fatal(err)
			}
			run := &groupRun{
				t: rt, w: newWorld(rt, sub), versions: make(map[string]int), current: make(map[string]release.Release),
				final: make(map[release.ID]bool), over: make(map[release.ID]bool),
			}
			grouped(run.w)
			run.w.group = func(m release.Message, receiver string) (Grouping, bool) {
				return Grouping{Key: m.Workload.Name[:1], Wait: groupWait, Interval: groupInterval}, receiver == "pager"
			}
			run.w.limits = DefaultLimits()
			run.w.limits.Regressions, run.w.limits.Rollbacks, run.w.limits.RollbacksPerNamespace = 1000, 1000, 1000
			run.w.start()
			defer func() { run.w.process.stop() }()
			for range rapid.IntRange(3, 30).Draw(rt, "steps") {
				run.step()
				run.look()
			}
			run.settle()
			run.check()
		})
	})
}

func (r *groupRun) step() {
	name := rapid.SampledFrom([]string{"webapp", "wiki", "backend", "billing"}).Draw(r.t, "workload")
	r.w.revive()
	rel, deployed := r.current[name]
	what := rapid.SampledFrom([]string{"deploy", "judge", "judge", "judge", "close", "approve", "wait", "wait", "wait", "kill", "arm", "pager"}).Draw(r.t, "step")
	if !deployed {
		what = "deploy"
	}
	switch what {
	case "deploy":
		if deployed && !r.over[rel.ID] {
			r.close(rel)
		}
		r.versions[name]++
		r.current[name] = r.w.cluster.deploy(name, r.versions[name])
	case "judge":
		r.judge(rel)
	case "close":
		r.close(rel)
	case "approve": // what is refused is no fault
		_ = r.w.process.responder.Approve(context.Background(), rel.ID, ann)
	case "wait":
		time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, 3 * time.Second, groupWait, 70 * time.Second, groupInterval, time.Hour}).Draw(r.t, "wait"))
	case "kill":
		r.w.crash()
	case "arm":
		r.w.arm(rapid.SampledFrom([]string{"before message", "after message", "after watchtower_action"}).Draw(r.t, "point"))
	case "pager":
		r.w.sinks["pager"].fail(away(rapid.Bool().Draw(r.t, "down")))
	}
}

func (r *groupRun) judge(rel release.Release) {
	if r.final[rel.ID] || r.over[rel.ID] {
		return
	}
	v := verdict(rel, rapid.SampledFrom(kinds).Draw(r.t, "verdict"), rapid.Bool().Draw(r.t, "final"))
	r.final[rel.ID] = v.Final
	p := policy(rapid.SampledFrom([]release.Autonomy{release.AutonomyAuto, release.AutonomyApprove, release.AutonomyAlert}).Draw(r.t, "autonomy"))
	for lost := true; lost; lost = r.w.revive() {
		r.w.process.decide(rel, v, p)
	}
}

func (r *groupRun) close(rel release.Release) {
	r.over[rel.ID] = true
	for lost := true; lost; lost = r.w.revive() {
		if err := r.w.process.responder.Closed(context.Background(), rel.ID, "the workload was deleted"); err != nil {
			r.t.Fatalf("close: %v", err)
		}
	}
}

// look holds what the pager shows now to what must never be.
func (r *groupRun) look() {
	groups, _ := r.w.groups()
	open := map[string]int{}
	for _, g := range groups {
		key, _, _ := strings.Cut(strings.TrimPrefix(g.message.Key, groupPrefix), "-")
		if g.message.State.Open() {
			open[key]++
		}
		for i := 1; i < len(g.at); i++ {
			if d := g.at[i].Sub(g.at[i-1]); d < groupInterval {
				r.t.Fatalf("told again of a group after %s: %v", d, g.history)
			}
		}
	}
	for key, n := range open {
		if n > 1 {
			r.t.Fatalf("%d messages of group %s are open", n, key)
		}
	}
}

// settle ends everything and gives it time to be told.
func (r *groupRun) settle() {
	r.w.arm("")
	r.w.revive()
	r.w.sinks["pager"].fail(nil)
	for _, rel := range r.current {
		r.close(rel)
	}
	time.Sleep(30 * time.Minute)
	r.w.revive()
	time.Sleep(2 * time.Hour) // a rollback that does not help is given up after one
	r.look()
}

// check holds what was told to how things stand at last.
func (r *groupRun) check() {
	if wrongs := r.w.sinks["pager"].wrongs(); len(wrongs) > 0 {
		r.t.Errorf("receiver: %v", wrongs)
	}
	groups, alone := r.w.groups()
	last := map[release.ID]release.MessageState{} // that was told in a group
	for _, g := range groups {
		if slices.ContainsFunc(g.history, release.MessageState.Open) && !g.message.State.Over() {
			r.t.Errorf("%s was told open, and never told ended: %v", g.message.Key, g.history)
		}
		for _, m := range g.message.Members {
			last[m.Message.Release] = m.State // a later group is a later word
		}
	}
	byItself := map[release.ID]release.MessageState{}
	for _, s := range alone {
		if slices.ContainsFunc(s.history, release.MessageState.Open) && !s.message.State.Over() {
			r.t.Errorf("%s was told open, and never told ended: %v", s.message.Key, s.history)
		}
		byItself[s.message.Release] = s.message.State
	}
	for _, rel := range r.current {
		told, in := last[rel.ID]
		if in && told.Open() {
			r.t.Errorf("the last that was told of %s in a group is %s", rel.Workload, told)
		}
		if own, too := byItself[rel.ID]; in && too && own != told {
			r.t.Errorf("%s is told as %s in its group and as %s by itself", rel.Workload, told, own)
		}
		r.checkHeard(rel, in)
	}
}

// checkHeard looks that somebody heard of what somebody should know of.
func (r *groupRun) checkHeard(rel release.Release, inGroup bool) {
	rec, err := r.w.process.store.Release(context.Background(), rel.ID)
	if release.ErrorCode(err) == release.CodeNotFound {
		return
	}
	if err != nil {
		r.t.Fatalf("release: %v", err)
	}
	if told := r.w.sinks["pager"].told(rel.ID); rec.Verdict.Kind == release.Regressed && rec.Verdict.Final && !inGroup && len(told) == 0 {
		r.t.Errorf("nobody was told that %s regressed", rel.Workload)
	}
}

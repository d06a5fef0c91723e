package respond

import (
	"context"
	"flag"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// history is what a random run did to one release.
type history struct {
	rel    release.Release
	policy release.Policy
	// condemned: a final verdict of a regression was recorded, under this policy
	// and with evidence or without.
	condemned *release.Policy
	evidence  bool
	approved  bool      // a person did so, and was not refused
	asked     bool      // a person had it rolled back
	wrong     time.Time // a person marked the verdict as wrong then
}

type randomRun struct {
	t                *rapid.T
	workloads, steps []string // of which one is drawn
	w                *world
	versions         map[string]int
	current          map[string]*history
	all              []*history
	// Patches as the cluster took them, when breakers were open at that moment.
	patched []patched
	closed  []time.Time // when a person closed a breaker, which begins the count anew
}

type patched struct {
	at      time.Time
	release release.ID
}

// TestWhatMustNeverHappen drives the responder with random deploys, verdicts,
// policies, faults and kills, and holds it to the invariants.
func TestWhatMustNeverHappen(t *testing.T) {
	few(t, "40")
	randomRuns(t, 25, []string{"webapp", "backend"}, []string{
		"deploy", "deploy", "judge", "judge", "judge", "judge", "judge earlier", "wait", "wait", "kill", "arm", "cluster", "alerts", "forge", "pager", "forget", "close",
		"close earlier", "approve", "approve", "reject", "retry", "drop", "roll back", "mark wrong", "snooze", "acknowledge", "open breaker", "close breaker", "close breaker",
	})
}

// TestWhatPeopleAskForMustNeverHappenOtherwise is the same, with one workload about
// which people do much.
func TestWhatPeopleAskForMustNeverHappenOtherwise(t *testing.T) {
	few(t, "40")
	randomRuns(t, 40, []string{"webapp"}, []string{
		"deploy", "deploy", "deploy", "judge", "condemn", "condemn", "condemn", "wait", "wait", "kill", "arm", "cluster", "cluster", "pager", "close",
		"approve", "reject", "retry", "roll back", "roll back", "mark wrong", "mark wrong", "mark wrong", "mark wrong", "mark wrong", "snooze", "snooze", "acknowledge",
	})
}

func randomRuns(t *testing.T, most int, workloads, steps []string) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		// Without Deadline, which tells real time and may not be asked in a bubble.
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			sub, err := mkdirTemp(dir)
			if err != nil {
				t.Fatal(err)
			}
			run := &randomRun{t: rt, workloads: workloads, steps: steps, w: newWorld(rt, sub), versions: make(map[string]int), current: make(map[string]*history)}
			run.w.onPatch = run.checkPatch
			if rapid.Bool().Draw(rt, "tight limits") {
				run.w.limits = Limits{
					Rollbacks: 2, RollbacksPerNamespace: 2, Window: 10 * time.Minute,
					Regressions: 3, Within: time.Minute, OpenFor: 5 * time.Minute, ApproveWithin: 3 * time.Minute,
				}
			}
			run.w.start()
			defer func() { run.w.process.stop() }()
			for range rapid.IntRange(3, most).Draw(rt, "steps") {
				run.step()
			}
			run.settle()
			run.check()
		})
	})
}

// few bounds how many runs rapid makes unless told otherwise: each is a whole life
// with several databases.
func few(t *testing.T, n string) {
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() != checks.DefValue {
		return
	}
	switch {
	case raceEnabled:
		n = "4"
	case testing.Short():
		n = "8"
	}
	if err := flag.Set("rapid.checks", n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set("rapid.checks", checks.DefValue) })
}

var kinds = []release.VerdictKind{release.Regressed, release.Regressed, release.Healthy, release.Pending, release.InsufficientData, release.SourceBroken}

func (r *randomRun) step() {
	name := rapid.SampledFrom(r.workloads).Draw(r.t, "workload")
	h := r.current[name]
	what := rapid.SampledFrom(r.steps).Draw(r.t, "step")
	w := r.w
	if h == nil {
		what = "deploy"
	}
	w.revive()
	switch what {
	case "deploy":
		r.versions[name]++
		p := policy(rapid.SampledFrom([]release.Autonomy{release.AutonomyAuto, release.AutonomyAuto, release.AutonomyApprove, release.AutonomyAlert, release.AutonomyObserve}).Draw(r.t, "autonomy"))
		r.current[name] = &history{rel: w.cluster.deploy(name, r.versions[name]), policy: p}
		r.all = append(r.all, r.current[name])
	case "judge":
		r.judge(h)
	case "condemn":
		r.decide(h, verdict(h.rel, release.Regressed, true))
	case "judge earlier":
		r.judge(rapid.SampledFrom(r.all).Draw(r.t, "release"))
	case "wait":
		time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, 100 * time.Millisecond, 3 * time.Second, 70 * time.Second}).Draw(r.t, "wait"))
	case "kill":
		w.crash()
	case "arm":
		w.arm(rapid.SampledFrom(points).Draw(r.t, "point"))
	case "cluster":
		w.cluster.setDown(rapid.Bool().Draw(r.t, "down"))
	case "alerts":
		w.alerts.fail(away(rapid.Bool().Draw(r.t, "down")))
	case "forge":
		w.forge.fail(away(rapid.Bool().Draw(r.t, "down")))
	case "pager":
		w.sinks["pager"].fail(away(rapid.Bool().Draw(r.t, "down")))
	case "forget":
		w.cluster.forget(name, func(rs release.ReplicaSet) bool {
			return rs.UID == h.rel.ReplicaSet.UID || rapid.Bool().Draw(r.t, "keep")
		})
	case "close":
		r.close(h)
	case "close earlier": // an event that comes late, or again
		r.close(rapid.SampledFrom(r.all).Draw(r.t, "release"))
	default:
		if rapid.Bool().Draw(r.t, "of an earlier one") {
			h = rapid.SampledFrom(r.all).Draw(r.t, "release")
		}
		r.click(what, h)
	}
}

func (r *randomRun) close(h *history) {
	if err := r.w.process.responder.Closed(context.Background(), h.rel.ID, "superseded"); err != nil {
		r.t.Fatalf("close: %v", err)
	}
}

// click has a person do something. What is refused, or asked of what is not there,
// is no fault.
func (r *randomRun) click(what string, h *history) {
	ctx, resp, by := context.Background(), r.w.process.responder, release.By{Actor: "ann", Reason: "so it is"}
	key := string(h.rel.ID) + "/" + rapid.SampledFrom([]string{"rollback", "issue", "alert", "event", "message/pager"}).Draw(r.t, "action")
	namespace := rapid.SampledFrom([]string{"", "shop"}).Draw(r.t, "namespace")
	var err error
	switch what {
	case "approve":
		if err = resp.Approve(ctx, h.rel.ID, by); err == nil {
			h.approved = true
		}
	case "roll back":
		if err = resp.RollBack(ctx, h.rel.ID, by); err == nil {
			h.asked = true
		}
	case "mark wrong":
		if err = resp.MarkWrong(ctx, h.rel.ID, by); err == nil {
			h.wrong = time.Now()
		}
	case "snooze":
		_, err = resp.Snooze(ctx, h.rel.ID, "", rapid.SampledFrom([]time.Duration{5 * time.Second, 2 * time.Minute}).Draw(r.t, "snooze"), by)
	case "acknowledge":
		err = resp.Acknowledged(ctx, release.MessageKey(h.rel.ID), acknowledgement(release.Acknowledged, time.Now()))
	case "reject":
		err = resp.Reject(ctx, h.rel.ID, by)
	case "retry":
		err = resp.Retry(ctx, key, by)
	case "drop":
		err = resp.Drop(ctx, key, by)
	case "open breaker":
		err = resp.OpenBreaker(ctx, namespace, rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(r.t, "for"), by)
	case "close breaker":
		if err = resp.CloseBreaker(ctx, namespace, rapid.Bool().Draw(r.t, "resume"), by); err == nil {
			r.closed = append(r.closed, time.Now())
		}
	}
	if code := release.ErrorCode(err); err != nil && code != release.CodeRefused && code != release.CodeNotFound {
		r.t.Fatalf("%s: %v", what, err)
	}
}

func away(down bool) error {
	if down {
		return release.E(release.CodeUnavailable, "away", nil)
	}
	return nil
}

func (r *randomRun) judge(h *history) {
	v := verdict(h.rel, rapid.SampledFrom(kinds).Draw(r.t, "verdict"), rapid.Bool().Draw(r.t, "final"))
	switch rapid.IntRange(0, 5).Draw(r.t, "evidence") {
	case 0:
		v.Evidence = nil
	case 1:
		v.Evidence[0].ReleaseValue, v.EValue = math.NaN(), math.Inf(1)
	}
	r.decide(h, v)
}

func (r *randomRun) decide(h *history, v release.Verdict) {
	if v.Kind == release.Regressed && v.Final && h.condemned == nil {
		p := h.policy
		h.condemned, h.evidence = &p, len(v.Evidence) > 0
	}
	// A verdict may die with its process, and is found again by the next one's loop.
	for lost := true; lost; lost = r.w.revive() {
		r.w.process.decide(h.rel, v, h.policy)
	}
}

// checkPatch looks at the database at the moment the cluster takes a patch.
func (r *randomRun) checkPatch(p *process, req release.RollbackRequest) {
	ctx := context.Background()
	rec, err := p.store.Release(ctx, req.Release)
	asked := slices.ContainsFunc(r.all, func(h *history) bool { return h.rel.ID == req.Release && h.asked })
	if err != nil || (!asked && (rec.Verdict.Kind != release.Regressed || !rec.Verdict.Final || len(rec.Verdict.Evidence) == 0)) {
		r.t.Errorf("rolled back %s on the verdict %s with %d evidences, %v", req.Release, rec.Verdict.Kind, len(rec.Verdict.Evidence), err)
	}
	if w := rec.Verdict.Wrong; w != nil && time.Since(w.At) > 0 {
		r.t.Errorf("rolled back %s %s after its verdict was marked wrong", req.Release, time.Since(w.At))
	}
	approved := slices.ContainsFunc(r.all, func(h *history) bool { return h.rel.ID == req.Release && h.approved })
	mayDo := rec.Policy.Autonomy == release.AutonomyAuto || (approved && rec.Policy.Autonomy == release.AutonomyApprove)
	if !mayDo && !asked {
		r.t.Errorf("rolled back %s under autonomy %s", req.Release, rec.Policy.Autonomy)
	}
	r.checkLimits(req.Release)
	judged, err := p.store.Judged(ctx, req.Workload.Cluster, req.Workload.UID)
	if err != nil || judged[req.Target.UID] == release.Regressed || req.Target.UID == req.From.UID {
		r.t.Errorf("rolled back %s to %s, judged %q, %v", req.Release, req.Target.Name, judged[req.Target.UID], err)
	}
}

// checkLimits counts the rollbacks of the window, as far back as a person closed a
// breaker.
func (r *randomRun) checkLimits(id release.ID) {
	limits := r.w.limits
	if limits == (Limits{}) {
		limits = DefaultLimits()
	}
	breakers, err := r.w.process.responder.Breakers(context.Background())
	if err != nil {
		r.t.Fatalf("breakers: %v", err)
	}
	for _, b := range breakers {
		if b.Holds("shop", time.Now()) && r.granted(id).After(b.ChangedAt) {
			r.t.Errorf("%s was let through while the breaker of %s was open", id, b.Scope())
		}
	}
	// A rollback is let through a moment before it is done, or, where the process
	// died or the cluster was away in between, longer before.
	now := time.Now()
	r.patched = append(r.patched, patched{now, id})
	since := now.Add(-limits.Window)
	for _, at := range r.closed {
		if at.After(since) {
			since = at
		}
	}
	n := 0
	for _, p := range r.patched {
		if p.at.After(since) {
			n++
		}
	}
	if n > limits.RollbacksPerNamespace+r.letThroughBefore(since) {
		r.t.Errorf("%d rollbacks within %s of one another", n, now.Sub(since))
	}
}

// letThroughBefore counts the rollbacks done since a moment that were let through
// before it.
func (r *randomRun) letThroughBefore(since time.Time) (n int) {
	for _, p := range r.patched {
		if p.at.After(since) && !r.granted(p.release).After(since) {
			n++
		}
	}
	return n
}

// granted is when a rollback was let through the breaker.
func (r *randomRun) granted(id release.ID) time.Time {
	var at int64
	err := r.w.process.store.DB().QueryRowContext(context.Background(), `SELECT at FROM grants WHERE action_key = ?`,
		release.ActionKey(id, release.ActionRollback)).Scan(&at)
	if err != nil {
		r.t.Errorf("%s was rolled back without being let through: %v", id, err)
	}
	return time.UnixMilli(at)
}

// checkTold holds the pager to have been told the newest of everything, however it
// was snoozed, and nothing to be open that was marked wrong.
func (r *randomRun) checkTold() {
	ctx := context.Background()
	for _, h := range r.all {
		d, found, err := r.w.process.store.Delivery(ctx, release.SinkKey(h.rel.ID, release.ActionMessage, "pager"))
		if err != nil {
			r.t.Fatalf("delivery: %v", err)
		}
		a := r.w.actions(h.rel.ID)["message/pager"]
		if found && d.Behind() && a.State != release.ActionVoid && a.State != release.ActionPending {
			r.t.Errorf("the pager was not told the newest of %s: %+v, %s (%s)", h.rel.ReplicaSet.Name, d, a.State, a.Detail)
		}
		undone := r.w.actions(h.rel.ID)["rollback"].State == release.ActionDone // whether it helped ends the alert
		if _, firing := r.w.alerts.of(h.rel.ID); !h.wrong.IsZero() && !undone && firing {
			r.t.Errorf("the alert of %s fires although its verdict was marked wrong", h.rel.ReplicaSet.Name)
		}
	}
}

// settle ends all faults and lets everything come to its end.
func (r *randomRun) settle() {
	r.w.arm("")
	r.w.revive()
	r.w.cluster.setDown(false)
	r.w.alerts.fail(nil)
	r.w.forge.fail(nil)
	r.w.sinks["pager"].fail(nil)
	for _, h := range r.all {
		r.w.until("settled", 15*time.Minute, r.w.settled(h.rel.ID))
	}
	time.Sleep(3*time.Minute + 10*time.Second) // snoozes end, too, and what follows is told
}

func (r *randomRun) check() {
	patches := make(map[release.ID]int)
	for _, req := range r.w.cluster.taken() {
		patches[req.Release]++
	}
	issues := r.w.forge.opened()
	if wrongs := r.w.sinks["pager"].wrongs(); len(wrongs) > 0 {
		r.t.Errorf("receiver: %v", wrongs)
	}
	r.checkTold()
	for _, h := range r.all {
		id := h.rel.ID
		actions := r.w.actions(id)
		delete(actions, "message/pager")
		audit := strings.Join(r.w.audit(id), "\n")
		marked := 0
		for _, is := range issues {
			marked += strings.Count(is.Body, release.Marker(id))
		}
		if h.condemned == nil && h.asked {
			if n := patches[id]; n > 1 || (n == 1) != (actions["rollback"].State == release.ActionDone) {
				r.t.Errorf("%d patches of %s, whose rollback was asked for and is %s", n, h.rel.ReplicaSet.Name, actions["rollback"].State)
			}
			continue
		}
		if h.condemned == nil {
			if len(actions) > 0 || patches[id] > 0 || marked > 0 {
				r.t.Errorf("%s was never condemned: actions %v, %d patches, %d issues", h.rel.ReplicaSet.Name, actions, patches[id], marked)
			}
			continue
		}
		allowed := h.condemned.Autonomy
		if n := strings.Count(audit, "decision "); n != 1 {
			r.t.Errorf("%d decisions on %s:\n%s", n, h.rel.ReplicaSet.Name, audit)
		}
		want := 0
		if allowed.Allows(release.AutonomyAlert) {
			want = 1
		}
		if issue, ok := actions["issue"]; ok && (issue.State == release.ActionWaiting || issue.State == release.ActionVoid) {
			want = 0 // held by the breaker, dropped, or taken back
		}
		if marked != want {
			r.t.Errorf("%d issues of %s under autonomy %s, want %d", marked, h.rel.ReplicaSet.Name, allowed, want)
		}
		rollback, decided := actions["rollback"]
		done := decided && rollback.State == release.ActionDone
		switch {
		case decided != (allowed.Allows(release.AutonomyApprove) || h.asked):
			r.t.Errorf("rollback of %s under autonomy %s: %v", h.rel.ReplicaSet.Name, allowed, rollback)
		case patches[id] > 1 || (patches[id] == 1) != done:
			r.t.Errorf("%d patches of %s, and the rollback is %s: %s", patches[id], h.rel.ReplicaSet.Name, rollback.State, rollback.Detail)
		case decided && !strings.Contains(audit, "rollback "+string(rollback.State)+": "+rollback.Detail):
			r.t.Errorf("no audit row says that the rollback of %s is %s: %s\n%s", h.rel.ReplicaSet.Name, rollback.State, rollback.Detail, audit)
		case decided && !h.evidence && !h.asked && rollback.State != release.ActionRefused && rollback.State != release.ActionVoid:
			r.t.Errorf("without evidence the rollback of %s is %s", h.rel.ReplicaSet.Name, rollback.State)
		}
	}
	r.w.alerts.mu.Lock()
	defer r.w.alerts.mu.Unlock()
	var releases []string
	for _, a := range r.w.alerts.alerts {
		releases = append(releases, a.Labels["release"])
	}
	slices.Sort(releases)
	if unique := slices.Compact(slices.Clone(releases)); len(unique) != len(releases) {
		r.t.Errorf("two alerts for one release: %v", fmt.Sprint(releases))
	}
}

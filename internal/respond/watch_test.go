package respond

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/verify"
)

// watched is the strict cluster as the loop watches it: the pods of a bad version
// crash.
type watched struct {
	cluster *strictCluster
	mu      sync.Mutex
	follows map[release.ID]release.Release
	bad     map[string]bool // by UID of the ReplicaSet
}

func (w *watched) Follow(r release.Release) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.follows[r.ID] = r
}

func (w *watched) Unfollow(id release.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.follows, id)
}

// Peers are none: what others suffer too is not what is looked at here.
func (w *watched) Peers(string) []string { return nil }

func (w *watched) Observe(id release.ID) (release.Observation, bool) {
	w.mu.Lock()
	r, ok := w.follows[id]
	bad := w.bad[r.ReplicaSet.UID]
	w.mu.Unlock()
	if !ok {
		return release.Observation{}, false
	}
	w.cluster.mu.Lock()
	current := w.cluster.deploys[r.Workload.Name].current
	w.cluster.mu.Unlock()
	at := r.StartedAt
	o := release.Observation{Exists: true, Current: current == r.ReplicaSet.UID, Replicas: 2, Complete: !bad}
	for _, name := range []string{"a", "b"} {
		pod := release.Pod{Name: r.ReplicaSet.Name + name, CreatedAt: at, ReadyAt: &at}
		if bad {
			pod.ReadyAt, pod.Problems = nil, []release.Problem{{Kind: release.CrashLoop, Container: "app", Message: "exit 1"}}
		}
		o.Release.Pods = append(o.Release.Pods, pod)
	}
	return o, true
}

// snapshot is a Deployment as a watch event shows it.
func (w *watched) snapshot(name string) release.Rollout {
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	d := w.cluster.deploys[name]
	ro := release.Rollout{Workload: d.workload, Generation: d.generation, Replicas: 2}
	if d.rolledBack != "" {
		ro.Annotations = map[string]string{strings.TrimPrefix(release.AnnotationRolledBackRelease, release.AnnotationPrefix): string(d.rolledBack)}
	}
	for _, rs := range d.sets {
		if rs.UID == d.current {
			ro.Current = rs
			if d.rolledBack != "" {
				ro.Annotations[strings.TrimPrefix(release.AnnotationRolledBackTo, release.AnnotationPrefix)] = rs.Name
			}
			continue
		}
		ro.Others = append(ro.Others, release.RolloutReplicaSet{ReplicaSet: rs})
	}
	if len(ro.Others) > 0 {
		ro.Others[0].Replicas, ro.Others[0].Ready = 2, 2
	}
	return ro
}

// silent is a metric store without a series.
type silent struct{}

func (silent) Read(context.Context, time.Time, []signal.Subject) map[release.ID]signal.Result {
	return nil
}

func (silent) History(context.Context, []signal.Subject, time.Duration) map[release.ID]signal.Result {
	return nil
}

func (silent) Rollouts(context.Context, []signal.Subject, time.Duration) map[release.ID]signal.Result {
	return nil
}

func (silent) Forget(release.ID) {}

// loopRecorder is the loop's way to a process, as app's is.
type loopRecorder struct{ p *process }

func (l loopRecorder) Seen(ctx context.Context, r release.Release, p release.Policy) error {
	return l.p.responder.Seen(ctx, r, p)
}

func (l loopRecorder) Decide(ctx context.Context, r release.Release, v release.Verdict, p release.Policy) error {
	return l.p.responder.Decide(ctx, r, v, p)
}

func (l loopRecorder) Superseded(ctx context.Context, w release.Workload, by release.ID, why string) error {
	earlier, err := l.p.store.Releases(ctx, store.Filter{Namespace: w.Namespace, Workload: w.Name, Verdict: release.Regressed})
	if err != nil {
		return err
	}
	for _, rec := range earlier {
		if rec.Release.ID != by {
			if err := l.p.responder.Closed(ctx, rec.Release.ID, why); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l loopRecorder) Refused(context.Context, release.ID, string, string) error { return nil }

func (l loopRecorder) Live(ctx context.Context) ([]verify.Recorded, error) {
	records, err := l.p.store.Live(ctx, "lab")
	var out []verify.Recorded
	for _, rec := range records {
		out = append(out, verify.Recorded{Release: rec.Release, Policy: rec.Policy, Verdict: rec.Verdict})
	}
	return out, err
}

func (l loopRecorder) Judged(ctx context.Context, w release.Workload) (map[string]release.VerdictKind, error) {
	return l.p.store.Judged(ctx, "lab", w.UID)
}

func (l loopRecorder) Earlier(context.Context, release.Release) ([]verify.Earlier, error) {
	return nil, nil
}

type onePolicy struct{ release.Policy }

func (p onePolicy) PolicyFor(string, string, map[string]string) (release.Policy, []error) {
	return p.Policy, nil
}

// watchRun is a loop over a process over a cluster.
type watchRun struct {
	t        *rapid.T
	w        *world
	watched  *watched
	verifier *verify.Verifier
	cancel   context.CancelFunc
	ended    chan error
	seen     map[string][]release.Rollout // events of each workload that may come again
	versions map[string]int
}

func (r *watchRun) begin() {
	r.verifier = verify.New(verify.Config{Cluster: "lab", Tick: 5 * time.Second}, verify.Deps{
		Cluster: r.watched, Source: silent{}, Recorder: loopRecorder{r.w.process}, Policies: onePolicy{policy(release.AutonomyAuto)},
		Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	go func() { r.ended <- r.verifier.Run(ctx) }()
}

func (r *watchRun) end() {
	r.cancel()
	if err := <-r.ended; err != nil && !errors.Is(err, context.Canceled) {
		r.t.Errorf("the loop ended: %v", err)
	}
}

// restart kills the process and starts loop and process anew, which lists what
// there is.
func (r *watchRun) restart() {
	r.end()
	r.w.crash()
	r.begin()
	r.relist()
}

func (r *watchRun) relist() {
	for name := range r.versions {
		r.verifier.Rollout(r.watched.snapshot(name))
	}
}

func (r *watchRun) step() {
	name := rapid.SampledFrom([]string{"webapp", "backend", "cart"}).Draw(r.t, "workload")
	what := rapid.SampledFrom([]string{"deploy", "deploy", "lost deploy", "again", "earlier", "wait", "wait", "kill", "relist", "cluster", "click"}).Draw(r.t, "step")
	if r.versions[name] == 0 {
		what = "deploy"
	}
	switch what {
	case "deploy", "lost deploy":
		if ro := r.deploy(name, rapid.Bool().Draw(r.t, "bad")); what == "deploy" {
			r.verifier.Rollout(ro)
		}
	case "again":
		r.verifier.Rollout(r.watched.snapshot(name))
	case "earlier": // as no watch should, but a slow one may
		r.verifier.Rollout(rapid.SampledFrom(r.seen[name]).Draw(r.t, "event"))
	case "wait":
		time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 20 * time.Second}).Draw(r.t, "wait"))
	case "kill":
		r.restart()
	case "relist":
		r.relist()
	case "cluster":
		r.w.cluster.setDown(rapid.Bool().Draw(r.t, "down"))
	case "click":
		err := r.w.process.responder.CloseBreaker(context.Background(), "", true, release.By{Actor: "ann", Reason: "so it is"})
		if err != nil && release.ErrorCode(err) != release.CodeRefused {
			r.t.Fatalf("close: %v", err)
		}
	}
}

// deploy has the cluster roll out the next version of a workload.
func (r *watchRun) deploy(name string, bad bool) release.Rollout {
	r.versions[name]++
	rel := r.w.cluster.deploy(name, r.versions[name])
	r.watched.mu.Lock()
	r.watched.bad[rel.ReplicaSet.UID] = bad
	r.watched.mu.Unlock()
	ro := r.watched.snapshot(name)
	r.seen[name] = append(r.seen[name], ro)
	return ro
}

// TestNoWatchEventMisleads has the whole loop watch a cluster whose events are
// lost, come again, late or all anew, while versions come and processes die. Only
// a bad version that runs is ever rolled back, once, to another; and one that
// still runs in the end has been dealt with.
func TestNoWatchEventMisleads(t *testing.T) {
	few(t, "15")
	dir := t.TempDir()
	rollbacks := 0
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			sub, err := mkdirTemp(dir)
			if err != nil {
				t.Fatal(err)
			}
			r := &watchRun{t: rt, w: newWorld(rt, sub), seen: make(map[string][]release.Rollout), versions: make(map[string]int)}
			r.watched = &watched{cluster: r.w.cluster, follows: make(map[release.ID]release.Release), bad: make(map[string]bool)}
			r.w.onPatch = r.checkPatch
			r.w.start()
			r.begin()
			defer func() {
				r.end()
				r.w.process.stop()
			}()
			for _, bad := range []bool{false, true} { // one at least is rolled back
				r.verifier.Rollout(r.deploy("webapp", bad))
				time.Sleep(20 * time.Second)
			}
			for range rapid.IntRange(5, 30).Draw(rt, "steps") {
				r.step()
			}
			r.w.cluster.setDown(false)
			r.restart()
			time.Sleep(5 * time.Minute)
			r.check()
			rollbacks += len(r.w.cluster.taken())
		})
	})
	if t.Logf("%d rollbacks", rollbacks); rollbacks == 0 {
		t.Error("nothing was ever rolled back: the test tests nothing")
	}
}

func (r *watchRun) checkPatch(_ *process, req release.RollbackRequest) {
	r.watched.mu.Lock()
	defer r.watched.mu.Unlock()
	if !r.watched.bad[req.From.UID] {
		r.t.Errorf("%s is sound, and was rolled back", req.From.Name)
	}
	if req.Target.UID == req.From.UID {
		r.t.Errorf("%s was rolled back to itself", req.From.Name)
	}
}

func (r *watchRun) check() {
	seen := make(map[release.ID]bool)
	for _, req := range r.w.cluster.taken() {
		if seen[req.Release] {
			r.t.Errorf("%s was rolled back twice", req.From.Name)
		}
		seen[req.Release] = true
	}
	for name := range r.versions {
		r.w.cluster.mu.Lock()
		d := r.w.cluster.deploys[name]
		current, uid := d.current, d.workload.UID
		r.w.cluster.mu.Unlock()
		rec, err := r.w.process.store.Release(context.Background(), release.NewID("lab", uid, current))
		if err != nil || rec.Verdict.Kind != release.Regressed {
			continue // never seen as a release of its own, or closed before it was judged
		}
		a, err := r.w.process.store.Action(context.Background(), release.ActionKey(rec.Release.ID, release.ActionRollback))
		settled := []release.ActionState{release.ActionRefused, release.ActionVoid, release.ActionWaiting}
		if err != nil || !slices.Contains(settled, a.State) {
			r.t.Errorf("%s is bad and runs, and its rollback is %s: %s, %v", current, a.State, a.Detail, err)
			continue
		}
		if audit := strings.Join(r.w.audit(rec.Release.ID), "\n"); !strings.Contains(audit, "rollback "+string(a.State)) {
			r.t.Errorf("no audit row says that the rollback of %s is %s:\n%s", current, a.State, audit)
		}
	}
}

// Package verify is the loop: a rollout becomes a release, its requests are
// counted, the judge looks at every tick, and what it finds becomes a verdict.
// It is the only room that knows the whole way; everything that acts or
// decides is handed the result.
package verify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// Cluster is what the loop needs of Kubernetes: the state of the rollouts it
// follows, from caches. None of the methods blocks.
type Cluster interface {
	// Follow starts watching the pods of a release's arms; a second call is harmless.
	Follow(release.Release)
	Unfollow(release.ID)
	// Observe tells how a followed rollout stands; false until its caches are filled.
	Observe(release.ID) (release.Observation, bool)
	// Peers names the workloads of a namespace, in order.
	Peers(namespace string) []string
}

// Source counts requests. An error concerns one subject and changes no state:
// the next good read covers the gap.
type Source interface {
	Read(ctx context.Context, at time.Time, subjects []signal.Subject) map[release.ID]signal.Result
	// History counts the workload before its rollout, in windows of a tick.
	History(ctx context.Context, subjects []signal.Subject, length time.Duration) map[release.ID]signal.Result
	// Rollouts counts both arms for some time after the rollout began.
	Rollouts(ctx context.Context, subjects []signal.Subject, length time.Duration) map[release.ID]signal.Result
	Forget(release.ID)
}

// Recorder keeps what the loop sees and decides. Every method is durable when
// it returns nil, and may be called again with the same release.
type Recorder interface {
	// Seen stores a release with the policy in force for it.
	Seen(ctx context.Context, r release.Release, p release.Policy) error
	// Decide stores a verdict and sets going what the policy makes of it.
	Decide(ctx context.Context, r release.Release, v release.Verdict, p release.Policy) error
	// Superseded ends what is still open of the workload's earlier releases.
	Superseded(ctx context.Context, w release.Workload, by release.ID, why string) error
	// Refused writes down why something was not done or not understood.
	Refused(ctx context.Context, id release.ID, what, why string) error
	// Live lists the releases whose observation has not ended.
	Live(ctx context.Context) ([]Recorded, error)
	// Judged returns the last verdict on each ReplicaSet of a workload, by UID.
	Judged(ctx context.Context, w release.Workload) (map[string]release.VerdictKind, error)
	// Earlier lists the sound releases that a workload had before one, newest first.
	Earlier(ctx context.Context, r release.Release) ([]Earlier, error)
}

// Recorded is a stored release with its policy and last verdict.
type Recorded struct {
	Release release.Release
	Policy  release.Policy
	Verdict release.Verdict
}

// Policies says which policy is in force. The errors are of annotations that
// could not be read; the policy returned is safe to use all the same.
type Policies interface {
	PolicyFor(namespace, workload string, annotations map[string]string) (release.Policy, []error)
}

// Images finds the source revision and repository of an image that runs.
type Images interface {
	Resolve(ctx context.Context, im release.Image) (release.Image, error)
}

// Config of the loop.
type Config struct {
	Cluster string
	Tick    time.Duration
	Lag     time.Duration // how late samples arrive
}

// Verifier runs the loop for every live release of one cluster.
type Verifier struct {
	cfg      Config
	cluster  Cluster
	source   Source
	recorder Recorder
	policies Policies
	images   Images // nil: revisions stay unknown
	log      *slog.Logger
	metrics  *metrics

	queue     *queue
	toResolve chan release.Release // images whose labels are to be looked up

	mu   sync.Mutex // guards live and what its verifications hold
	live map[release.ID]*verification
	// settled remembers, by workload UID, the ReplicaSet found to be no release,
	// so that a busy Deployment is not decided again at every event.
	settled map[string]string
	// restarts are rollouts to the same references, watched until the digests
	// that run tell whether a tag moved.
	restarts map[release.ID]release.Release
	// suspected are releases that others may suffer from, by name.
	suspected map[string]Suspect
}

// Run works until ctx ends. It first takes up the releases that were live when
// Watchtower last stopped.
func (v *Verifier) Run(ctx context.Context) error {
	if err := v.resume(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return v.detectLoop(ctx) })
	g.Go(func() error { return every(ctx, time.Second, v.watchStates) })
	g.Go(func() error { return v.tickLoop(ctx) })
	g.Go(func() error { return v.resolveLoop(ctx) })
	return g.Wait()
}

func (v *Verifier) resume(ctx context.Context) error {
	records, err := v.recorder.Live(ctx)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, rec := range records {
		v.track(rec.Release, rec.Policy, rec.Verdict)
		v.log.Info("release found again", logRelease(rec.Release)...)
	}
	return nil
}

// track starts following a release; v.mu is held.
func (v *Verifier) track(r release.Release, p release.Policy, last release.Verdict) {
	t := newVerification(r, p, v.cfg.Tick)
	t.last = last
	v.live[r.ID] = t
	v.metrics.live.Set(float64(len(v.live)))
	v.cluster.Follow(r)
}

// untrack ends following a release; v.mu is held.
func (v *Verifier) untrack(id release.ID) {
	delete(v.live, id)
	v.metrics.live.Set(float64(len(v.live)))
	v.cluster.Unfollow(id)
	v.source.Forget(id)
}

// tickLoop reads the sources at every tick boundary plus the lag.
func (v *Verifier) tickLoop(ctx context.Context) error {
	for {
		now := time.Now()
		next := now.Add(-v.cfg.Lag).Truncate(v.cfg.Tick).Add(v.cfg.Tick + v.cfg.Lag)
		timer := time.NewTimer(next.Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
			v.Tick(ctx, time.Now())
		}
	}
}

func every(ctx context.Context, d time.Duration, f func(context.Context, time.Time)) error {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			f(ctx, now)
		}
	}
}

func logRelease(r release.Release) []any {
	return []any{
		"cluster", r.Workload.Cluster, "namespace", r.Workload.Namespace, "workload", r.Workload.Name,
		"release", string(r.ID), "replicaset", r.ReplicaSet.Name,
	}
}

package respond

import (
	"context"

	"github.com/riverqueue/river/rivertype"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// point is a place where the process may die or panic. It does not return
// when the process is dead.
func (p *process) point(ctx context.Context, at string) error {
	p.w.mu.Lock()
	dead := p.dead
	is := func(armed *string) bool {
		if dead || *armed != at {
			return false
		}
		*armed = ""
		return true
	}
	die, blow, hang := is(&p.w.crashAt), is(&p.w.panicAt), is(&p.w.hangAt)
	// Dead in the same moment: whoever disarms the point later must see it.
	p.dead = dead || die
	dead = p.dead
	p.w.mu.Unlock()
	if die {
		p.takeImage()
	}
	if blow {
		panic("at " + at)
	}
	if dead || hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// afterWork is the place between what a job recorded and its own end.
func (p *process) afterWork(ctx context.Context, job *rivertype.JobRow, next func(context.Context) error) error {
	if err := next(ctx); err != nil {
		return err
	}
	return p.point(ctx, "after "+job.Kind)
}

// around runs an effect between two points.
func around[T any](ctx context.Context, p *process, what string, effect func() (T, error)) (T, error) {
	var none T
	if err := p.point(ctx, "before "+what); err != nil {
		return none, err
	}
	out, err := effect()
	if err != nil {
		return out, err
	}
	if err := p.point(ctx, "after "+what); err != nil {
		return none, err
	}
	return out, nil
}

func (p *process) ReplicaSets(ctx context.Context, w release.Workload) ([]release.RolloutReplicaSet, error) {
	return around(ctx, p, "list", func() ([]release.RolloutReplicaSet, error) { return p.w.cluster.ReplicaSets(ctx, w) })
}

func (p *process) Rollback(ctx context.Context, req release.RollbackRequest) (release.RollbackResult, error) {
	return around(ctx, p, "rollback", func() (release.RollbackResult, error) {
		res, err := p.w.cluster.Rollback(ctx, req)
		if err == nil && !res.Already && p.w.onPatch != nil {
			p.w.onPatch(p, req)
		}
		return res, err
	})
}

func (p *process) Restored(ctx context.Context, w release.Workload, target release.ReplicaSet) (bool, error) {
	return around(ctx, p, "restored", func() (bool, error) { return p.w.cluster.Restored(ctx, w, target) })
}

func (p *process) Event(ctx context.Context, w release.Workload, key, reason, message string, warning bool) error {
	_, err := around(ctx, p, "event", func() (struct{}, error) {
		return struct{}{}, p.w.cluster.Event(ctx, w, key, reason, message, warning)
	})
	return err
}

func (p *process) Post(ctx context.Context, alerts []release.Alert) error {
	_, err := around(ctx, p, "alert", func() (struct{}, error) { return struct{}{}, p.w.alerts.Post(ctx, alerts) })
	return err
}

func (p *process) Repository(source string) (string, bool) { return p.w.forge.Repository(source) }

func (p *process) FindIssue(ctx context.Context, repo, marker string) (url string, found bool, err error) {
	url, err = around(ctx, p, "find", func() (string, error) {
		var err error
		url, found, err = p.w.forge.FindIssue(ctx, repo, marker)
		return url, err
	})
	return url, found, err
}

func (p *process) OpenIssue(ctx context.Context, repo string, is release.Issue) (string, error) {
	return around(ctx, p, "issue", func() (string, error) { return p.w.forge.OpenIssue(ctx, repo, is) })
}

func (p *process) Commits(ctx context.Context, repo, from, to string) ([]release.Commit, error) {
	return p.w.forge.Commits(ctx, repo, from, to)
}

// deliverer is a receiver as a process reaches it.
type deliverer struct {
	p    *process
	sink *strictSink
}

func (d deliverer) Deliver(ctx context.Context, m release.Message, ref []byte) ([]byte, error) {
	return around(ctx, d.p, "message", func() ([]byte, error) { return d.sink.Deliver(ctx, m, ref) })
}

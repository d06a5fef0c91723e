package respond

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

const (
	restoreHaste    = 2 * time.Minute
	restorePollSlow = 10 * time.Second
	restorePatience = time.Hour
)

// restoreArgs is the job that watches a rolled-back workload come back.
type restoreArgs struct {
	Release  release.ID         `json:"release"`
	Workload release.Workload   `json:"workload"`
	Target   release.ReplicaSet `json:"target"`
	Since    time.Time          `json:"since"` // the rollback was accepted
}

// Kind names the job in the database.
func (restoreArgs) Kind() string { return "watchtower_restore" }

type restoreWorker struct {
	river.WorkerDefaults[restoreArgs]
	responder *Responder
}

// Work looks once and comes back until the target is ready again.
func (w *restoreWorker) Work(ctx context.Context, job *river.Job[restoreArgs]) error {
	r, args := w.responder, job.Args
	r.first.yield(ctx)
	took := time.Since(args.Since)
	restored, err := r.deps.Cluster.Restored(ctx, args.Workload, args.Target)
	at(pointRestored)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return river.JobSnooze(0)
	case release.ErrorCode(err) == release.CodeVoid || release.ErrorCode(err) == release.CodeRefused:
		return w.end(ctx, job, "void", release.OneLine(err.Error(), maxDetail), false)
	case restored:
		why := fmt.Sprintf("every replica runs %s and is ready, %s after the rollback", release.ReplicaSetName(args.Target), release.Seconds(took.Seconds()))
		return w.end(ctx, job, "done", why, true)
	case took >= restorePatience:
		why := fmt.Sprintf("%s is still not ready %s after the rollback", release.ReplicaSetName(args.Target), release.Seconds(took.Seconds()))
		return w.end(ctx, job, "failed", why, false)
	case took >= restoreHaste:
		return r.later(restorePollSlow)
	}
	return r.later(r.pace.restorePoll)
}

// end records how the watch ended, together with the end of its job: it may
// not be told twice.
func (w *restoreWorker) end(ctx context.Context, job *river.Job[restoreArgs], state, why string, restored bool) error {
	r, id := w.responder, job.Args.Release
	err := r.record(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Audit(row(id, "restored", state, why)); err != nil {
			return err
		}
		if restored {
			if err := endAlert(tx, id, "restored: "+why, why); err != nil {
				return err
			}
		} else if err := annotate(tx, id, map[string]string{annotationRestored: state + ": " + why}); err != nil {
			return err
		}
		if err := r.aftermath(ctx, tx, id, release.ActionState(state), why); err != nil {
			return err
		}
		_, err := river.JobCompleteTx[*riversqlite.Driver](ctx, tx.SQL(), job)
		return err
	})
	if err != nil {
		return fmt.Errorf("record that %s came back: %w", job.Args.Workload, err)
	}
	at(pointWatched)
	r.log.Info("rollback watched to its end", "release", string(id), "workload", job.Args.Workload.String(), "state", state, "detail", why)
	r.pokeAlerts()
	r.bell.ring()
	return nil
}

// aftermath notes what came of watching a workload come back, and tells of it.
func (r *Responder) aftermath(ctx context.Context, tx *store.Tx, id release.ID, state release.ActionState, why string) error {
	after, err := tx.Aftermath(id)
	if err != nil {
		return err
	}
	now := time.Now()
	after.Restored, after.RestoredDetail, after.RestoredAt = state, release.OneLine(why, maxDetail), &now
	if err := tx.SaveAftermath(after); err != nil {
		return err
	}
	rec, err := tx.Release(id)
	if err != nil {
		return err
	}
	return r.speak(ctx, tx, rec)
}

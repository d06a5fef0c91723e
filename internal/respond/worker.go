package respond

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// maxDetail bounds in characters what is kept of an outcome or an error.
const maxDetail = 500

// recordPatience is how long the record of an effect may take, whatever
// became of the job's own time.
const recordPatience = 10 * time.Second

// actionArgs is the job that carries out one action.
type actionArgs struct {
	Key string `json:"key"`
}

// Kind names the job in the database.
func (actionArgs) Kind() string { return "watchtower_action" }

type actionWorker struct {
	river.WorkerDefaults[actionArgs]
	responder *Responder
}

// Work carries the action out unless that has happened.
func (w *actionWorker) Work(ctx context.Context, job *river.Job[actionArgs]) error {
	return w.responder.carryOut(ctx, job.Args.Key)
}

// outcome is what came of an action.
type outcome struct {
	state       release.ActionState
	detail, url string
	waits       release.Wait // what a waiting action waits for
	// follow is part of the transaction that settles the action; nil for none.
	follow func(ctx context.Context, tx *store.Tx, a release.Action) error
}

// notYet is returned by an action whose time has not come.
type notYet struct {
	wait time.Duration
	// fresh has patience begin anew: nothing was tried yet.
	fresh bool
}

func (notYet) Error() string { return "not yet" }

func (r *Responder) carryOut(ctx context.Context, key string) error {
	if !r.claim(key) {
		return r.later(5 * time.Second) // an earlier run still hangs
	}
	defer r.unclaim(key)
	if strings.HasSuffix(key, "/"+string(release.ActionRollback)) && !strings.Contains(key, "/"+string(release.ActionEvent)+"/") {
		defer r.first.tried(key)
	} else {
		r.first.yield(ctx)
	}
	return r.attempt(ctx, key, sitsAtMost)
}

// attempt carries an action out if it is its turn. sits is how often it may still
// wait for that where it is.
func (r *Responder) attempt(ctx context.Context, key string, sits int) error {
	a, err := r.store.Action(ctx, key)
	if err != nil {
		return err
	}
	if a.State != release.ActionPending {
		return nil
	}
	// Before the release is read: in a burst most find no slot.
	leave, pause := r.outlets.enter(a, time.Now())
	if leave == nil {
		if sits > 0 && r.seats.sit(ctx, pause) {
			return r.attempt(ctx, key, sits-1)
		}
		return r.later(pause)
	}
	// What is to be told is read before what there is to say: so much is said at least.
	var d store.Delivery
	if a.Kind == release.ActionMessage {
		d, _, err = r.store.Delivery(ctx, key)
	}
	var rec store.Record
	if err == nil {
		rec, err = r.store.Release(ctx, a.Release)
	}
	if err != nil {
		leave(nil)
		return err
	}
	a.Attempts++
	out, err := r.perform(ctx, a, rec, d)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = release.E(release.CodeUnavailable, "no answer within "+jobTimeout.String(), err)
	}
	leave(err)
	var wait notYet
	switch {
	case errors.As(err, &wait) && !wait.fresh && sits > 0 && r.seats.sit(ctx, wait.wait):
		return r.attempt(ctx, key, sits-1)
	case errors.As(err, &wait):
		return r.putOff(ctx, a, wait)
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return river.JobSnooze(0) // we are being stopped; the next start goes on
	case err != nil:
		var again time.Duration
		if out, again = failure(a, err, time.Now()); again > 0 {
			return r.postpone(ctx, a, out.detail, again)
		}
		if a.Kind == release.ActionRollback {
			out.follow = r.afterRollback(rec, nil)
		}
	}
	return r.settle(ctx, a, out)
}

// putOff lets an action wait for its time.
func (r *Responder) putOff(ctx context.Context, a release.Action, wait notYet) error {
	if wait.fresh {
		a.PendingSince, a.Attempts = time.Now(), 0
		err := r.record(ctx, func(_ context.Context, tx *store.Tx) error {
			_, err := tx.UpdateAction(a)
			return err
		})
		if err != nil {
			return fmt.Errorf("put off action %s: %w", a.Key, err)
		}
	}
	return r.later(wait.wait)
}

// later puts a job off without an attempt being counted.
func (r *Responder) later(d time.Duration) error {
	r.bell.ringAfter(d)
	return river.JobSnooze(d)
}

func (r *Responder) perform(ctx context.Context, a release.Action, rec store.Record, d store.Delivery) (outcome, error) {
	switch a.Kind {
	case release.ActionRollback:
		return r.rollback(ctx, a, rec)
	case release.ActionAlert:
		return r.alert(ctx, rec)
	case release.ActionEvent:
		return r.event(ctx, a, rec)
	case release.ActionIssue:
		return r.issue(ctx, a, rec)
	case release.ActionMessage:
		return r.message(ctx, a, rec, d)
	}
	return outcome{}, release.E(release.CodeInvalid, fmt.Sprintf("action kind %q is unknown", a.Kind), nil)
}

// claim keeps an action from running twice at once, should River start a job
// anew that it took for dead.
func (r *Responder) claim(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.underWay[key] {
		return false
	}
	r.underWay[key] = true
	return true
}

func (r *Responder) unclaim(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.underWay, key)
}

// record writes what came of an effect. It does not end with the job's time:
// what has happened must be known.
func (r *Responder) record(ctx context.Context, f func(ctx context.Context, tx *store.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordPatience)
	defer cancel()
	return r.store.Write(ctx, func(tx *store.Tx) error { return f(ctx, tx) })
}

func (r *Responder) postpone(ctx context.Context, a release.Action, detail string, again time.Duration) error {
	a.Detail, a.UpdatedAt = release.OneLine("trying again: "+detail, maxDetail), time.Now()
	err := r.record(ctx, func(_ context.Context, tx *store.Tx) error {
		_, err := tx.UpdateAction(a)
		return err
	})
	if err != nil {
		return fmt.Errorf("postpone action %s: %w", a.Key, err)
	}
	r.log.Warn("action is tried again", "action", a.Key, "release", string(a.Release), "attempts", a.Attempts, "after", again, "err", detail)
	return r.later(again)
}

func (r *Responder) settle(ctx context.Context, a release.Action, out outcome) error {
	a.State, a.Detail, a.URL, a.WaitsFor, a.UpdatedAt = out.state, release.OneLine(out.detail, maxDetail), out.url, out.waits, time.Now()
	var changed bool
	err := r.record(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if changed, err = tx.UpdateAction(a); err != nil || !changed {
			return err
		}
		if err := tx.Audit(row(a.Release, string(a.Kind), string(a.State), a.Detail)); err != nil {
			return err
		}
		if out.follow == nil {
			return nil
		}
		return out.follow(ctx, tx, a)
	})
	if err != nil {
		return fmt.Errorf("settle action %s: %w", a.Key, err)
	}
	at(pointSettled)
	if changed {
		r.metrics.settled(a)
		r.log.Info("action settled", "action", a.Key, "release", string(a.Release), "state", string(a.State), "detail", a.Detail)
		r.pokeAlerts()
		r.bell.ring()
	}
	return nil
}

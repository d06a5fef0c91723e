package respond

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// maxSnooze bounds how long a receiver is told nothing.
const maxSnooze = 24 * time.Hour

// RollBack has a release rolled back because a person asks for it, whatever its
// policy would do: from here on it is as one that was approved, with the same
// preconditions, fences and breaker. One that waits is approved by it; one that
// was refused or given up is tried anew. CodeNotFound for an unknown release;
// CodeRefused when it was done, is under way, or there is nothing to go back from
// or to, or a breaker is open.
func (r *Responder) RollBack(ctx context.Context, id release.ID, by release.By) error {
	return r.byPerson(ctx, by, id, "rollback", func(tx *store.Tx) error {
		rec, err := tx.Release(id)
		if err != nil {
			return err
		}
		if err := mayGoBack(tx, rec); err != nil {
			return err
		}
		now := time.Now()
		if err := unheld(tx, rec, now); err != nil {
			return err
		}
		a, err := askFor(tx, rec, by, now)
		if err != nil {
			return err
		}
		if err := tx.Audit(rowBy(by, id, "rollback", "asked for")); err != nil {
			return err
		}
		return r.goOn(ctx, tx, a, said("asked for", by), now, rec)
	})
}

// mayGoBack refuses where a rollback makes no sense any more.
func mayGoBack(tx *store.Tx, rec store.Record) error {
	rel, v := rec.Release, rec.Verdict
	after, err := tx.Aftermath(rel.ID)
	switch {
	case err != nil:
		return err
	case rel.SupersededBy != "":
		return refuse("release %s is over: release %s has taken over", rel.ID, rel.SupersededBy)
	case after.Closed != "":
		return refuse("release %s is over: %s", rel.ID, after.Closed)
	case v.Wrong != nil:
		return refuse("%s: nothing is rolled back for it any more", markedWrong(v))
	case v.Kind == release.Healthy && v.Final:
		return refuse("release %s is healthy; to go back nevertheless: kubectl -n %s rollout undo deployment/%s", rel.ID, rel.Workload.Namespace, rel.Workload.Name)
	case rel.Previous == nil:
		return refuse("release %s is the workload's first version: there is nothing to go back to", rel.ID)
	}
	return nil
}

// askFor is the release's only rollback, as a person asks for it: made, or opened
// again where nothing came of it.
func askFor(tx *store.Tx, rec store.Record, by release.By, now time.Time) (release.Action, error) {
	id := rec.Release.ID
	a, err := tx.Action(release.ActionKey(id, release.ActionRollback))
	if release.ErrorCode(err) == release.CodeNotFound {
		a = release.Action{
			Key: release.ActionKey(id, release.ActionRollback), Release: id, Kind: release.ActionRollback, State: release.ActionWaiting,
			CreatedAt: now, UpdatedAt: now, PendingSince: now,
		}
		_, err = tx.InsertAction(a)
	}
	if err != nil {
		return a, err
	}
	a.AskedBy = release.OneLine(by.Actor, 100)
	switch a.State {
	case release.ActionWaiting:
		return a, nil
	case release.ActionRefused: // nothing was done, so that another target may be chosen
		if err := tx.ClearPlan(a.Key); err != nil {
			return a, err
		}
		_, err = tx.ReopenAction(a.Key, a.Detail, now)
		return a, err
	case release.ActionFailed:
		_, err = tx.ReopenAction(a.Key, a.Detail, now)
		return a, err
	case release.ActionPending:
		return a, refuse("release %s is being rolled back already", id)
	case release.ActionDone:
		return a, refuse("release %s was rolled back already: %s", id, a.Detail)
	}
	return a, refuse("release %s cannot be rolled back: %s", id, a.Detail)
}

func markedWrong(v release.Verdict) string {
	return fmt.Sprintf("the verdict of release %s was marked wrong by %s at %s", v.Release, v.Wrong.By, v.Wrong.At.UTC().Format(time.RFC3339))
}

// MarkWrong notes that a release was called regressed although it is not: its
// alert and incident end, it is not rolled back any more, its version may be a
// baseline again, and the verdict counts as a false alarm. What was rolled back
// stays so. CodeNotFound for an unknown release; CodeRefused when it is not
// called regressed, or was marked before.
func (r *Responder) MarkWrong(ctx context.Context, id release.ID, by release.By) error {
	err := r.byPerson(ctx, by, id, "verdict", func(tx *store.Tx) error {
		rec, err := tx.Release(id)
		if err != nil {
			return err
		}
		v := rec.Verdict
		switch {
		case v.Wrong != nil:
			return refuse("%s already", markedWrong(v))
		case v.Kind != release.Regressed || !v.Final:
			return refuse("only a release that is called regressed can be marked wrong: release %s is %s", id, v.Kind)
		}
		after, err := tx.Aftermath(id)
		if err != nil {
			return err
		}
		now := time.Now()
		after.Wrong = &release.Mark{At: now, By: release.OneLine(by.Actor, 100), Why: release.OneLine(by.Reason, maxReason)}
		if err := tx.SaveAftermath(after); err != nil {
			return err
		}
		if err := tx.Audit(rowBy(by, id, "verdict", "marked wrong")); err != nil {
			return err
		}
		return r.takeBack(ctx, tx, id, after, said("the verdict was marked wrong", by), now)
	})
	if err == nil {
		r.metrics.wrong.Inc()
	}
	return err
}

// takeBack ends what follows from a verdict that is wrong.
func (r *Responder) takeBack(ctx context.Context, tx *store.Tx, id release.ID, after store.Aftermath, why string, now time.Time) error {
	actions, err := tx.Actions(id)
	if err != nil {
		return err
	}
	undone, told := false, false
	for _, a := range actions {
		switch {
		case a.Kind == release.ActionRollback && a.State == release.ActionWaiting:
			if err := r.refuseRollback(ctx, tx, a, why, now); err != nil {
				return err
			}
			told = true
		case a.Kind == release.ActionRollback:
			undone = a.State == release.ActionDone
		case a.State == release.ActionWaiting: // an issue that a breaker holds
			if _, err := tx.DropAction(a.Key, why, now); err != nil {
				return err
			}
			if err := tx.Audit(row(id, string(a.Kind), string(release.ActionVoid), why)); err != nil {
				return err
			}
		}
	}
	// Where the old version is on its way back, whether it comes back ends the alert.
	if !undone || after.Restored != "" {
		if err := endAlert(tx, id, why, ""); err != nil {
			return err
		}
	}
	if told {
		return nil
	}
	rec, err := tx.Release(id)
	if err != nil {
		return err
	}
	return r.speak(ctx, tx, rec)
}

// Snooze has a receiver, or for "" every one, told nothing more of an open release
// for a while, but its end. It answers until when. CodeNotFound for an unknown
// release; CodeRefused where nobody was told of anything that is open still;
// CodeInvalid for a time that is not above 0 and at most a day.
func (r *Responder) Snooze(ctx context.Context, id release.ID, receiver string, within time.Duration, by release.By) (until time.Time, err error) {
	if within <= 0 || within > maxSnooze {
		return until, release.E(release.CodeInvalid, "snooze for more than nothing and a day at most", nil)
	}
	until = time.Now().Add(within)
	err = r.byPerson(ctx, by, id, "message", func(tx *store.Tx) error {
		rec, err := tx.Release(id)
		if err != nil {
			return err
		}
		facts, err := factsIn(tx, rec)
		if err != nil {
			return err
		}
		all, err := tx.Deliveries(id)
		if err != nil {
			return err
		}
		names := ""
		for _, d := range all {
			if !r.open(d, facts) || (receiver != "" && receiver != d.Sink) {
				continue
			}
			d.SnoozedUntil = &until
			if err := r.snooze(ctx, tx, d); err != nil {
				return err
			}
			names += ", " + d.Sink
		}
		if names == "" {
			return refuseToSnooze(tx, id, receiver)
		}
		audit := rowBy(by, id, "message", "snoozed")
		audit.Why = release.OneLine(names[2:]+" until "+until.UTC().Format(time.RFC3339)+": "+by.Reason, 2*maxDetail)
		return tx.Audit(audit)
	})
	return until, err
}

// open reports whether a receiver was told of something whose end is not on its way.
func (r *Responder) open(d store.Delivery, facts message.Facts) bool {
	facts.Before = d.Told
	return d.Told.Open() && (ofMany(d) || !message.Of(facts, r.deps.Places).State.Over())
}

// refuseToSnooze says why there is nothing to snooze.
func refuseToSnooze(tx *store.Tx, id release.ID, receiver string) error {
	groups, err := tx.Memberships(id)
	if err != nil {
		return err
	}
	for _, in := range groups {
		if in.Told.Open() && (receiver == "" || receiver == in.Sink) {
			return refuse("receiver %q is told of release %s together with others, which are not to be snoozed with it", in.Sink, id)
		}
	}
	return refuse("%s", nothingToSnooze(id, receiver))
}

func nothingToSnooze(id release.ID, receiver string) string {
	who := "no receiver was"
	if receiver != "" {
		who = fmt.Sprintf("receiver %q was not", receiver)
	}
	return fmt.Sprintf("%s told of anything about release %s that is still open", who, id)
}

// snooze keeps a delivery's snooze, and has it looked at when that is over.
func (r *Responder) snooze(ctx context.Context, tx *store.Tx, d store.Delivery) error {
	if err := tx.SaveDelivery(d); err != nil {
		return err
	}
	if _, err := r.client.InsertTx(ctx, tx.SQL(), wakeArgs{Key: d.Key}, &river.InsertOpts{Priority: 3, Queue: r.store.Queue(), ScheduledAt: *d.SnoozedUntil}); err != nil {
		return fmt.Errorf("enqueue the end of the snooze of %s: %w", d.Key, err)
	}
	return nil
}

// wakeArgs is the job that tells a receiver of what is still open once its snooze is
// over.
type wakeArgs struct {
	Key string `json:"key"` // of the delivery
}

// Kind names the job in the database.
func (wakeArgs) Kind() string { return "watchtower_wake" }

type wakeWorker struct {
	river.WorkerDefaults[wakeArgs]
	responder *Responder
}

// Work ends a snooze whose time is over. One that was made longer, or whose job
// is early since a clock was set back, is waited for.
func (w *wakeWorker) Work(ctx context.Context, job *river.Job[wakeArgs]) error {
	r, wait := w.responder, time.Duration(0)
	err := r.record(ctx, func(ctx context.Context, tx *store.Tx) error {
		d, found, err := tx.Delivery(job.Args.Key)
		if err != nil || !found || d.SnoozedUntil == nil {
			return err
		}
		if wait = time.Until(*d.SnoozedUntil); wait > 0 {
			return nil
		}
		d.SnoozedUntil = nil
		if !d.Told.Open() {
			return tx.SaveDelivery(d)
		}
		return r.bump(ctx, tx, d, d.Release) // whether it changed or not: somebody wanted to hear of it again
	})
	if err != nil {
		return fmt.Errorf("end the snooze of %s: %w", job.Args.Key, err)
	}
	if wait > 0 {
		return r.later(wait)
	}
	r.bell.ring()
	return nil
}

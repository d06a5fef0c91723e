package respond

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// maxReason bounds in characters what is kept of a reason.
const maxReason = 300

// said is what is told of what a person did.
func said(what string, b release.By) string {
	return release.OneLine(fmt.Sprintf("%s by %s: %s", what, b.Actor, release.OneLine(b.Reason, maxReason)), maxDetail)
}

// rowBy is an audit row of what a person did.
func rowBy(b release.By, id release.ID, what, outcome string) release.AuditRow {
	out := row(id, what, outcome, b.Reason)
	out.Actor = release.OneLine(b.Actor, 100)
	return out
}

// complete reports what is missing of who asks and why.
func complete(b release.By) error {
	if strings.TrimSpace(b.Actor) == "" || strings.TrimSpace(b.Reason) == "" {
		return release.E(release.CodeInvalid, "say who asks and why: the audit keeps both", nil)
	}
	return nil
}

// byPerson runs what a person asked for in one transaction, and has what follows
// begun. A refusal is audited, too.
func (r *Responder) byPerson(ctx context.Context, by release.By, id release.ID, what string, f func(tx *store.Tx) error) error {
	if err := complete(by); err != nil {
		return err
	}
	var refusal error
	err := r.store.Write(ctx, func(tx *store.Tx) error {
		refusal = nil
		err := f(tx)
		if release.ErrorCode(err) == release.CodeRefused { // nothing was written before
			refusal = err
			audit := rowBy(by, id, what, "refused")
			audit.Why = release.OneLine(err.Error()+"; asked because: "+by.Reason, 2*maxDetail)
			return tx.Audit(audit)
		}
		return err
	})
	if err != nil {
		return err
	}
	at(pointAsked)
	r.bell.ring()
	r.pokeAlerts()
	return refusal
}

func refuse(format string, args ...any) error {
	return release.E(release.CodeRefused, fmt.Sprintf(format, args...), nil)
}

// waitingRollback is a release's rollback that waits for a person.
func waitingRollback(tx *store.Tx, id release.ID) (release.Action, error) {
	if _, err := tx.Release(id); err != nil {
		return release.Action{}, err
	}
	a, err := tx.Action(release.ActionKey(id, release.ActionRollback))
	if release.ErrorCode(err) == release.CodeNotFound {
		return a, refuse("release %s has no rollback that could be approved or rejected", id)
	}
	if err != nil {
		return a, err
	}
	if a.State != release.ActionWaiting {
		return a, refuse("the rollback of release %s does not wait for anybody: it is %s (%s)", id, a.State, a.Detail)
	}
	return a, nil
}

// Approve has a waiting rollback done. CodeNotFound for an unknown release;
// CodeRefused when nothing waits, the time for it is over, or a breaker is open.
func (r *Responder) Approve(ctx context.Context, id release.ID, by release.By) error {
	return r.byPerson(ctx, by, id, "approval", func(tx *store.Tx) error {
		a, err := waitingRollback(tx, id)
		if err != nil {
			return err
		}
		rec, err := tx.Release(id)
		if err != nil {
			return err
		}
		now := time.Now()
		if a.ExpiresAt != nil && !a.ExpiresAt.After(now) {
			return refuse("the approval could be given until %s", a.ExpiresAt.UTC().Format(time.RFC3339))
		}
		if err := unheld(tx, rec, now); err != nil {
			return err
		}
		if err := tx.Audit(rowBy(by, id, "approval", "approved")); err != nil {
			return err
		}
		return r.goOn(ctx, tx, a, said("approved", by), now, rec)
	})
}

// unheld refuses while a breaker is open.
func unheld(tx *store.Tx, rec store.Record, now time.Time) error {
	w := rec.Release.Workload
	breakers, err := tx.Breakers(w.Cluster)
	if err != nil {
		return err
	}
	if b := release.Holding(breakers, w.Namespace, now); b != nil {
		return refuse("%s; close it first", heldBy(b))
	}
	return nil
}

// goOn makes a waiting action pending.
func (r *Responder) goOn(ctx context.Context, tx *store.Tx, a release.Action, detail string, now time.Time, rec store.Record) error {
	a.State, a.Detail, a.WaitsFor, a.ExpiresAt = release.ActionPending, detail, "", nil
	a.UpdatedAt, a.PendingSince, a.Attempts = now, now, 0
	if _, err := tx.UpdateAction(a); err != nil {
		return err
	}
	if err := r.enqueue(ctx, tx, a); err != nil {
		return err
	}
	if a.Kind != release.ActionRollback {
		return nil
	}
	if err := annotate(tx, a.Release, map[string]string{annotationRollback: noteOf(a)}); err != nil {
		return err
	}
	return r.speak(ctx, tx, rec)
}

// Reject ends a waiting rollback without its being done. Errors are those of
// Approve.
func (r *Responder) Reject(ctx context.Context, id release.ID, by release.By) error {
	return r.byPerson(ctx, by, id, "approval", func(tx *store.Tx) error {
		a, err := waitingRollback(tx, id)
		if err != nil {
			return err
		}
		if err := tx.Audit(rowBy(by, id, "approval", "rejected")); err != nil {
			return err
		}
		return r.refuseRollback(ctx, tx, a, said("rejected", by), time.Now())
	})
}

func (r *Responder) refuseRollback(ctx context.Context, tx *store.Tx, a release.Action, detail string, now time.Time) error {
	rec, err := tx.Release(a.Release)
	if err != nil {
		return err
	}
	a.State, a.Detail, a.WaitsFor, a.ExpiresAt, a.UpdatedAt = release.ActionRefused, detail, "", nil, now
	if _, err := tx.UpdateAction(a); err != nil {
		return err
	}
	if err := tx.Audit(row(a.Release, string(a.Kind), string(a.State), a.Detail)); err != nil {
		return err
	}
	r.metrics.settled(a)
	return r.afterRollback(rec, nil)(ctx, tx, a)
}

// expire ends a rollback that nobody approved in time.
func (r *Responder) expire(ctx context.Context, key string, now time.Time) error {
	err := r.store.Write(ctx, func(tx *store.Tx) error {
		a, err := tx.Action(key)
		if err != nil || a.State != release.ActionWaiting || a.ExpiresAt == nil || a.ExpiresAt.After(now) {
			return err
		}
		return r.refuseRollback(ctx, tx, a, "nobody approved it until "+a.ExpiresAt.UTC().Format(time.RFC3339), now)
	})
	r.bell.ring()
	r.pokeAlerts()
	return err
}

// Retry carries a dead letter out anew, or what a breaker holds that is no
// rollback. CodeRefused when the action is neither.
func (r *Responder) Retry(ctx context.Context, key string, by release.By) error {
	return r.byPerson(ctx, by, releaseOf(key), "action", func(tx *store.Tx) error {
		a, err := tx.Action(key)
		if err != nil {
			return err
		}
		now := time.Now()
		switch {
		case a.State == release.ActionFailed && a.Kind == release.ActionRollback:
			rec, err := tx.Release(a.Release)
			if err != nil {
				return err
			}
			if rec.Verdict.Wrong != nil {
				return refuse("%s: nothing is rolled back for it any more", markedWrong(rec.Verdict))
			}
			if err := r.again(ctx, tx, a, said("tried again", by)); err != nil {
				return err
			}
			if err := r.audited(tx, a, by, "retried"); err != nil {
				return err
			}
			return r.speak(ctx, tx, rec)
		case a.State == release.ActionFailed:
			if err := r.again(ctx, tx, a, said("tried again", by)); err != nil {
				return err
			}
			return r.audited(tx, a, by, "retried")
		case a.State == release.ActionWaiting && a.Kind == release.ActionRollback:
			return refuse("action %s waits for approval: `watchtower approve %s`", key, a.Release)
		case a.State == release.ActionWaiting:
			if err := r.audited(tx, a, by, "retried"); err != nil {
				return err
			}
			return r.goOn(ctx, tx, a, said("let go", by), now, store.Record{})
		}
		return refuse("action %s is %s: only what failed or waits can be tried again", key, a.State)
	})
}

// Drop settles a dead letter, or what a breaker holds that is no rollback, as
// void: somebody has seen to it. CodeRefused when the action is neither.
func (r *Responder) Drop(ctx context.Context, key string, by release.By) error {
	return r.byPerson(ctx, by, releaseOf(key), "action", func(tx *store.Tx) error {
		a, err := tx.Action(key)
		switch {
		case err != nil:
			return err
		case a.State == release.ActionWaiting && a.Kind == release.ActionRollback:
			return refuse("action %s waits for approval: `watchtower reject %s`", key, a.Release)
		case a.State != release.ActionFailed && a.State != release.ActionWaiting:
			return refuse("action %s is %s: only what failed or waits can be dropped", key, a.State)
		}
		if _, err := tx.DropAction(key, said("dropped", by), time.Now()); err != nil {
			return err
		}
		return r.audited(tx, a, by, "dropped")
	})
}

func (r *Responder) audited(tx *store.Tx, a release.Action, by release.By, outcome string) error {
	audit := rowBy(by, a.Release, "action", outcome)
	audit.Why = release.OneLine(a.Key+" was "+string(a.State)+" ("+a.Detail+"); "+by.Reason, 2*maxDetail)
	return tx.Audit(audit)
}

func releaseOf(key string) release.ID {
	id, _, _ := strings.Cut(key, "/")
	return release.ID(id)
}

// OpenBreaker keeps rollbacks from being done without a person, in a namespace or
// for "" in the cluster, for a while or for 0 until somebody closes it.
func (r *Responder) OpenBreaker(ctx context.Context, namespace string, within time.Duration, by release.By) error {
	return r.byPerson(ctx, by, "", "breaker", func(tx *store.Tx) error {
		now := time.Now()
		b := release.Breaker{Cluster: r.deps.Name, Namespace: namespace, Open: true, ChangedAt: now, Actor: release.OneLine(by.Actor, 100), Why: release.OneLine(by.Reason, maxReason)}
		if within > 0 {
			closes := now.Add(within)
			b.ClosesAt = &closes
		}
		if err := tx.SaveBreaker(b); err != nil {
			return err
		}
		audit := rowBy(by, "", "breaker", "opened")
		audit.Why = release.OneLine(b.Scope()+": "+by.Reason, 2*maxDetail)
		return tx.Audit(audit)
	})
}

// CloseBreaker closes a breaker that is open and counts from here on. With resume
// it lets what it held go on, as far as the limits allow; without it that waits
// for a person each. CodeRefused when it is not open.
func (r *Responder) CloseBreaker(ctx context.Context, namespace string, resume bool, by release.By) error {
	return r.byPerson(ctx, by, "", "breaker", func(tx *store.Tx) error {
		breakers, err := tx.Breakers(r.deps.Name)
		if err != nil {
			return err
		}
		now := time.Now()
		for _, b := range breakers {
			if b.Namespace != namespace || !b.Open {
				continue
			}
			b.Open, b.ChangedAt, b.ClosesAt, b.Actor, b.Why = false, now, nil, release.OneLine(by.Actor, 100), release.OneLine(by.Reason, maxReason)
			if err := r.closeBreaker(ctx, tx, b); err != nil || !resume {
				return err
			}
			return r.resume(ctx, tx, b, by, now)
		}
		return refuse("the breaker of %s is not open", release.Breaker{Cluster: r.deps.Name, Namespace: namespace}.Scope())
	})
}

// resume lets go on what a breaker held.
func (r *Responder) resume(ctx context.Context, tx *store.Tx, b release.Breaker, by release.By, now time.Time) error {
	held, err := tx.ListActions(store.ActionFilter{State: release.ActionWaiting, WaitsFor: release.WaitsForBreaker, Limit: -1})
	if err != nil {
		return err
	}
	for _, a := range held {
		rec, err := tx.Release(a.Release)
		if err != nil {
			return err
		}
		if b.Namespace != "" && rec.Release.Workload.Namespace != b.Namespace {
			continue
		}
		if err := r.audited(tx, a, by, "resumed"); err != nil {
			return err
		}
		if err := r.goOn(ctx, tx, a, said("resumed", by), now, rec); err != nil {
			return err
		}
	}
	return nil
}

// Breakers answers with the cluster's breakers that ever opened.
func (r *Responder) Breakers(ctx context.Context) ([]release.Breaker, error) {
	return r.store.Breakers(ctx, r.deps.Name)
}

// ListActions answers with actions, changed last first.
func (r *Responder) ListActions(ctx context.Context, f store.ActionFilter) ([]release.Action, error) {
	return r.store.ListActions(ctx, f)
}

// Action answers with one by its key, or CodeNotFound.
func (r *Responder) Action(ctx context.Context, key string) (release.Action, error) {
	return r.store.Action(ctx, key)
}

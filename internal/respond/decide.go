package respond

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// actor is who acts where no person did.
const actor = "watchtower"

// Decide records a verdict; when it is regressed and final it also decides the
// actions by policy and enqueues them: all in one transaction. A verdict that is
// regressed and final stands: Decide again changes and adds nothing.
func (r *Responder) Decide(ctx context.Context, rel release.Release, v release.Verdict, p release.Policy) error {
	if v.Release != rel.ID {
		return release.E(release.CodeInvalid, fmt.Sprintf("decide release %s: the verdict is of release %s", rel.ID, v.Release), nil)
	}
	var became bool
	var settled []release.Action
	err := r.store.Write(ctx, func(tx *store.Tx) error {
		became, settled = false, nil
		kind, final, err := tx.Standing(rel.ID)
		if err != nil || (kind == release.Regressed && final) {
			return err
		}
		if err := tx.SaveRelease(rel, p); err != nil {
			return err
		}
		if err := tx.SaveVerdict(v); err != nil {
			return err
		}
		became = kind != v.Kind
		if became {
			if err := forget(tx, rel.ID); err != nil {
				return err
			}
		}
		if became || final != v.Final {
			if err := tx.Audit(verdictRow(v)); err != nil {
				return err
			}
		}
		if v.Kind == release.Regressed && v.Final {
			if settled, err = r.decideActions(ctx, tx, rel, v, p); err != nil {
				return err
			}
		}
		if !became && final == v.Final {
			return nil
		}
		return r.speak(ctx, tx, store.Record{Release: rel, Verdict: v, Policy: p, Live: !v.Final})
	})
	if err != nil {
		return fmt.Errorf("decide release %s of %s: %w", rel.ID, rel.Workload, err)
	}
	at(pointDecided)
	r.bell.ring()
	if became {
		r.metrics.verdicts.WithLabelValues(string(v.Kind)).Inc()
	}
	for _, a := range settled {
		r.metrics.settled(a)
	}
	return nil
}

// Seen stores a release, and at first sight audits and tells that it is being
// watched.
func (r *Responder) Seen(ctx context.Context, rel release.Release, p release.Policy) error {
	err := r.store.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Release(rel.ID)
		first := release.ErrorCode(err) == release.CodeNotFound
		if err != nil && !first {
			return err
		}
		if err := tx.SaveRelease(rel, p); err != nil || !first {
			return err
		}
		if err := tx.Audit(row(rel.ID, "release_seen", "observing",
			"ReplicaSet "+rel.ReplicaSet.Name+" runs other images than the one it takes over from; autonomy is "+string(p.Autonomy))); err != nil {
			return err
		}
		return r.speak(ctx, tx, store.Record{Release: rel, Verdict: release.Verdict{Release: rel.ID, Kind: release.Pending}, Policy: p, Live: true})
	})
	if err != nil {
		return fmt.Errorf("store release %s of %s: %w", rel.ID, rel.Workload, err)
	}
	r.bell.ring()
	return nil
}

func verdictRow(v release.Verdict) release.AuditRow {
	outcome := string(v.Kind)
	if v.Final {
		outcome += ", final"
	}
	why := v.Summary
	if v.Reason != "" {
		why += " (" + v.Reason + ")"
	}
	if v.Kind == release.Regressed && v.EValue > 0 {
		why += fmt.Sprintf("; e-value %s, needed %s", release.EValue(v.EValue), release.EValue(v.Threshold))
	}
	return row(v.Release, "verdict", outcome, why)
}

func row(id release.ID, what, outcome, why string) release.AuditRow {
	return release.AuditRow{
		At: time.Now(), Actor: actor, Release: id, What: what, Outcome: outcome, Why: release.OneLine(why, 2*maxDetail),
	}
}

// decideActions inserts what the policy allows, and says what it does not. It
// answers with the actions that were settled at once.
func (r *Responder) decideActions(ctx context.Context, tx *store.Tx, rel release.Release, v release.Verdict, p release.Policy) (settled []release.Action, err error) {
	allowed := p.Autonomy
	if p.Ignore {
		allowed = release.AutonomyObserve
	}
	if !allowed.Allows(release.AutonomyAlert) {
		return nil, tx.Audit(row(rel.ID, "decision", "refused", fmt.Sprintf(
			"policy %q only observes (autonomy %s): no alert, no rollback, no issue", p.Name, p.Autonomy)))
	}
	held, err := r.surge(tx, rel, time.Now())
	if err != nil {
		return nil, err
	}
	decided := decisions(rel, v, p, allowed, r.deps, held)
	asked, err := tx.Action(release.ActionKey(rel.ID, release.ActionRollback))
	switch {
	case err == nil: // a person asked before; there is one rollback only
		decided = slices.DeleteFunc(decided, func(a release.Action) bool { return a.Kind == release.ActionRollback })
	case release.ErrorCode(err) != release.CodeNotFound:
		return nil, err
	}
	known := decided
	if asked.Key != "" {
		known = append(slices.Clone(decided), asked)
	}
	if r.deps.Alerter != nil {
		_, err = tx.InsertAlert(store.Alert{
			Release: rel.ID, State: store.AlertFiring, Alert: alertOf(message.Of(message.Facts{
				Release: rel, Verdict: v, Policy: p, Actions: known, Now: time.Now(),
			}, r.deps.Places), p, rollbackNote(known, p)),
		})
		if err != nil {
			return nil, err
		}
	}
	if err := tx.Audit(row(rel.ID, "decision", outcomeOf(decided), fmt.Sprintf(
		"the release regressed, and policy %q has autonomy %s", p.Name, allowed))); err != nil {
		return nil, err
	}
	if !allowed.Allows(release.AutonomyApprove) && asked.Key == "" {
		if err := tx.Audit(row(rel.ID, "rollback", "refused", fmt.Sprintf(
			"policy %q allows alerting only (autonomy %s)", p.Name, allowed))); err != nil {
			return nil, err
		}
	}
	for _, a := range decided {
		if err := r.add(ctx, tx, a); err != nil {
			return nil, err
		}
		if a.State == release.ActionPending {
			if a.Kind == release.ActionRollback {
				r.first.decided(a.Key)
			}
			continue
		}
		if err := tx.Audit(row(rel.ID, string(a.Kind), string(a.State), a.Detail)); err != nil {
			return nil, err
		}
		settled = append(settled, a)
	}
	return settled, nil
}

// decisions are the actions of a regressed release, the rollback first.
func decisions(rel release.Release, v release.Verdict, p release.Policy, allowed release.Autonomy, deps Deps, held *release.Breaker) []release.Action {
	now := time.Now()
	action := func(kind release.ActionKind, state release.ActionState, detail string) release.Action {
		return release.Action{
			Key: release.ActionKey(rel.ID, kind), Release: rel.ID, Kind: kind, State: state, Detail: detail,
			CreatedAt: now, UpdatedAt: now, PendingSince: now,
		}
	}
	var out []release.Action
	switch {
	case !allowed.Allows(release.AutonomyApprove):
	case len(v.Evidence) == 0:
		out = append(out, action(release.ActionRollback, release.ActionRefused, "the verdict carries no evidence"))
	case rel.SupersededBy != "":
		out = append(out, action(release.ActionRollback, release.ActionVoid, "release "+string(rel.SupersededBy)+" has taken over"))
	case !allowed.Allows(release.AutonomyAuto):
		a := action(release.ActionRollback, release.ActionWaiting, fmt.Sprintf("policy %q asks for a person's approval", p.Name))
		until := now.Add(deps.Limits.ApproveWithin)
		a.WaitsFor, a.ExpiresAt = release.WaitsForApproval, &until
		out = append(out, a)
	case held != nil:
		a := action(release.ActionRollback, release.ActionWaiting, heldBy(held))
		a.WaitsFor = release.WaitsForBreaker
		out = append(out, a)
	default:
		out = append(out, action(release.ActionRollback, release.ActionPending, ""))
	}
	if deps.Alerter == nil {
		out = append(out, action(release.ActionAlert, release.ActionRefused, "no Alertmanager is configured"))
	} else {
		out = append(out, action(release.ActionAlert, release.ActionPending, ""))
	}
	out = append(out, action(release.ActionEvent, release.ActionPending, ""))
	switch {
	case !p.Issue:
	case deps.Forge == nil:
		out = append(out, action(release.ActionIssue, release.ActionRefused, "no forge is configured"))
	case held != nil && held.Actor == actor: // too many at once: not an issue for each
		a := action(release.ActionIssue, release.ActionWaiting, heldBy(held))
		a.WaitsFor = release.WaitsForBreaker
		out = append(out, a)
	default:
		out = append(out, action(release.ActionIssue, release.ActionPending, ""))
	}
	return out
}

func outcomeOf(actions []release.Action) string {
	parts := make([]string, len(actions))
	for i, a := range actions {
		parts[i] = string(a.Kind)
		if a.State != release.ActionPending {
			parts[i] += " (" + string(a.State) + ")"
		}
	}
	return strings.Join(parts, ", ")
}

// rollbackNote is what the alert says of the rollback before it is carried out.
func rollbackNote(actions []release.Action, p release.Policy) string {
	for _, a := range actions {
		if a.Kind == release.ActionRollback {
			return noteOf(a)
		}
	}
	return fmt.Sprintf("not done: policy %q allows alerting only", p.Name)
}

// noteOf is what an alert says of a rollback.
func noteOf(a release.Action) string {
	if a.State == release.ActionPending {
		return "pending: the last good version is being put back"
	}
	return string(a.State) + ": " + a.Detail
}

// add inserts an action and, when it is pending, the job that carries it out.
func (r *Responder) add(ctx context.Context, tx *store.Tx, a release.Action) error {
	inserted, err := tx.InsertAction(a)
	if err != nil || !inserted || a.State != release.ActionPending {
		return err
	}
	return r.enqueue(ctx, tx, a)
}

// enqueue has a pending action carried out.
func (r *Responder) enqueue(ctx context.Context, tx *store.Tx, a release.Action) error {
	priority := 2
	switch a.Kind {
	case release.ActionRollback:
		priority = 1
	case release.ActionIssue, release.ActionEvent: // nobody is woken by them
		priority = 3
	case release.ActionAlert, release.ActionMessage:
	}
	if _, err := r.client.InsertTx(ctx, tx.SQL(), actionArgs{Key: a.Key}, &river.InsertOpts{Priority: priority, Queue: r.store.Queue()}); err != nil {
		return fmt.Errorf("enqueue action %s: %w", a.Key, err)
	}
	return nil
}

// Closed is called when a release was superseded or its workload is gone: its
// alert ends, and a rollback that waits for approval is void. A rollback under
// way is left to the cluster's fences.
func (r *Responder) Closed(ctx context.Context, id release.ID, why string) error {
	var settled []release.Action
	err := r.store.Write(ctx, func(tx *store.Tx) error {
		settled = nil
		a, err := tx.Action(release.ActionKey(id, release.ActionRollback))
		if err != nil && release.ErrorCode(err) != release.CodeNotFound {
			return err
		}
		if err == nil && a.State == release.ActionWaiting {
			a.State, a.Detail, a.WaitsFor, a.ExpiresAt, a.UpdatedAt = release.ActionVoid, release.OneLine(why, maxDetail), "", nil, time.Now()
			if _, err := tx.UpdateAction(a); err != nil {
				return err
			}
			if err := tx.Audit(row(id, string(a.Kind), string(a.State), a.Detail)); err != nil {
				return err
			}
			settled = append(settled, a)
		}
		if err := endAlert(tx, id, "closed: "+why, ""); err != nil {
			return err
		}
		return r.close(ctx, tx, id, why)
	})
	if err != nil {
		return fmt.Errorf("close release %s: %w", id, err)
	}
	for _, a := range settled {
		r.metrics.settled(a)
	}
	r.pokeAlerts()
	r.bell.ring()
	return nil
}

// close notes why a release is over, the first time, and tells of it.
func (r *Responder) close(ctx context.Context, tx *store.Tx, id release.ID, why string) error {
	rec, err := tx.Release(id)
	if release.ErrorCode(err) == release.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	after, err := tx.Aftermath(id)
	if err != nil || after.Closed != "" {
		return err
	}
	after.Closed = release.OneLine(why, maxDetail)
	if err := tx.SaveAftermath(after); err != nil {
		return err
	}
	return r.speak(ctx, tx, rec)
}

package respond

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// rollbackPlan is what a rollback is about to do.
type rollbackPlan struct {
	Request release.RollbackRequest `json:"request"`
	Why     string                  `json:"why"` // this target
}

func (r *Responder) rollback(ctx context.Context, a release.Action, rec store.Record) (outcome, error) {
	// What was decided is looked at again where it is acted upon: no rollback
	// without a stored verdict and its evidence,
	// or a person who asked for it by name.
	if a.AskedBy == "" && (rec.Verdict.Kind != release.Regressed || !rec.Verdict.Final || len(rec.Verdict.Evidence) == 0) {
		return outcome{}, release.E(release.CodeVoid, "no final verdict of a regression with evidence is stored", nil)
	}
	if rec.Verdict.Wrong != nil {
		return r.unlessPatched(ctx, a, rec)
	}
	plan, held, refused, err := r.plan(ctx, a, rec)
	if err != nil {
		return outcome{}, err
	}
	if held != nil {
		return outcome{state: release.ActionWaiting, waits: release.WaitsForBreaker, detail: heldBy(held), follow: r.afterHold(rec)}, nil
	}
	if refused != "" {
		return outcome{state: release.ActionRefused, detail: refused, follow: r.afterRollback(rec, nil)}, nil
	}
	at(pointPlanned)
	res, err := r.deps.Cluster.Rollback(ctx, plan.Request)
	if err != nil {
		return outcome{}, err
	}
	at(pointPatched)
	target := plan.Request.Target
	if res.Target.Name != "" && res.Target.Name != target.Name { // put back by an earlier attempt
		target, plan.Why = res.Target, "patched before"
	}
	return r.putBack(a, rec, target, plan.Why), nil
}

// putBack is a rollback that the cluster accepted.
func (r *Responder) putBack(a release.Action, rec store.Record, target release.ReplicaSet, why string) outcome {
	detail := fmt.Sprintf("put back %s, %s", release.ReplicaSetName(target), why)
	if a.AskedBy != "" {
		detail += ", as " + a.AskedBy + " asked"
	}
	return outcome{state: release.ActionDone, detail: detail, follow: r.afterRollback(rec, &target)}
}

// unlessPatched ends the rollback of a release whose verdict was marked wrong. An
// attempt that died may have patched: then the Deployment has the target's
// template.
func (r *Responder) unlessPatched(ctx context.Context, a release.Action, rec store.Record) (outcome, error) {
	void := release.E(release.CodeVoid, markedWrong(rec.Verdict), nil)
	var plan rollbackPlan
	found, err := r.store.Plan(ctx, a.Key, &plan)
	if err != nil {
		return outcome{}, err
	}
	if !found {
		return outcome{}, void
	}
	_, err = r.deps.Cluster.Restored(ctx, rec.Release.Workload, plan.Request.Target)
	switch release.ErrorCode(err) {
	case "":
		return r.putBack(a, rec, plan.Request.Target, "patched before"), nil
	case release.CodeVoid, release.CodeRefused:
		return outcome{}, void
	}
	return outcome{}, err
}

// plan is what an earlier attempt was about to do, or is made and kept now.
func (r *Responder) plan(ctx context.Context, a release.Action, rec store.Record) (plan rollbackPlan, held *release.Breaker, refused string, err error) {
	rel := rec.Release
	found, err := r.store.Plan(ctx, a.Key, &plan)
	if err != nil {
		return plan, nil, "", err
	}
	judged, err := r.store.Judged(ctx, rel.Workload.Cluster, rel.Workload.UID)
	if err != nil {
		return plan, nil, "", err
	}
	if found {
		if judged[plan.Request.Target.UID] == release.Regressed {
			return plan, nil, fmt.Sprintf("%s was judged regressed meanwhile", release.ReplicaSetName(plan.Request.Target)), nil
		}
		held, err = r.stillThrough(ctx, a, rel)
		return plan, held, "", err
	}
	live, err := r.deps.Cluster.ReplicaSets(ctx, rel.Workload)
	if err != nil {
		return plan, nil, "", err
	}
	target, why, refused := chooseTarget(rel, live, judged)
	if refused != "" {
		return plan, nil, refused, nil
	}
	plan = rollbackPlan{Why: why, Request: release.RollbackRequest{
		Release: rel.ID, Workload: rel.Workload, From: rel.ReplicaSet, Target: target,
		Reason: reasonOf(a, rec),
	}}
	err = r.store.Write(ctx, func(tx *store.Tx) error {
		if held, err = r.letThrough(tx, a, rel, time.Now()); err != nil || held != nil {
			return err
		}
		return tx.SavePlan(a.Key, plan)
	})
	return plan, held, "", err
}

// reasonOf is why a release is rolled back, in one line.
func reasonOf(a release.Action, rec store.Record) string {
	if a.AskedBy != "" && rec.Verdict.Kind != release.Regressed {
		return release.FirstLine(rec.Release, "is rolled back as "+release.OneLine(a.AskedBy, 40)+" asked", "")
	}
	return release.Headline(rec.Release, rec.Verdict)
}

// stillThrough looks at the breaker again for a rollback that was let through
// and has failed since. One that died on its way is carried to its end: it may
// have been done.
func (r *Responder) stillThrough(ctx context.Context, a release.Action, rel release.Release) (*release.Breaker, error) {
	if a.Attempts <= 1 {
		return nil, nil
	}
	breakers, err := r.store.Breakers(ctx, rel.Workload.Cluster)
	if err != nil {
		return nil, err
	}
	return release.Holding(breakers, rel.Workload.Namespace, time.Now()), nil
}

// afterHold tells that a rollback waits for a person.
func (r *Responder) afterHold(rec store.Record) func(context.Context, *store.Tx, release.Action) error {
	return func(ctx context.Context, tx *store.Tx, a release.Action) error {
		if err := annotate(tx, a.Release, map[string]string{annotationRollback: noteOf(a)}); err != nil {
			return err
		}
		if err := r.speak(ctx, tx, rec); err != nil {
			return err
		}
		i, found, err := tx.OpenIncident(rec.Release.Workload.Cluster)
		if err != nil || !found {
			return err
		}
		return r.speakOfIncident(ctx, tx, i.ID)
	}
}

// afterRollback tells of what came of a rollback, and watches the target come
// back when there is one.
func (r *Responder) afterRollback(rec store.Record, target *release.ReplicaSet) func(context.Context, *store.Tx, release.Action) error {
	return func(ctx context.Context, tx *store.Tx, a release.Action) error {
		if err := annotate(tx, a.Release, map[string]string{annotationRollback: noteOf(a)}); err != nil {
			return err
		}
		if a.State == release.ActionVoid || a.State == release.ActionRefused {
			if err := tx.Ungrant(a.Key); err != nil {
				return err
			}
		}
		now := time.Now()
		told := release.Action{
			Key: eventOfRollback(a), Release: a.Release, Kind: release.ActionEvent, State: release.ActionPending,
			CreatedAt: now, UpdatedAt: now, PendingSince: now,
		}
		if err := r.add(ctx, tx, told); err != nil {
			return err
		}
		if err := r.speak(ctx, tx, rec); err != nil {
			return err
		}
		if target == nil {
			return nil
		}
		args := restoreArgs{Release: a.Release, Workload: rec.Release.Workload, Target: *target, Since: now}
		if _, err := r.client.InsertTx(ctx, tx.SQL(), args, &river.InsertOpts{Priority: 2, Queue: r.store.Queue()}); err != nil {
			return fmt.Errorf("enqueue the watch of %s: %w", target.Name, err)
		}
		return nil
	}
}

// eventOfRollback is the key of the Event that tells what came of a rollback, and
// another one where a person asked for it anew.
func eventOfRollback(a release.Action) string {
	key := release.ActionKey(a.Release, release.ActionEvent)
	if a.AskedBy != "" {
		key += "/asked"
	}
	return key + "/rollback"
}

// event writes the verdict, or what came of the rollback, on the Deployment.
func (r *Responder) event(ctx context.Context, a release.Action, rec store.Record) (outcome, error) {
	reason, text, warning := "ReleaseRegressed", release.Headline(rec.Release, rec.Verdict), true
	if strings.HasSuffix(a.Key, "/rollback") {
		rollback, err := r.store.Action(ctx, release.ActionKey(a.Release, release.ActionRollback))
		if err != nil {
			return outcome{}, err
		}
		reason, warning = eventReason(rollback.State)
		text = "rollback of " + release.VersionStep(rec.Release) + " " + noteOf(rollback)
	}
	if err := r.deps.Cluster.Event(ctx, rec.Release.Workload, a.Key, reason, text, warning); err != nil {
		return outcome{}, err
	}
	at(pointEvent)
	return outcome{state: release.ActionDone, detail: reason + " written on deployment " + rec.Release.Workload.String()}, nil
}

func eventReason(s release.ActionState) (reason string, warning bool) {
	switch s {
	case release.ActionDone:
		return "ReleaseRolledBack", false
	case release.ActionRefused:
		return "RollbackRefused", true
	case release.ActionVoid:
		return "RollbackVoid", true
	}
	return "RollbackFailed", true
}

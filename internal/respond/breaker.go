package respond

import (
	"context"
	"fmt"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Limits of what is done without a person.
type Limits struct {
	// Rollbacks and RollbacksPerNamespace are how many are let through within
	// Window, in the cluster and in each namespace. The next one opens the breaker.
	Rollbacks, RollbacksPerNamespace int
	Window                           time.Duration
	// Regressions are how many workloads of a cluster that regress Within are one
	// incident, which opens the breaker.
	Regressions int
	Within      time.Duration
	// OpenFor is after how long an open breaker closes by itself.
	OpenFor time.Duration
	// ApproveWithin is how long a rollback waits for a person's approval.
	ApproveWithin time.Duration
}

// DefaultLimits are in force where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		Rollbacks: 10, RollbacksPerNamespace: 5, Window: 10 * time.Minute,
		Regressions: 10, Within: 5 * time.Minute, OpenFor: time.Hour, ApproveWithin: time.Hour,
	}
}

// surge notes a regression, and opens the cluster's breaker when there are now too
// many at once. held is the breaker that holds the release's rollback, nil for
// none; while an incident is told, the release becomes part of it.
func (r *Responder) surge(tx *store.Tx, rel release.Release, now time.Time) (held *release.Breaker, err error) {
	cluster, limits := rel.Workload.Cluster, r.deps.Limits
	breakers, err := tx.Breakers(cluster)
	if err != nil {
		return nil, err
	}
	if err := tx.InsertRegression(rel, now, ""); err != nil {
		return nil, err
	}
	if held = release.Holding(breakers, rel.Workload.Namespace, now); held == nil || held.Namespace != "" {
		n, err := tx.RegressedSince(cluster, since(breakers, "", now, limits.Within))
		if err != nil {
			return nil, err
		}
		if n >= limits.Regressions {
			why := fmt.Sprintf("%d workloads regressed within %s", n, release.Seconds(limits.Within.Seconds()))
			if held, err = r.trip(tx, rel, "", why, now); err != nil {
				return nil, err
			}
		}
	}
	open, found, err := tx.OpenIncident(cluster)
	if err != nil || !found || held == nil {
		return held, err
	}
	return held, tx.Gather(open.ID, cluster, now.Add(-limits.Within))
}

// since is from when on things are counted: a window ago, or since a person
// closed the breaker, the cluster's for all its namespaces.
func since(breakers []release.Breaker, namespace string, now time.Time, window time.Duration) time.Time {
	start := now.Add(-window)
	for _, b := range breakers {
		if (b.Namespace == namespace || b.Namespace == "") && !b.Open && b.Actor != actor && b.ChangedAt.After(start) {
			start = b.ChangedAt
		}
	}
	return start
}

// letThrough grants a rollback, or says what holds it. It is part of the
// transaction that keeps its plan, so that what was granted is what is done.
func (r *Responder) letThrough(tx *store.Tx, a release.Action, rel release.Release, now time.Time) (held *release.Breaker, err error) {
	w, limits := rel.Workload, r.deps.Limits
	breakers, err := tx.Breakers(w.Cluster)
	if err != nil {
		return nil, err
	}
	if held := release.Holding(breakers, w.Namespace, now); held != nil {
		return held, nil
	}
	for _, scope := range []struct {
		namespace string
		limit     int
	}{{"", limits.Rollbacks}, {w.Namespace, limits.RollbacksPerNamespace}} {
		n, err := tx.Granted(w.Cluster, scope.namespace, since(breakers, scope.namespace, now, limits.Window))
		if err != nil {
			return nil, err
		}
		if n >= scope.limit {
			why := fmt.Sprintf("%s within %s: no more without a person", release.Plural(n, "rollback"), release.Seconds(limits.Window.Seconds()))
			return r.trip(tx, rel, scope.namespace, why, now)
		}
	}
	return nil, tx.Grant(a.Key, w, now)
}

// trip opens a breaker by itself, and makes an incident of what it holds unless
// there is one. One incident of a cluster is told, not one for each namespace.
func (r *Responder) trip(tx *store.Tx, rel release.Release, namespace, why string, now time.Time) (*release.Breaker, error) {
	closes := now.Add(r.deps.Limits.OpenFor)
	b := release.Breaker{Cluster: rel.Workload.Cluster, Namespace: namespace, Open: true, ChangedAt: now, ClosesAt: &closes, Actor: actor, Why: why}
	if err := tx.SaveBreaker(b); err != nil {
		return nil, err
	}
	if err := tx.Audit(row(rel.ID, "breaker", "opened", b.Scope()+": "+why)); err != nil {
		return nil, err
	}
	r.metrics.breakers.Inc()
	r.log.Warn("breaker opened", "cluster", b.Cluster, "namespace", namespace, "why", why)
	_, found, err := tx.OpenIncident(b.Cluster)
	if err != nil || found {
		return &b, err
	}
	i := store.Incident{
		ID: incidentPrefix + string(rel.ID) + "-" + fmt.Sprint(now.UnixMilli()), Cluster: b.Cluster, Release: rel.ID, Why: why,
		State: store.AlertFiring, OpenedAt: now,
	}
	if err := tx.SaveIncident(i); err != nil {
		return nil, err
	}
	return &b, tx.Gather(i.ID, i.Cluster, now.Add(-r.deps.Limits.Within))
}

// heldBy says why a rollback waits.
func heldBy(b *release.Breaker) string {
	return fmt.Sprintf("the breaker of %s is open: %s", b.Scope(), b.Why)
}

// tend closes breakers whose time is over, ends approvals that were not given in
// time, and sees to what a clock that was set back would hold up, until ctx ends.
func (r *Responder) tend(ctx context.Context) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	beyond, before := farthest, time.Now()
	for {
		now := time.Now()
		if setBack(wallTime(before, now), now.Sub(before)) {
			beyond = 0
		}
		before = now
		err := r.tendOnce(ctx, now)
		if beyond >= 0 && err == nil {
			if err = r.hurry(ctx, beyond); err == nil {
				beyond = -1 // done, until the clock is set back again
			}
		}
		if err != nil && ctx.Err() == nil {
			r.log.Warn("open breakers and approvals could not be looked at", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tendEvery is how much later than its time a breaker may close.
const tendEvery = 5 * time.Second

func (r *Responder) tendOnce(ctx context.Context, now time.Time) error {
	late, err := r.store.ListActions(ctx, store.ActionFilter{State: release.ActionWaiting, WaitsFor: release.WaitsForApproval, Before: now, Limit: -1})
	if err != nil {
		return err
	}
	for _, a := range late {
		if err := r.expire(ctx, a.Key, now); err != nil {
			return err
		}
	}
	if r.deps.Name == "" {
		return nil
	}
	breakers, err := r.store.Breakers(ctx, r.deps.Name)
	if err != nil {
		return err
	}
	for _, b := range breakers {
		if b.Open && b.ClosesAt != nil && !b.ClosesAt.After(now) {
			if err := r.lapse(ctx, b.Namespace, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// lapse closes a breaker whose time is over. What it held waits on.
func (r *Responder) lapse(ctx context.Context, namespace string, now time.Time) error {
	err := r.store.Write(ctx, func(tx *store.Tx) error {
		breakers, err := tx.Breakers(r.deps.Name)
		if err != nil {
			return err
		}
		for _, b := range breakers {
			if b.Namespace != namespace || !b.Open || b.ClosesAt == nil || b.ClosesAt.After(now) {
				continue
			}
			b.Open, b.ChangedAt, b.ClosesAt, b.Actor, b.Why = false, now, nil, actor, "its time was over"
			if err := r.closeBreaker(ctx, tx, b); err != nil {
				return err
			}
		}
		return nil
	})
	r.bell.ring()
	r.pokeAlerts()
	return err
}

// closeBreaker records a closed breaker, and the end of the incident with it when
// nothing is left of that.
func (r *Responder) closeBreaker(ctx context.Context, tx *store.Tx, b release.Breaker) error {
	if err := tx.SaveBreaker(b); err != nil {
		return err
	}
	audit := row("", "breaker", "closed", b.Scope()+": "+b.Why)
	audit.Actor = b.Actor
	if err := tx.Audit(audit); err != nil {
		return err
	}
	return r.endIncident(ctx, tx, b.Cluster)
}

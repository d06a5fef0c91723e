package respond

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

const (
	// AlertName is the alertname of a regressed release.
	AlertName = message.AlertName

	annotationRollback = "rollback"
	annotationRestored = "restored"

	repostEvery = time.Minute
	// An alert nobody re-posts any more ends by itself after this.
	firingFor      = 4 * time.Minute
	postAgainAfter = 10 * time.Second
	postBatch      = 64
)

// alertOf is the alert of a regressed release: what every receiver is told, and
// what became of the rollback by an annotation of its own.
func alertOf(m release.Message, p release.Policy, rollback string) release.Alert {
	a := message.Alert(m)
	a.Labels[message.LabelSeverity] = string(cmp.Or(p.Severity, release.SeverityCritical))
	a.Annotations[annotationRollback] = release.OneLine(rollback, maxDetail)
	return a
}

// sayInAlert has a release's alert, if it has one, say how the release stands.
func sayInAlert(tx *store.Tx, m release.Message) error {
	a, found, err := tx.Alert(m.Release)
	if err != nil || !found || a.State == store.AlertResolved {
		return err
	}
	for k, v := range message.Annotations(m) {
		if k != annotationRollback {
			a.Alert.Annotations[k] = v
		}
	}
	return tx.UpdateAlert(a)
}

// alert posts the alert of a release for the first time.
func (r *Responder) alert(ctx context.Context, rec store.Record) (outcome, error) {
	if r.deps.Alerter == nil { // it was configured when this was decided
		return outcome{state: release.ActionRefused, detail: "no Alertmanager is configured"}, nil
	}
	if age := time.Since(rec.Verdict.UpdatedAt); age >= 0 && age < r.pace.gather {
		return outcome{}, notYet{wait: r.pace.gather - age}
	}
	incident, err := r.store.IncidentOf(ctx, rec.Release.ID)
	if err != nil {
		return outcome{}, err
	}
	if incident != "" {
		return outcome{state: release.ActionVoid, detail: "told together with others that regressed at the same time, by " + IncidentAlertName}, nil
	}
	only := func(a store.Alert) bool { return a.Release == rec.Release.ID }
	if _, err := r.postAlerts(ctx, only); err != nil {
		return outcome{}, err
	}
	return outcome{state: release.ActionDone, detail: AlertName + " is with Alertmanager"}, nil
}

// keepAlertsAlive re-posts until ctx ends.
func (r *Responder) keepAlertsAlive(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		next := repostEvery
		if r.deps.Alerter != nil {
			wait, err := r.postAlerts(ctx, ripe(time.Now(), r.pace.gather))
			if err != nil && ctx.Err() == nil {
				r.log.Warn("alerts could not be posted", "err", err)
			}
			next = wait
		}
		timer.Reset(next)
		select { // many changes at once are posted as one
		case <-ctx.Done():
		case <-time.After(r.pace.alertPause):
		}
	}
}

// ripe leaves out alerts that wait for others to be told with.
func ripe(now time.Time, gather time.Duration) func(store.Alert) bool {
	return func(a store.Alert) bool {
		age := now.Sub(a.Alert.StartsAt)
		return a.PostedAt != nil || age < 0 || age >= gather
	}
}

// pokeAlerts has changed alerts posted soon.
func (r *Responder) pokeAlerts() {
	select {
	case r.wake <- struct{}{}:
	default: // it is awake already
	}
}

// postAlerts posts the alerts that fire and those whose end has come, and
// records what Alertmanager took. It answers when to do so again.
func (r *Responder) postAlerts(ctx context.Context, which func(store.Alert) bool) (again time.Duration, err error) {
	select {
	case r.posting <- struct{}{}:
		defer func() { <-r.posting }()
	case <-ctx.Done():
		return postAgainAfter, ctx.Err()
	}
	alerts, err := r.store.FiringAlerts(ctx)
	if err != nil {
		return postAgainAfter, err
	}
	incidents, err := r.store.FiringIncidents(ctx)
	if err != nil {
		return postAgainAfter, err
	}
	for _, i := range incidents {
		alerts = append(alerts, r.incidentAlert(i))
	}
	alerts = slices.DeleteFunc(alerts, func(a store.Alert) bool { return !which(a) })
	again = repostEvery
	for batch := range slices.Chunk(alerts, postBatch) {
		ctx, cancel := context.WithTimeout(ctx, jobTimeout/2)
		wait, err := r.postBatch(ctx, batch)
		cancel()
		if err != nil {
			return postAgainAfter, err
		}
		again = min(again, wait)
	}
	return again, nil
}

func (r *Responder) postBatch(ctx context.Context, batch []store.Alert) (again time.Duration, err error) {
	now := time.Now()
	again = repostEvery
	posts := make([]release.Alert, len(batch))
	for i := range batch {
		a := &batch[i]
		posts[i] = a.Alert
		posts[i].EndsAt = now.Add(firingFor)
		if a.State != store.AlertResolving {
			continue
		}
		// An end is told only after its beginning, and not too soon after it.
		if a.PostedAt != nil && now.Sub(*a.PostedAt) >= r.pace.firesAtLeast {
			a.State, posts[i].EndsAt = store.AlertResolved, now
			continue
		}
		wait := r.pace.firesAtLeast
		if a.PostedAt != nil {
			wait -= now.Sub(*a.PostedAt)
		}
		again = min(again, max(wait, 0))
	}
	if err := r.deps.Alerter.Post(ctx, posts); err != nil {
		return 0, err
	}
	at(pointPosted)
	if !slices.ContainsFunc(batch, func(a store.Alert) bool { return a.PostedAt == nil || a.State == store.AlertResolved }) {
		return again, nil // nothing is new
	}
	return again, r.record(ctx, func(_ context.Context, tx *store.Tx) error { return taken(tx, batch, now) })
}

// taken records that Alertmanager took the alerts. Whatever else became of
// them in the meantime stays.
func taken(tx *store.Tx, batch []store.Alert, now time.Time) error {
	for _, posted := range batch {
		if posted.Incident != "" {
			if err := takenIncident(tx, posted, now); err != nil {
				return err
			}
			continue
		}
		if posted.PostedAt != nil && posted.State != store.AlertResolved {
			continue // as it was before
		}
		a, found, err := tx.Alert(posted.Release)
		if err != nil {
			return err
		}
		if !found || (a.PostedAt != nil && posted.State != store.AlertResolved) {
			continue
		}
		if a.PostedAt == nil {
			a.PostedAt = &now
		}
		if posted.State == store.AlertResolved {
			a.State = store.AlertResolved
			if err := tx.Audit(row(a.Release, "alert", "resolved", "Alertmanager was told of its end")); err != nil {
				return err
			}
		}
		if err := tx.UpdateAlert(a); err != nil {
			return err
		}
	}
	return nil
}

// takenIncident records that Alertmanager took the alert of an incident.
func takenIncident(tx *store.Tx, posted store.Alert, now time.Time) error {
	i, found, err := tx.Incident(posted.Incident)
	if err != nil || !found || (i.PostedAt != nil && posted.State != store.AlertResolved) {
		return err
	}
	if i.PostedAt == nil {
		i.PostedAt = &now
	}
	if posted.State == store.AlertResolved {
		i.State = store.AlertResolved
	}
	return tx.SaveIncident(i)
}

// annotate changes annotations of a release's alert, if it has one.
func annotate(tx *store.Tx, id release.ID, annotations map[string]string) error {
	a, found, err := tx.Alert(id)
	if err != nil || !found {
		return err
	}
	for k, v := range annotations {
		a.Alert.Annotations[k] = release.OneLine(v, maxDetail)
	}
	return tx.UpdateAlert(a)
}

// endAlert lets a firing alert end; restored says how the workload came back,
// "" when it did not.
func endAlert(tx *store.Tx, id release.ID, why, restored string) error {
	a, found, err := tx.Alert(id)
	if err != nil || !found || a.State != store.AlertFiring {
		return err
	}
	now := time.Now()
	a.State, a.ResolveAt = store.AlertResolving, &now
	if incident, err := tx.IncidentOf(id); err != nil || (incident != "" && a.PostedAt == nil) {
		if err != nil {
			return err
		}
		a.State = store.AlertResolved // nobody was told of it by itself
	}
	if restored != "" {
		a.Alert.Annotations[annotationRestored] = "done: " + restored
	}
	if err := tx.UpdateAlert(a); err != nil {
		return err
	}
	return tx.Audit(row(id, "alert", "ending", why))
}

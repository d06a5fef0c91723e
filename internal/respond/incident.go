package respond

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

const (
	// IncidentAlertName is the alertname of many regressions told as one.
	IncidentAlertName = "WatchtowerIncident"
	incidentPrefix    = "incident-"
	// An incident that grows is told of again no more often than this.
	incidentPause = 10 * time.Second
)

// speakOfIncident has receivers told how an incident stands, in the transaction
// that changed that.
func (r *Responder) speakOfIncident(ctx context.Context, tx *store.Tx, id string) error {
	i, found, err := tx.Incident(id)
	if err != nil || !found {
		return err
	}
	if err := r.endIncident(ctx, tx, i.Cluster); err != nil || len(r.deps.Notifiers) == 0 {
		return err
	}
	known, err := tx.Deliveries(release.ID(id))
	if err != nil {
		return err
	}
	if len(known) == 0 {
		rec, err := tx.Release(i.Release)
		if err != nil {
			return err
		}
		m := message.Of(factsOf(rec, nil, store.Aftermath{}), r.deps.Places)
		m = message.Together(message.KindIncident, id, 1, []release.Message{m}, r.deps.Places, time.Now())
		for _, name := range r.receivers(m) {
			known = append(known, store.Delivery{Key: release.SinkKey(release.ID(id), release.ActionMessage, name), Release: release.ID(id), Sink: name})
		}
	}
	for _, d := range known {
		if err := r.bump(ctx, tx, d, i.Release); err != nil {
			return err
		}
	}
	return nil
}

// incident is how an incident stands.
func (r *Responder) incident(ctx context.Context, d store.Delivery) (bundle, error) {
	id := string(d.Release)
	i, found, err := r.store.Incident(ctx, id)
	if err != nil || !found {
		return bundle{}, fmt.Errorf("incident %s is not known: %w", id, err)
	}
	members, err := r.store.Members(ctx, id)
	if err != nil {
		return bundle{}, err
	}
	if len(members) == 0 { // all that regressed was told of by itself; the one that was held stands for it
		rec, err := r.store.Release(ctx, i.Release)
		if err != nil {
			return bundle{}, err
		}
		one := store.Member{Record: rec}
		if one.Actions, err = r.store.Actions(ctx, i.Release); err != nil {
			return bundle{}, err
		}
		if one.Aftermath, err = r.store.Aftermath(ctx, i.Release); err != nil {
			return bundle{}, err
		}
		members = append(members, one)
	}
	all := make([]release.Message, len(members))
	for n, m := range members {
		all[n] = message.Of(factsOf(m.Record, m.Actions, m.Aftermath), r.deps.Places)
	}
	m := message.Together(message.KindIncident, id, d.Sequence, all, r.deps.Places, time.Now())
	m.Release, m.Why = i.Release, i.Why
	if i.Acknowledged.Stands() {
		m.Acknowledged = i.Acknowledged
	}
	if i.State == store.AlertFiring {
		m.Next = "See what they have in common. Then `watchtower breaker close`, or approve rollbacks one by one after it."
	}
	return bundle{message: m, each: []release.Message{m}, wait: r.pace.gather, interval: incidentPause}, nil
}

// endIncident lets the incident of a cluster end when no breaker holds anything
// and every release of it came back or is over.
func (r *Responder) endIncident(ctx context.Context, tx *store.Tx, cluster string) error {
	i, found, err := tx.OpenIncident(cluster)
	if err != nil || !found {
		return err
	}
	breakers, err := tx.Breakers(cluster)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, b := range breakers {
		if b.Holds(b.Namespace, now) {
			return nil
		}
	}
	left, err := tx.Unsettled(i.ID)
	if err != nil || left > 0 {
		return err
	}
	i.State, i.EndedAt = store.AlertResolving, &now
	if err := tx.SaveIncident(i); err != nil {
		return err
	}
	if err := tx.Audit(row(i.Release, "incident", "ended", "the breaker is closed, and nothing of it is left")); err != nil {
		return err
	}
	return r.speakOfIncident(ctx, tx, i.ID)
}

// incidentAlert is the one alert of an incident.
func (r *Responder) incidentAlert(i store.Incident) store.Alert {
	a := store.Alert{
		Incident: i.ID, State: i.State, PostedAt: i.PostedAt, ResolveAt: i.EndedAt,
		Alert: release.Alert{
			Labels: map[string]string{"alertname": IncidentAlertName, "cluster": i.Cluster, "incident": i.ID, "severity": "critical"},
			Annotations: map[string]string{
				"summary":     release.OneLine("Many releases regressed at once: "+i.Why, maxDetail),
				"description": "The breaker is open: rollbacks wait for a person. `watchtower releases --verdict regressed` lists what regressed, `watchtower breaker` what holds it.",
			},
			StartsAt: i.OpenedAt,
		},
	}
	if r.deps.ExternalURL != "" {
		a.Alert.GeneratorURL = r.deps.ExternalURL + "/"
	}
	return a
}

func ofIncident(d store.Delivery) bool { return strings.HasPrefix(string(d.Release), incidentPrefix) }

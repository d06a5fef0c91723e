package respond

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Acknowledged notes what a person did elsewhere to the incident that has the key
// of a message. Receivers whose message is changed in place are told of it; the
// others, some of which would wake people anew, say it with what they are told
// next. The same event again, or one from before what is known, changes nothing.
// What is done to the incident of a group is done to each release in it. Events of
// incidents that are not Watchtower's, or of releases that are forgotten, are none
// of its business.
func (r *Responder) Acknowledged(ctx context.Context, key string, ack release.Acknowledgement) error {
	if strings.HasPrefix(key, groupPrefix) {
		return r.acknowledgedGroup(ctx, key, ack)
	}
	id, ours := strings.CutPrefix(key, release.MessageKey(""))
	if !ours && !strings.HasPrefix(key, incidentPrefix) {
		return nil
	}
	ack.Who, ack.At = release.OneLine(ack.Who, 100), ack.At.UTC().Truncate(time.Millisecond)
	why := "at " + ack.Where + ", " + ack.At.Format(time.RFC3339)
	err := r.store.Write(ctx, func(tx *store.Tx) error {
		about, known, err := incidentOrRelease(tx, id)
		if release.ErrorCode(err) == release.CodeNotFound {
			return nil
		}
		if err != nil || (known != nil && *known == ack) {
			return err
		}
		rows, err := tx.AuditOf(about)
		if err != nil || slices.ContainsFunc(rows, func(a release.AuditRow) bool {
			return a.What == "incident" && a.Outcome == string(ack.What) && a.Why == why && a.Actor == ack.Who
		}) {
			return err
		}
		audit := row(about, "incident", string(ack.What), why)
		audit.Actor = ack.Who
		if err := tx.Audit(audit); err != nil || (known != nil && ack.At.Before(known.At)) {
			return err
		}
		if err := saveAcknowledgement(tx, id, &ack); err != nil {
			return err
		}
		return r.touch(ctx, tx, id, about)
	})
	if err != nil {
		return fmt.Errorf("note what was done to incident %s: %w", key, err)
	}
	r.bell.ring()
	return nil
}

func (r *Responder) acknowledgedGroup(ctx context.Context, id string, ack release.Acknowledgement) error {
	g, found, err := r.store.Group(ctx, id)
	if err != nil || !found {
		return err
	}
	members, err := r.store.GroupMembers(ctx, g)
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := r.Acknowledged(ctx, release.MessageKey(m.Release.ID), ack); err != nil {
			return err
		}
	}
	return nil
}

// incidentOrRelease finds what an ID is of: the release that its audit is of, and
// what is known of it.
func incidentOrRelease(tx *store.Tx, id string) (about release.ID, known *release.Acknowledgement, err error) {
	if strings.HasPrefix(id, incidentPrefix) {
		i, found, err := tx.Incident(id)
		if err == nil && !found {
			err = release.E(release.CodeNotFound, "incident "+id+" is not known", nil)
		}
		return i.Release, i.Acknowledged, err
	}
	about = release.ID(id)
	if _, err := tx.Release(about); err != nil {
		return about, nil, err
	}
	after, err := tx.Aftermath(about)
	return about, after.Acknowledged, err
}

func saveAcknowledgement(tx *store.Tx, id string, ack *release.Acknowledgement) error {
	if strings.HasPrefix(id, incidentPrefix) {
		i, found, err := tx.Incident(id)
		if err != nil || !found {
			return err
		}
		i.Acknowledged = ack
		return tx.SaveIncident(i)
	}
	after, err := tx.Aftermath(release.ID(id))
	if err != nil {
		return err
	}
	after.Acknowledged = ack
	return tx.SaveAftermath(after)
}

// touch has the messages changed that are changed in place, unless they have ended.
// One that is on its way may not say it, and is changed after it.
func (r *Responder) touch(ctx context.Context, tx *store.Tx, id string, about release.ID) error {
	known, err := tx.Deliveries(release.ID(id))
	if err != nil {
		return err
	}
	for _, d := range known {
		if !r.deps.InPlace[d.Sink] || d.Told.Over() {
			continue
		}
		if err := r.bump(ctx, tx, d, about); err != nil {
			return err
		}
	}
	groups, err := tx.Memberships(release.ID(id))
	if err != nil {
		return err
	}
	for _, in := range groups {
		if !r.deps.InPlace[in.Sink] {
			continue
		}
		d, found, err := tx.Delivery(release.SinkKey(release.ID(in.ID), release.ActionMessage, in.Sink))
		if err == nil && found && d.Told.Open() {
			err = r.bump(ctx, tx, d, in.Release)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forget drops what was done to the incident of an earlier verdict.
func forget(tx *store.Tx, id release.ID) error {
	after, err := tx.Aftermath(id)
	if err != nil || after.Acknowledged == nil {
		return err
	}
	after.Acknowledged = nil
	return tx.SaveAftermath(after)
}

// Refused notes that a person asked for what the person's role does not allow.
func (r *Responder) Refused(ctx context.Context, id release.ID, what string, by release.By, why string) error {
	return r.store.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Release(id); err != nil {
			return err
		}
		audit := rowBy(by, id, what, "refused")
		audit.Why = release.OneLine(why+"; asked by "+by.Reason, 2*maxDetail)
		return tx.Audit(audit)
	})
}

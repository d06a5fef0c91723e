package respond

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Notifier tells people of releases through one receiver. Of one release it is
// never called twice at the same time, and always in the order of Sequence.
type Notifier interface {
	// Deliver shows m where the receiver's people look. All messages of one Key
	// are one incident, one parent message, one annotation, updated in place. ref
	// is what the last call of this Key that was recorded answered, nil before
	// there was one; what Deliver answers is remembered in its stead (1 KiB at
	// most: a Slack channel and timestamp, the id of an annotation).
	//
	// The same message may come again, with the ref of before: the process died
	// after the receiver took it, or its answer was lost. Then it must be found by
	// its Key and Sequence and not be shown twice. Opening comes before ending: a
	// message whose State is Over follows one whose State was Open, if there was
	// any.
	//
	// Errors are *release.Error: CodeInvalid, CodeRefused and CodeNotFound are
	// final, and the message becomes a dead letter; anything else is tried again,
	// not before RetryAfter. A message that was not told in time is skipped when
	// there is a newer one.
	Deliver(ctx context.Context, m release.Message, ref []byte) (newRef []byte, err error)
}

// maxRef bounds in bytes what a receiver may have remembered.
const maxRef = 1024

// speak has receivers told how a release stands. It is part of the transaction
// that changed how it stands.
func (r *Responder) speak(ctx context.Context, tx *store.Tx, rec store.Record) error {
	id := rec.Release.ID
	if incident, err := tx.IncidentOf(id); err != nil || incident != "" {
		if err != nil {
			return err
		}
		return r.speakOfIncident(ctx, tx, incident)
	}
	known, err := tx.Deliveries(id)
	if err != nil {
		return err
	}
	if len(known) == 0 && (rec.Policy.Ignore || !rec.Policy.Autonomy.Allows(release.AutonomyAlert)) {
		return nil
	}
	actions, err := tx.Actions(id)
	if err != nil {
		return err
	}
	after, err := tx.Aftermath(id)
	if err != nil {
		return err
	}
	facts := factsOf(rec, actions, after)
	m := message.Of(facts, r.deps.Places)
	if err := sayInAlert(tx, m); err != nil {
		return err
	}
	all := make(map[string]store.Delivery)
	for _, name := range r.receivers(m) {
		key := release.SinkKey(id, release.ActionMessage, name)
		all[name] = store.Delivery{Key: key, Release: id, Sink: name}
	}
	for _, d := range known {
		all[d.Sink] = d
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := r.speakTo(ctx, tx, all[name], facts); err != nil {
			return err
		}
	}
	return nil
}

// receivers are the configured ones that a message is for.
func (r *Responder) receivers(m release.Message) []string {
	if r.deps.Route == nil {
		return slices.Sorted(maps.Keys(r.deps.Notifiers))
	}
	return slices.DeleteFunc(r.deps.Route(m), func(name string) bool { return r.deps.Notifiers[name] == nil })
}

// speakTo notes that a receiver has something to be told, and enqueues it.
func (r *Responder) speakTo(ctx context.Context, tx *store.Tx, d store.Delivery, facts message.Facts) error {
	facts.Before, facts.Sequence = d.Told, d.Sequence+1
	m := message.Of(facts, r.deps.Places)
	if m.State.Open() && !d.Told.Open() {
		d.Opening = &m
	}
	return r.bump(ctx, tx, d, facts.Release.ID)
}

// bump notes that there is more to tell, and enqueues it as an action of a
// release.
func (r *Responder) bump(ctx context.Context, tx *store.Tx, d store.Delivery, id release.ID) error {
	d.Sequence++
	now := time.Now()
	a := release.Action{
		Key: d.Key, Release: id, Kind: release.ActionMessage, Sink: d.Sink, State: release.ActionPending,
		CreatedAt: now, UpdatedAt: now, PendingSince: now,
	}
	if err := r.add(ctx, tx, a); err != nil {
		return err
	}
	if d.Sequence > 1 {
		if err := r.again(ctx, tx, a, ""); err != nil {
			return err
		}
	}
	return tx.SaveDelivery(d)
}

// factsOf are what there is to say of a release.
func factsOf(rec store.Record, actions []release.Action, after store.Aftermath) message.Facts {
	f := message.Facts{
		Release: rec.Release, Verdict: rec.Verdict, Policy: rec.Policy, Actions: actions, Closed: after.Closed, Now: time.Now(),
	}
	if after.Restored != "" && after.RestoredAt != nil {
		f.Restore = &message.Restore{State: after.Restored, Detail: after.RestoredDetail, At: *after.RestoredAt}
	}
	if a := find(actions, release.ActionKey(rec.Release.ID, release.ActionRollback)); a != nil && a.State == release.ActionWaiting {
		f.ApproveBy = a.ExpiresAt
	}
	return f
}

// message tells one receiver the newest there is to tell, but never the end of
// what it was not told the beginning of.
func (r *Responder) message(ctx context.Context, a release.Action, rec store.Record) (outcome, error) {
	notifier := r.deps.Notifiers[a.Sink]
	if notifier == nil { // it was configured when this was decided
		return outcome{state: release.ActionRefused, detail: fmt.Sprintf("there is no receiver %q any more", a.Sink)}, nil
	}
	d, found, err := r.store.Delivery(ctx, a.Key)
	if err != nil {
		return outcome{}, err
	}
	if !found || !d.Behind() {
		return outcome{state: release.ActionDone, detail: a.Detail}, nil
	}
	if wait := pause(a, d, rec.Verdict.Kind, time.Now(), r.pace.gather); wait > 0 {
		return outcome{}, notYet{wait: wait}
	}
	m, err := r.newest(ctx, rec, d)
	if err != nil {
		return outcome{}, err
	}
	if m.Key == "" { // it became part of an incident before anybody was told
		return outcome{state: release.ActionVoid, detail: "told together with others that regressed at the same time"}, nil
	}
	if wait := r.quiet(m, d, time.Now()); wait > 0 {
		return outcome{}, notYet{wait: wait, fresh: true}
	}
	ref, err := r.deliver(ctx, notifier, m, d.Ref)
	if err != nil {
		return outcome{}, err
	}
	at(pointDelivered)
	if len(ref) > maxRef {
		return outcome{}, release.E(release.CodeInternal, fmt.Sprintf("receiver %q has %d bytes to remember, more than %d", a.Sink, len(ref), maxRef), nil)
	}
	return outcome{
		state: release.ActionDone, detail: fmt.Sprintf("%s was told: %s", a.Sink, m.Headline),
		follow: func(ctx context.Context, tx *store.Tx, a release.Action) error { return r.told(ctx, tx, a, m, ref) },
	}, nil
}

// deliverPatience is how long one receiver may take.
const deliverPatience = 20 * time.Second

func (r *Responder) deliver(ctx context.Context, n Notifier, m release.Message, ref []byte) ([]byte, error) {
	bound, cancel := context.WithTimeout(ctx, deliverPatience)
	defer cancel()
	newRef, err := n.Deliver(bound, m, ref)
	if err != nil && ctx.Err() == nil && bound.Err() != nil {
		return nil, release.E(release.CodeUnavailable, "no answer within "+deliverPatience.String(), err)
	}
	return newRef, err
}

// quietLook is how often quiet hours are looked at again.
const quietLook = 10 * time.Minute

// quiet is how long quiet hours hold back the first that a receiver is told.
func (r *Responder) quiet(m release.Message, d store.Delivery, now time.Time) time.Duration {
	if r.deps.Open == nil || d.Told != "" {
		return 0
	}
	return min(r.deps.Open(m, d.Sink, now).Sub(now), quietLook)
}

// pause is how long a message waits for more to tell: the first of a regression
// for others that regress, that of an incident for its growing.
func pause(a release.Action, d store.Delivery, verdict release.VerdictKind, now time.Time, gather time.Duration) time.Duration {
	wait := gather
	switch {
	case ofIncident(d) && d.Told != "":
		wait = incidentPause
	case d.Told != "" || verdict != release.Regressed:
		return 0
	}
	age := now.Sub(a.PendingSince)
	if age < 0 { // the clock was set back
		return 0
	}
	return wait - age
}

// newest is what a receiver is told next; empty when it is told as part of an
// incident.
func (r *Responder) newest(ctx context.Context, rec store.Record, d store.Delivery) (release.Message, error) {
	if ofIncident(d) {
		return r.incidentMessage(ctx, d)
	}
	if incident, err := r.store.IncidentOf(ctx, d.Release); err != nil || (incident != "" && d.Told == "") {
		return release.Message{}, err
	}
	actions, err := r.store.Actions(ctx, d.Release)
	if err != nil {
		return release.Message{}, err
	}
	after, err := r.store.Aftermath(ctx, d.Release)
	if err != nil {
		return release.Message{}, err
	}
	facts := factsOf(rec, actions, after)
	facts.Before, facts.Sequence = d.Told, d.Sequence
	m := message.Of(facts, r.deps.Places)
	if d.Opening != nil && m.State.Over() {
		return *d.Opening, nil
	}
	return m, nil
}

// told records what a receiver was told, and goes on when there is more.
func (r *Responder) told(ctx context.Context, tx *store.Tx, a release.Action, m release.Message, ref []byte) error {
	d, found, err := tx.Delivery(a.Key)
	if err != nil || !found {
		return err
	}
	d.Told, d.ToldSequence, d.Ref = m.State, m.Sequence, ref
	if d.Opening != nil && m.Sequence >= d.Opening.Sequence {
		d.Opening = nil // told, or overtaken
	}
	if err := tx.SaveDelivery(d); err != nil {
		return err
	}
	if !d.Behind() {
		return r.repeat(ctx, tx, a, m)
	}
	return r.again(ctx, tx, a, a.Detail)
}

// again has a settled action carried out anew. One that is still open goes on as
// it is.
func (r *Responder) again(ctx context.Context, tx *store.Tx, a release.Action, detail string) error {
	changed, err := tx.ReopenAction(a.Key, detail, time.Now())
	if err != nil || !changed {
		return err
	}
	return r.enqueue(ctx, tx, a)
}

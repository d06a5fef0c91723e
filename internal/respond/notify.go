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
	groups, err := tx.Memberships(id)
	if err != nil {
		return err
	}
	if len(known)+len(groups) == 0 && (rec.Policy.Ignore || !rec.Policy.Autonomy.Allows(release.AutonomyAlert)) {
		return nil
	}
	facts, err := factsIn(tx, rec)
	if err != nil {
		return err
	}
	m := message.Of(facts, r.deps.Places)
	if err := sayInAlert(tx, m); err != nil {
		return err
	}
	all := make(map[string]store.Delivery)
	for _, name := range slices.Concat(r.receivers(m), slices.Collect(maps.Keys(groups))) {
		key := release.SinkKey(id, release.ActionMessage, name)
		all[name] = store.Delivery{Key: key, Release: id, Sink: name}
	}
	for _, d := range known {
		all[d.Sink] = d
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		alone, err := r.speakInGroup(ctx, tx, all[name], groups[name], facts)
		if err != nil {
			return err
		}
		if alone {
			if err := r.speakTo(ctx, tx, all[name], facts); err != nil {
				return err
			}
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
	if m.State.Over() {
		d.SnoozedUntil = nil // its end is told
	}
	return r.bump(ctx, tx, d, facts.Release.ID)
}

// bump notes that there is more to tell, and enqueues it as an action of a
// release; what is snoozed waits for the end of that.
func (r *Responder) bump(ctx context.Context, tx *store.Tx, d store.Delivery, id release.ID) error {
	d.Sequence++
	now := time.Now()
	if d.Snoozed(now) {
		return tx.SaveDelivery(d)
	}
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

// factsIn are what there is to say of a release at this moment of the transaction.
func factsIn(tx *store.Tx, rec store.Record) (message.Facts, error) {
	actions, err := tx.Actions(rec.Release.ID)
	if err != nil {
		return message.Facts{}, err
	}
	after, err := tx.Aftermath(rec.Release.ID)
	if err != nil {
		return message.Facts{}, err
	}
	return factsOf(rec, actions, after), nil
}

// factsOf are what there is to say of a release.
func factsOf(rec store.Record, actions []release.Action, after store.Aftermath) message.Facts {
	f := message.Facts{
		Release: rec.Release, Verdict: rec.Verdict, Policy: rec.Policy, Actions: actions, Closed: after.Closed,
		Acknowledged: after.Acknowledged, Now: time.Now(),
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
// what it was not told the beginning of. rec was read after d.
func (r *Responder) message(ctx context.Context, a release.Action, rec store.Record, d store.Delivery) (outcome, error) {
	notifier := r.deps.Notifiers[a.Sink]
	if notifier == nil { // it was configured when this was decided
		return outcome{state: release.ActionRefused, detail: fmt.Sprintf("there is no receiver %q any more", a.Sink)}, nil
	}
	if !d.Behind() {
		return outcome{state: release.ActionDone, detail: a.Detail}, nil
	}
	if ofMany(d) {
		return r.messageOfMany(ctx, a, d, notifier)
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
	if d.Snoozed(time.Now()) && !m.State.Over() {
		return outcome{state: release.ActionDone, detail: fmt.Sprintf("%s is told again from %s on", a.Sink, d.SnoozedUntil.UTC().Format(time.RFC3339))}, nil
	}
	if wait := r.quiet(d, time.Now(), m); wait > 0 {
		return outcome{}, notYet{wait: wait, fresh: true}
	}
	now, _, err := r.store.Delivery(ctx, a.Key)
	if err != nil {
		return outcome{}, err
	}
	if now.Sequence != d.Sequence { // m may say by now what its successor is to say
		return outcome{}, notYet{wait: time.Millisecond}
	}
	ref, err := r.deliver(ctx, a.Sink, notifier, m, d.Ref)
	if err != nil {
		return outcome{}, err
	}
	return outcome{
		state: release.ActionDone, detail: fmt.Sprintf("%s was told: %s", a.Sink, m.Headline),
		follow: func(ctx context.Context, tx *store.Tx, a release.Action) error { return r.told(ctx, tx, a, m, ref) },
	}, nil
}

// deliverPatience is how long one receiver may take.
const deliverPatience = 20 * time.Second

func (r *Responder) deliver(ctx context.Context, receiver string, n Notifier, m release.Message, ref []byte) ([]byte, error) {
	bound, cancel := context.WithTimeout(ctx, deliverPatience)
	defer cancel()
	newRef, err := n.Deliver(bound, m, ref)
	switch {
	case err != nil && ctx.Err() == nil && bound.Err() != nil:
		return nil, release.E(release.CodeUnavailable, "no answer within "+deliverPatience.String(), err)
	case err != nil:
		return nil, err
	}
	at(pointDelivered)
	if len(newRef) > maxRef {
		return nil, release.E(release.CodeInternal, fmt.Sprintf("receiver %q has %d bytes to remember, more than %d", receiver, len(newRef), maxRef), nil)
	}
	return newRef, nil
}

// quietLook is how often quiet hours are looked at again.
const quietLook = 10 * time.Minute

// quiet is how long quiet hours hold back the first that a receiver is told, until
// they end for one of the messages that there are to tell.
func (r *Responder) quiet(d store.Delivery, now time.Time, messages ...release.Message) time.Duration {
	if r.deps.Open == nil || d.Told != "" {
		return 0
	}
	wait := quietLook
	for _, m := range messages {
		wait = min(wait, r.deps.Open(m, d.Sink, now).Sub(now))
	}
	return wait
}

// pause is how long the first message of a regression waits for others that
// regress.
func pause(a release.Action, d store.Delivery, verdict release.VerdictKind, now time.Time, gather time.Duration) time.Duration {
	if d.Told != "" || verdict != release.Regressed {
		return 0
	}
	return untilAge(gather, a.PendingSince, now)
}

// untilAge is how long it is until something has an age.
func untilAge(age time.Duration, since, now time.Time) time.Duration {
	if now.Before(since) { // the clock was set back
		return 0
	}
	return age - now.Sub(since)
}

// newest is what a receiver is told next of a release; empty when it is told as
// part of an incident.
func (r *Responder) newest(ctx context.Context, rec store.Record, d store.Delivery) (release.Message, error) {
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
		return r.repeat(ctx, tx, a, m, m)
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

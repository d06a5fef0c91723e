package respond

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// bundle is what one receiver is told of several releases in one message: those of
// a group, or of an incident.
type bundle struct {
	message release.Message
	// each are the messages whose routes say when the receiver is told.
	each []release.Message
	// The first message waits for others, and others come at this interval.
	wait, interval time.Duration
	// silent is why there is nothing to tell, "" where there is something.
	silent string
	// group is what to note of a group; nil of an incident.
	group *store.Group
	// over is whether everything of the group is, begun whether the message still
	// says that it is not: then its end is to be told.
	over, begun bool
}

// attempt is when a message of a bundle was told last, or may have been: what came
// of it is not known while the delivery does not have it as told.
type attempt struct {
	Sequence int       `json:"sequence"`
	At       time.Time `json:"at"`
}

// open are the messages that people are told because of; all, where nothing is
// open. No route has to name the others.
func (b bundle) open() []release.Message {
	out := slices.DeleteFunc(slices.Clone(b.each), func(m release.Message) bool { return !m.State.Open() })
	if len(out) == 0 {
		return b.each
	}
	return out
}

// ofMany reports whether a delivery is of several releases.
func ofMany(d store.Delivery) bool { return ofIncident(d) || ofGroup(d) }

func (r *Responder) bundle(ctx context.Context, d store.Delivery) (bundle, error) {
	if ofIncident(d) {
		return r.incident(ctx, d)
	}
	return r.group(ctx, d)
}

// messageOfMany tells one receiver the newest there is to tell of several
// releases, not before its time.
func (r *Responder) messageOfMany(ctx context.Context, a release.Action, d store.Delivery, notifier Notifier) (outcome, error) {
	b, err := r.bundle(ctx, d)
	if err != nil {
		return outcome{}, err
	}
	if b.silent != "" {
		return outcome{state: release.ActionVoid, detail: b.silent, follow: func(ctx context.Context, tx *store.Tx, a release.Action) error {
			now, _, err := tx.Delivery(a.Key)
			if err != nil || now.Sequence == d.Sequence {
				return errors.Join(err, endGroup(tx, b))
			}
			return r.again(ctx, tx, a, a.Detail) // there is more by now
		}}, nil
	}
	var last attempt
	if _, err := r.store.Plan(ctx, a.Key, &last); err != nil {
		return outcome{}, err
	}
	now := time.Now()
	if wait := b.pause(a, last, now, r.pace.gather); wait > 0 {
		// Nobody is to give up what only has to wait.
		return outcome{}, notYet{wait: min(wait, quietLook), fresh: d.Told != "" && wait > time.Minute}
	}
	if wait := r.quiet(d, now, b.open()...); wait > 0 {
		return outcome{}, notYet{wait: wait, fresh: true}
	}
	save := func(l attempt) error {
		return r.record(ctx, func(_ context.Context, tx *store.Tx) error { return tx.SavePlan(a.Key, l) })
	}
	if err := save(attempt{Sequence: b.message.Sequence, At: now}); err != nil {
		return outcome{}, err
	}
	ref, err := r.deliver(ctx, a.Sink, notifier, b.message, d.Ref)
	if err != nil {
		if ctx.Err() == nil { // it was not told, and what is newest need not wait for it
			_ = save(last)
		}
		return outcome{}, err
	}
	return outcome{
		state: release.ActionDone, detail: fmt.Sprintf("%s was told: %s", a.Sink, b.message.Headline),
		follow: func(ctx context.Context, tx *store.Tx, a release.Action) error {
			return r.toldOfMany(ctx, tx, a, b, ref)
		},
	}, nil
}

// pause is how long a message waits for its time. What may have been told already
// is told again as it was at once.
func (b bundle) pause(a release.Action, last attempt, now time.Time, gather time.Duration) time.Duration {
	switch last.Sequence {
	case 0:
		return untilAge(max(b.wait, gather), a.PendingSince, now)
	case b.message.Sequence:
		return 0
	}
	return untilAge(b.interval, last.At, now)
}

// toldOfMany records what a receiver was told, and goes on when there is more.
func (r *Responder) toldOfMany(ctx context.Context, tx *store.Tx, a release.Action, b bundle, ref []byte) error {
	d, found, err := tx.Delivery(a.Key)
	if err != nil || !found {
		return err
	}
	m := b.message
	d.Told, d.ToldSequence, d.Ref = m.State, m.Sequence, ref
	if b.begun && !d.Behind() {
		d.Sequence++
	}
	if err := tx.SaveDelivery(d); err != nil {
		return err
	}
	if err := tx.SavePlan(a.Key, attempt{Sequence: m.Sequence, At: time.Now()}); err != nil {
		return err
	}
	if b.group != nil {
		if err := tx.ToldInGroup(*b.group, statesOf(m), m.State.Open()); err != nil {
			return err
		}
	}
	if d.Behind() {
		return r.again(ctx, tx, a, a.Detail)
	}
	if err := endGroup(tx, b); err != nil {
		return err
	}
	return r.repeat(ctx, tx, a, m, b.each...)
}

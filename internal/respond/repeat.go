package respond

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// repeatFor is how long after its rollout a release is told of again.
const repeatFor = 7 * 24 * time.Hour

// repeatArgs is the job that tells a receiver again of what is open still.
type repeatArgs struct {
	Key      string     `json:"key"` // of the delivery
	Release  release.ID `json:"release"`
	Sequence int        `json:"sequence"` // that was told last
}

// Kind names the job in the database.
func (repeatArgs) Kind() string { return "watchtower_repeat" }

type repeatWorker struct {
	river.WorkerDefaults[repeatArgs]
	responder *Responder
}

// Work tells again unless something else was told since.
func (w *repeatWorker) Work(ctx context.Context, job *river.Job[repeatArgs]) error {
	r, args := w.responder, job.Args
	err := r.record(ctx, func(ctx context.Context, tx *store.Tx) error {
		d, found, err := tx.Delivery(args.Key)
		if err != nil || !found || d.Behind() || d.ToldSequence != args.Sequence || !d.Told.Open() {
			return err
		}
		return r.bump(ctx, tx, d, args.Release)
	})
	if err != nil {
		return fmt.Errorf("tell again of %s: %w", args.Key, err)
	}
	r.bell.ring()
	return nil
}

// repeat has a receiver told again of what is open, where a route of the messages
// it stands for says so. It is part of the transaction that records what it was
// told.
func (r *Responder) repeat(ctx context.Context, tx *store.Tx, a release.Action, m release.Message, messages ...release.Message) error {
	if r.deps.Repeat == nil || !m.State.Open() {
		return nil
	}
	now, sequence := time.Now(), m.Sequence
	var after time.Duration
	for _, one := range messages {
		if d := r.deps.Repeat(one, a.Sink); d > 0 && (after == 0 || d < after) {
			after, m = d, one
		}
	}
	if after <= 0 || now.Add(after).Sub(m.StartedAt) > repeatFor {
		return nil
	}
	when := now.Add(after)
	if r.deps.Open != nil { // saying it again can wait for the end of quiet hours
		when = r.deps.Open(m, a.Sink, when)
	}
	args := repeatArgs{Key: a.Key, Release: a.Release, Sequence: sequence}
	if _, err := r.client.InsertTx(ctx, tx.SQL(), args, &river.InsertOpts{Priority: 3, Queue: r.store.Queue(), ScheduledAt: when}); err != nil {
		return fmt.Errorf("enqueue telling again of %s: %w", a.Key, err)
	}
	return nil
}

package backtest

import (
	"context"
	"time"

	"github.com/watchtower-verify/watchtower/internal/signal"
	"github.com/watchtower-verify/watchtower/internal/verify"
)

// tape is what was read of a release, in the order in which it was asked for. A release
// that is replayed again, with what is known of others by then, hears it instead of
// having it read again. It holds what was counted in each tick, a MiB or two, until all
// others of its time are known.
type tape struct {
	scene   *scene
	history *signal.Result
	reads   []signal.Result
	heard   verify.Heard // of other workloads, and of earlier days
}

// player reads what is not on the tape, and puts it there.
type player struct {
	*signal.Reader
	tape *tape
	lag  time.Duration
	next int // of the tape's reads
	// heard is up to when the tape told what the reader has not read; zero: nothing.
	heard time.Time
}

// past is what was counted before the rollout.
func (p *player) past(ctx context.Context, subject signal.Subject, length time.Duration) signal.Result {
	if p.tape.history == nil {
		res := p.History(ctx, []signal.Subject{subject}, length)[subject.ID]
		p.tape.history = &res
	}
	return *p.tape.history
}

// read is what was counted up to a time and was not told before.
func (p *player) read(ctx context.Context, to time.Time, subject signal.Subject) signal.Result {
	if p.next < len(p.tape.reads) {
		p.next, p.heard = p.next+1, to
		return p.tape.reads[p.next-1]
	}
	res := p.Read(ctx, to, []signal.Subject{subject})[subject.ID]
	if !p.heard.IsZero() { // the reader begins at the start
		upTo(&res, p.heard.Add(-p.lag))
		p.heard = time.Time{}
	}
	p.next++
	p.tape.reads = append(p.tape.reads, res)
	return res
}

package slack

import (
	"context"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Slack takes about one message a second in a channel, and short bursts.
const (
	interval = time.Second
	burst    = 50
	// patience is how long a message waits here for its turn; who would have to
	// wait longer comes again.
	patience = time.Second
	// turnPatience is how long a shared pace may take to answer.
	turnPatience = 2 * time.Second
	// heldAtMost bounds how long Slack is left alone without being asked.
	heldAtMost = 10 * time.Minute
)

// Turns keep everybody who writes to a place to one pace: one turn in each
// interval, and a burst of them after a while of nothing. All may be called at the
// same time.
type Turns interface {
	// TakeTurn takes the next turn and says in how long it is due, if within
	// patience; otherwise none is taken, and due is when to come again.
	TakeTurn(ctx context.Context, place string, interval time.Duration, burst int, patience time.Duration) (due time.Duration, taken bool, err error)
	// HoldTurns lets nobody take a turn for a while.
	HoldTurns(ctx context.Context, place string, d time.Duration) error
	// TurnsHeld is for how long nobody may.
	TurnsHeld(ctx context.Context, place string) (time.Duration, error)
}

// pace keeps to the rate that Slack takes in a channel, together with all that
// share turns. Where those cannot be asked this process keeps to it by itself: a
// message is worth more than its pace.
type pace struct {
	turns Turns // nil: own alone
	own   ownTurns
	place string
	log   *slog.Logger
}

func newPace(cfg Config) *pace {
	host := ""
	if u, err := url.Parse(cfg.URL); err == nil {
		host = u.Host
	}
	return &pace{turns: cfg.Turns, place: "slack/" + host + "/" + cfg.Channel, log: cfg.Log.With("receiver", cfg.Name)}
}

// hold has everybody leave Slack alone for a while.
func (p *pace) hold(d time.Duration) {
	d = min(d, heldAtMost)
	p.own.hold(d)
	if p.turns == nil || d <= 0 {
		return
	}
	// Not with the context of what was refused: it may be over, and the others must know.
	ctx, cancel := context.WithTimeout(context.Background(), turnPatience)
	defer cancel()
	if err := p.turns.HoldTurns(ctx, p.place, d); err != nil {
		p.log.Warn("slack: the other replicas could not be told that Slack wants to be left alone", "for", d, "err", err)
	}
}

// held is an error while Slack wants to be left alone, by whomever it said so.
func (p *pace) held(ctx context.Context, what string) error {
	left := p.own.held()
	if p.turns != nil {
		ctx, cancel := context.WithTimeout(ctx, turnPatience)
		defer cancel()
		if shared, err := p.turns.TurnsHeld(ctx, p.place); err == nil {
			left = max(left, shared)
		}
	}
	if left <= 0 {
		return nil
	}
	return limited(what+": Slack asked to be left alone", left)
}

// wait waits for the turn of a message. Who would have to wait longer than
// patience is told for how long.
func (p *pace) wait(ctx context.Context, what string) error {
	due, taken := p.take(ctx)
	if !taken {
		return limited(what+": Slack takes about one message a second in a channel", due)
	}
	timer := time.NewTimer(due)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return release.E(release.CodeUnavailable, what, ctx.Err())
	}
}

func (p *pace) take(ctx context.Context) (due time.Duration, taken bool) {
	if p.turns != nil {
		ctx, cancel := context.WithTimeout(ctx, turnPatience)
		defer cancel()
		due, taken, err := p.turns.TakeTurn(ctx, p.place, interval, burst, patience)
		if err == nil {
			return due, taken
		}
		p.log.Warn("slack: the pace that all replicas keep to could not be read; this one keeps to it by itself", "err", err)
	}
	return p.own.take(time.Now())
}

func limited(what string, after time.Duration) error {
	e := release.E(release.CodeRateLimited, what, nil)
	e.RetryAfter = after
	return e
}

// ownTurns are those of one process.
type ownTurns struct {
	mu    sync.Mutex
	next  time.Time // when the next turn were due without bursts
	until time.Time // Slack asked to be left alone until then
}

func (o *ownTurns) hold(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if until := time.Now().Add(d); until.After(o.until) {
		o.until = until
	}
}

func (o *ownTurns) held() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Until(o.until)
}

func (o *ownTurns) take(now time.Time) (due time.Duration, taken bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := o.next
	if next.Before(now) {
		next = now
	}
	due = max(next.Sub(now)-(burst-1)*interval, o.until.Sub(now), 0)
	if due > patience {
		return due, false
	}
	o.next = next.Add(interval)
	return due, true
}

package respond

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

const (
	// clockSlack is how far a clock is corrected without anything made of it.
	clockSlack = 30 * time.Second
	// farthest is beyond how far ahead no job is ever put off.
	farthest = 11 * maxBackoff
)

// setBack reports whether a clock was set back that shows less time to have
// passed than did.
func setBack(shown, passed time.Duration) bool { return shown < passed-clockSlack }

// wallTime is the time between two moments as the clock on the wall has it; Sub has
// the one that nobody sets.
func wallTime(before, now time.Time) time.Duration { return now.Round(0).Sub(before.Round(0)) }

// hurry makes jobs due that are put off further than beyond: the clock was set
// back since, and they would wait until it is again what it was.
func (r *Responder) hurry(ctx context.Context, beyond time.Duration) error {
	params := river.NewJobListParams().Queues(r.store.Queue()).First(10_000).
		States(rivertype.JobStateAvailable, rivertype.JobStateScheduled, rivertype.JobStateRetryable)
	list, err := r.client.JobList(ctx, params)
	if err != nil {
		return fmt.Errorf("list what is put off: %w", err)
	}
	n := 0
	for _, job := range list.Jobs {
		if time.Until(job.ScheduledAt) <= beyond {
			continue
		}
		if _, err := r.client.JobRetry(ctx, job.ID); err != nil {
			return fmt.Errorf("make job %d due: %w", job.ID, err)
		}
		n++
	}
	if n > 0 {
		r.log.Warn("the clock was set back: what was put off is done now", "jobs", n)
		r.bell.ring()
	}
	return nil
}

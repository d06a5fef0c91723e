package respond

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	// maxJobAttempts is out of reach: an action ends by its own rules below, and
	// a job that River gave up would leave its action pending for ever.
	maxJobAttempts = 10_000
	// maxUnforeseen is how often something that is no known passing fault is
	// tried again.
	maxUnforeseen = 10
	maxBackoff    = time.Minute
)

// patience is how long an action whose other side is away is tried again. A
// rollback that comes later than that is no longer what anybody expects.
var patience = map[release.ActionKind]time.Duration{
	release.ActionRollback: time.Hour,
	release.ActionEvent:    time.Hour,
	release.ActionAlert:    24 * time.Hour,
	release.ActionIssue:    24 * time.Hour,
	release.ActionMessage:  24 * time.Hour,
}

// backoff is how long to wait after the n-th failure, from 1: 1 s, 2 s, 4 s …
// up to a minute, give or take a fifth so that many do not come back at once.
func backoff(n int) time.Duration {
	d := maxBackoff
	if n = max(n, 1); n <= 6 {
		d = time.Second << (n - 1)
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // no secret
}

// retryPolicy is for failures of our own: a panic, a database that did not
// take the record.
type retryPolicy struct{}

func (retryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	return time.Now().Add(backoff(job.Attempt))
}

// failure says what becomes of an action after err: an outcome, or when to try
// again.
func failure(a release.Action, err error, now time.Time) (out outcome, again time.Duration) {
	detail := release.OneLine(err.Error(), maxDetail)
	switch release.ErrorCode(err) {
	case release.CodeVoid:
		return outcome{state: release.ActionVoid, detail: detail}, 0
	case release.CodeRefused:
		return outcome{state: release.ActionRefused, detail: detail}, 0
	case release.CodeInvalid, release.CodeNotFound, release.CodeBadQuery:
		return outcome{state: release.ActionFailed, detail: detail}, 0
	case release.CodeUnavailable, release.CodeRateLimited, release.CodeTooExpensive, release.CodePartial:
	default:
		if a.Attempts >= maxUnforeseen {
			return outcome{state: release.ActionFailed, detail: fmt.Sprintf("given up after %d attempts: %s", a.Attempts, detail)}, 0
		}
	}
	age := now.Sub(a.PendingSince)
	if age >= patience[a.Kind] {
		return outcome{state: release.ActionFailed, detail: fmt.Sprintf("given up after %s: %s", release.Seconds(age.Seconds()), detail)}, 0
	}
	return outcome{detail: detail}, max(backoff(a.Attempts), min(release.RetryAfter(err), 10*maxBackoff))
}

package respond

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestBackoffGrowsToAMinute(t *testing.T) {
	for n, want := range map[int]time.Duration{
		0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1000: time.Minute,
	} {
		seen := make(map[time.Duration]bool)
		for range 50 {
			d := backoff(n)
			seen[d] = true
			if d < want*8/10 || d > want*12/10 {
				t.Fatalf("backoff %d is %s, want about %s", n, d, want)
			}
		}
		if len(seen) < 10 {
			t.Errorf("backoff %d has no jitter", n)
		}
	}
}

func TestWhatBecomesOfAFailedAction(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	fault := func(code release.Code) error { return release.E(code, "the words", errors.New("cause\x1b[2J")) }
	patient := &release.Error{Code: release.CodeRateLimited, Message: "the words", RetryAfter: 3 * time.Minute}
	for _, test := range []struct {
		name     string
		kind     release.ActionKind
		attempts int
		age      time.Duration
		err      error
		state    release.ActionState // "": again
		atLeast  time.Duration
	}{
		{"a void ground ends it", release.ActionRollback, 1, 0, fault(release.CodeVoid), release.ActionVoid, 0},
		{"a rule ends it", release.ActionRollback, 1, 0, fault(release.CodeRefused), release.ActionRefused, 0},
		{"what the other side will never take fails it", release.ActionIssue, 1, 0, fault(release.CodeInvalid), release.ActionFailed, 0},
		{"what is not there fails it", release.ActionIssue, 1, 0, fault(release.CodeNotFound), release.ActionFailed, 0},
		{"an absence is waited out", release.ActionRollback, 500, 59 * time.Minute, fault(release.CodeUnavailable), "", time.Second},
		{"but not for ever", release.ActionRollback, 500, time.Hour, fault(release.CodeUnavailable), release.ActionFailed, 0},
		{"an issue waits longer", release.ActionIssue, 500, 23 * time.Hour, fault(release.CodeUnavailable), "", time.Second},
		{"an asked patience is kept", release.ActionIssue, 1, 0, patient, "", 3 * time.Minute},
		{"something unforeseen is tried again", release.ActionEvent, 9, 0, errors.New("strange"), "", time.Second},
		{"some times", release.ActionEvent, 10, 0, errors.New("strange"), release.ActionFailed, 0},
		{"a job's time is over", release.ActionEvent, 1, 0, release.E(release.CodeUnavailable, "slow", context.DeadlineExceeded), "", 800 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := release.Action{Kind: test.kind, Attempts: test.attempts, PendingSince: now.Add(-test.age)}
			out, again := failure(a, test.err, now)
			if out.state != test.state || (again > 0) != (test.state == "") || again < test.atLeast {
				t.Errorf("%q, again after %s", out.state, again)
			}
			if out.detail == "" || strings.Contains(out.detail, "\x1b") {
				t.Errorf("detail %q", out.detail)
			}
		})
	}
}

func TestAnOutletThatFailsIsLeftAloneByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlets()
		pager, chat := release.Action{Kind: release.ActionMessage, Sink: "pager"}, release.Action{Kind: release.ActionMessage, Sink: "chat"}
		var leaves []func(error)
		for range messageSlots {
			leave, _ := o.enter(pager, time.Now())
			leaves = append(leaves, leave)
		}
		if leave, wait := o.enter(pager, time.Now()); leave != nil || wait < slotPause || wait > 2*slotPause {
			t.Errorf("a slot too many, or a wait of %s", wait)
		}
		for _, leave := range leaves {
			leave(&release.Error{Code: release.CodeRateLimited, RetryAfter: 5 * time.Minute})
		}
		if leave, wait := o.enter(pager, time.Now()); leave != nil || wait < 5*time.Minute || wait > 5*time.Minute+time.Second {
			t.Errorf("asked to be left alone for five minutes, and waits %s", wait)
		}
		if leave, _ := o.enter(chat, time.Now()); leave == nil {
			t.Error("another receiver is held up")
		}
		for range 100 {
			if leave, _ := o.enter(release.Action{Kind: release.ActionRollback}, time.Now()); leave == nil {
				t.Fatal("a rollback is held up")
			}
		}
		time.Sleep(5*time.Minute + time.Second)
		one, _ := o.enter(pager, time.Now())
		if one == nil {
			t.Fatal("it is left alone for ever")
		}
		if leave, _ := o.enter(pager, time.Now()); leave != nil {
			t.Error("more than one looks whether it is back")
		}
		one(nil)
		if leave, _ := o.enter(pager, time.Now()); leave == nil {
			t.Error("it is back, and nobody comes")
		}
	})
}

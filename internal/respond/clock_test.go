package respond

import (
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestAClockThatWasSetBackIsNoticed(t *testing.T) {
	for _, test := range []struct {
		name  string
		shown time.Duration // of five seconds that passed
		want  bool
	}{
		{"as it should", 5 * time.Second, false},
		{"corrected a little", -10 * time.Second, false},
		{"set back an hour", -time.Hour, true},
		{"set forward an hour", time.Hour, false},
	} {
		if got := setBack(test.shown, 5*time.Second); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
	before := time.Now()
	if got := wallTime(before, before.Add(5*time.Second)); got != 5*time.Second {
		t.Errorf("a clock that nobody set shows %s of five seconds", got)
	}
}

func TestWhatIsPutOffIsDoneAfterTheClockWasSetBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.forge.fail(&release.Error{Code: release.CodeRateLimited, Message: "patience", RetryAfter: 10 * time.Minute})
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
		time.Sleep(time.Minute)
		w.forge.fail(nil)
		// As if the clock had been set back ever since: the job is due in the past
		// then, and far ahead now.
		r := w.process.responder
		r.outlets.mu.Lock()
		r.outlets.by["issue/"].until = time.Time{}
		r.outlets.mu.Unlock()
		if err := r.hurry(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		w.until("issue", 10*time.Second, func() bool { return len(w.forge.opened()) == 1 })
	})
}

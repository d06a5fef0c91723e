package respond

import (
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestASnoozedReceiverIsToldTheEndAndAfterwardsTheNewest(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.process.stop()
		w.sinks["chat"] = newSink()
		w.limits = DefaultLimits()
		w.limits.ApproveWithin = 3 * time.Minute
		w.start()
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyApprove))
		time.Sleep(10 * time.Second)
		r, chat, pager := w.process.responder, w.sinks["chat"], w.sinks["pager"]
		until, err := r.Snooze(t.Context(), rel.ID, "chat", 6*time.Minute, ann)
		if err != nil || time.Until(until) != 6*time.Minute {
			t.Fatal(until, err)
		}
		n := len(chat.told(rel.ID))
		time.Sleep(5 * time.Minute) // the approval expires meanwhile
		if told := chat.told(rel.ID); len(told) != n {
			t.Errorf("the chat was told %v", told)
		}
		if told := pager.told(rel.ID); told[len(told)-1] != release.SaysRegressed {
			t.Errorf("the pager was told %v", told)
		}
		w.crash() // it outlives the process
		time.Sleep(2 * time.Minute)
		if told := chat.told(rel.ID); len(told) != n+1 || told[n] != release.SaysRegressed {
			t.Errorf("once it was over the chat was told %v", told)
		}
		r = w.process.responder
		if _, err := r.Snooze(t.Context(), rel.ID, "", 5*time.Minute, ann); err != nil {
			t.Fatal(err)
		}
		if err := r.Closed(t.Context(), rel.ID, "the Deployment was deleted"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		for name, s := range w.sinks {
			if told := s.told(rel.ID); told[len(told)-1] != release.SaysSuperseded {
				t.Errorf("%s was told %v", name, told)
			}
			if wrongs := s.wrongs(); len(wrongs) > 0 {
				t.Error(wrongs)
			}
		}
		n = len(chat.told(rel.ID))
		time.Sleep(10 * time.Minute)
		if told := chat.told(rel.ID); len(told) != n {
			t.Errorf("told %v after the end", told)
		}
		contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), "message snoozed: chat until 2000-01-01T00:06:", "message snoozed: chat, pager until ")
		_, err = r.Snooze(t.Context(), rel.ID, "", time.Hour, ann)
		if release.ErrorCode(err) != release.CodeRefused || !strings.Contains(err.Error(), "no receiver was told of anything") {
			t.Errorf("snoozed what is over: %v", err)
		}
	})
}

func TestWhatIsStillOpenIsToldOnceWhenItsSnoozeIsOver(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
		time.Sleep(10 * time.Second)
		n := len(w.sinks["pager"].told(rel.ID))
		for _, within := range []time.Duration{5 * time.Minute, 10 * time.Minute} { // the later one counts
			if _, err := w.process.responder.Snooze(t.Context(), rel.ID, "pager", within, ann); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(9 * time.Minute)
		if told := w.sinks["pager"].told(rel.ID); len(told) != n {
			t.Errorf("told %v", told)
		}
		time.Sleep(10 * time.Minute)
		if told := w.sinks["pager"].told(rel.ID); len(told) != n+1 || told[n] != release.SaysRegressed {
			t.Errorf("told %v once it was over", told)
		}
	})
}

func TestASnoozeIsRefusedInWords(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
		time.Sleep(10 * time.Second)
		for _, test := range []struct {
			id       release.ID
			receiver string
			within   time.Duration
			code     release.Code
			says     string
		}{
			{"nosuch", "", time.Hour, release.CodeNotFound, "not known"},
			{rel.ID, "nosuch", time.Hour, release.CodeRefused, `receiver "nosuch" was not told`},
			{rel.ID, "", 0, release.CodeInvalid, "a day at most"},
			{rel.ID, "", 25 * time.Hour, release.CodeInvalid, "a day at most"},
		} {
			_, err := w.process.responder.Snooze(t.Context(), test.id, test.receiver, test.within, ann)
			if release.ErrorCode(err) != test.code || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s at %q for %s: %v", test.id, test.receiver, test.within, err)
			}
		}
	})
}

func TestWhatIsOverIsNotSnoozedWhileItsEndIsOnItsWay(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
		time.Sleep(10 * time.Second)
		if err := w.process.responder.Closed(t.Context(), rel.ID, "the Deployment was deleted"); err != nil {
			t.Fatal(err)
		}
		_, err := w.process.responder.Snooze(t.Context(), rel.ID, "", time.Hour, ann) // nobody was told of the end yet
		if release.ErrorCode(err) != release.CodeRefused || !strings.Contains(err.Error(), "no receiver was told of anything") {
			t.Errorf("snoozed what is over: %v", err)
		}
	})
}

func TestASnoozeHushesWhatIsSaidAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.process.stop()
		w.open()
		w.process.responder.deps.Repeat = func(release.Message, string) time.Duration { return 2 * time.Minute }
		w.run()
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
		time.Sleep(time.Minute)
		n := len(w.sinks["pager"].told(rel.ID))
		if _, err := w.process.responder.Snooze(t.Context(), rel.ID, "", 10*time.Minute, ann); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Minute)
		if told := w.sinks["pager"].told(rel.ID); len(told) != n {
			t.Errorf("told %v", told)
		}
		time.Sleep(2 * time.Minute)
		if told := w.sinks["pager"].told(rel.ID); len(told) != n+1 {
			t.Errorf("told %v once it was over", told)
		}
		time.Sleep(5 * time.Minute)
		if told := w.sinks["pager"].told(rel.ID); len(told) < n+3 {
			t.Errorf("told %v: it is not said again any more", told)
		}
	})
}

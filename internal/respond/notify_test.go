package respond

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

func sequence(states ...release.MessageState) []release.MessageState { return states }

func TestAReceiverIsToldHowAReleaseStands(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		time.Sleep(3 * time.Minute)
		told := w.sinks["pager"].told(rel.ID)
		if !slices.Equal(slices.Compact(told), sequence(release.SaysRollingBack, release.SaysRestored)) {
			t.Errorf("told %v", told)
		}
		m := w.sinks["pager"].of(release.MessageKey(rel.ID)).message
		contains(t, "message", m.Headline, "shop/webapp", "rolled back")
		if m.URL(release.LinkIssue) == "" || m.URL(release.LinkRelease) != "https://watchtower.example/releases/"+string(rel.ID) {
			t.Errorf("links %v", m.Links)
		}
		a := w.actions(rel.ID)["message/pager"]
		if a.State != release.ActionDone || a.Sink != "pager" || !strings.Contains(a.Detail, "pager was told: ") {
			t.Errorf("action %+v", a)
		}
		contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), "message done: pager was told: ")
	})
}

func TestAReceiverThatWasAwayIsToldTheBeginningBeforeTheEnd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.sinks["pager"].fail(release.E(release.CodeUnavailable, "away", nil))
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		time.Sleep(10 * time.Minute)
		if told := w.sinks["pager"].told(rel.ID); len(told) != 0 {
			t.Fatalf("told %v", told)
		}
		w.sinks["pager"].fail(nil)
		time.Sleep(80 * time.Second)
		told := w.sinks["pager"].told(rel.ID)
		if !slices.Equal(told, sequence(release.SaysRollingBack, release.SaysRestored)) {
			t.Errorf("told %v", told)
		}
		if wrongs := w.sinks["pager"].wrongs(); len(wrongs) > 0 {
			t.Error(wrongs)
		}
	})
}

func TestOnlyTheNewestIsToldOfWhatWentByMeanwhile(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.sinks["pager"].fail(release.E(release.CodeUnavailable, "away", nil))
		rel := w.bad("webapp")
		for _, kind := range []release.VerdictKind{release.SourceBroken, release.Pending, release.SourceBroken, release.Pending} {
			w.process.decide(rel, verdict(rel, kind, false), policy(release.AutonomyApprove))
			time.Sleep(time.Minute)
		}
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyApprove))
		time.Sleep(time.Minute)
		w.sinks["pager"].fail(nil)
		time.Sleep(2 * time.Minute)
		if told := w.sinks["pager"].told(rel.ID); !slices.Equal(told, sequence(release.SaysWaiting)) {
			t.Errorf("told %v", told)
		}
	})
}

func TestWhoIsToldIsTheRoutesChoice(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.process.stop()
		w.sinks["chat"] = newSink()
		w.open()
		w.process.responder.deps.Route = func(m release.Message) []string {
			if m.State == release.SaysHealthy {
				return nil
			}
			return []string{"chat", "nobody"}
		}
		w.run()
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
		time.Sleep(time.Minute)
		if told := w.sinks["chat"].told(rel.ID); !slices.Equal(slices.Compact(told), sequence(release.SaysRegressed)) {
			t.Errorf("the chat was told %v", told)
		}
		if told := w.sinks["pager"].told(rel.ID); told != nil {
			t.Errorf("the pager was told %v", told)
		}
	})
}

func TestAWorkloadThatIsOnlyObservedIsNotSpokenOf(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyObserve))
		time.Sleep(time.Minute)
		if told := w.sinks["pager"].told(rel.ID); told != nil {
			t.Errorf("told %v", told)
		}
	})
}

func TestAReceiverThatIsNoLongerConfiguredIsRefusedInWords(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.sinks["pager"].fail(release.E(release.CodeUnavailable, "away", nil))
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
		time.Sleep(time.Minute)
		w.process.stop()
		delete(w.sinks, "pager")
		w.start()
		w.until("settled", 2*time.Minute, w.settled(rel.ID))
		a := w.actions(rel.ID)["message/pager"]
		if a.State != release.ActionRefused || !strings.Contains(a.Detail, `no receiver "pager" any more`) {
			t.Errorf("%+v", a)
		}
	})
}

func TestQuietHoursHoldBackTheFirstWordOnly(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.process.stop()
		w.open()
		opens := time.Now().Add(40 * time.Minute)
		w.process.responder.deps.Open = func(_ release.Message, receiver string, now time.Time) time.Time {
			if receiver == "pager" && now.Before(opens) {
				return opens
			}
			return now
		}
		w.run()
		w.sinks["pager"].fail(release.E(release.CodeUnavailable, "away", nil))
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyApprove))
		time.Sleep(39 * time.Minute)
		if told := w.sinks["pager"].told(rel.ID); told != nil {
			t.Errorf("told %v in the quiet hours", told)
		}
		if a := w.actions(rel.ID)["message/pager"]; time.Since(a.PendingSince) > quietLook || a.Attempts > 0 {
			t.Errorf("patience with a receiver that is not asked runs out: %+v", a)
		}
		time.Sleep(5 * time.Minute) // it is away still
		w.sinks["pager"].fail(nil)
		time.Sleep(2 * time.Minute)
		if told := w.sinks["pager"].told(rel.ID); len(told) == 0 || !told[0].Open() {
			t.Fatalf("told %v once they ended", told)
		}
		opens = time.Now().Add(24 * time.Hour) // what follows waits no more
		if err := w.process.responder.Closed(t.Context(), rel.ID, "the workload was deleted"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		told := w.sinks["pager"].told(rel.ID)
		if told[len(told)-1] != release.SaysSuperseded {
			t.Errorf("told %v", told)
		}
	})
}

func TestWhatIsOpenIsToldAgainUntilItEnds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.process.stop()
		w.open()
		w.process.responder.deps.Repeat = func(release.Message, string) time.Duration { return 10 * time.Minute }
		w.run()
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyApprove))
		time.Sleep(35 * time.Minute)
		m := w.sinks["pager"].of(release.MessageKey(rel.ID)).message
		if told := w.sinks["pager"].told(rel.ID); len(told) < 4 || m.State != release.SaysWaiting || m.Sequence < 4 {
			t.Fatalf("told %v, the last %d", told, m.Sequence)
		}
		if err := w.process.responder.Closed(t.Context(), rel.ID, "the workload was deleted"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		n := len(w.sinks["pager"].told(rel.ID))
		time.Sleep(30 * time.Minute)
		if told := w.sinks["pager"].told(rel.ID); len(told) != n || told[n-1] != release.SaysSuperseded {
			t.Errorf("told %v once it was over", told)
		}
	})
}

func TestWhatChangesWhileItIsReadIsReadAnew(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.sinks["pager"].fail(release.E(release.CodeUnavailable, "away", nil))
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.SourceBroken, false), policy(release.AutonomyApprove))
		time.Sleep(time.Minute)
		r, key := w.process.responder, release.SinkKey(rel.ID, release.ActionMessage, "pager")
		read := func() (release.Action, store.Delivery, store.Record) {
			a, err := r.store.Action(t.Context(), key)
			d, found, err2 := r.store.Delivery(t.Context(), key)
			rec, err3 := r.store.Release(t.Context(), rel.ID)
			if err := errors.Join(err, err2, err3); err != nil || !found {
				t.Fatal(found, err)
			}
			return a, d, rec
		}
		a, d, rec := read()
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyApprove))
		w.sinks["pager"].fail(nil)
		if out, err := r.message(t.Context(), a, rec, d); !errors.As(err, new(notYet)) {
			t.Fatalf("something newer was to be told by then: %+v, %v", out, err)
		}
		if told := w.sinks["pager"].told(rel.ID); len(told) != 0 {
			t.Fatalf("told %v", told)
		}
		time.Sleep(2 * time.Minute)
		if told := w.sinks["pager"].told(rel.ID); !slices.Equal(told, sequence(release.SaysWaiting)) {
			t.Errorf("told %v", told)
		}
	})
}

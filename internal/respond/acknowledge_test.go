package respond

import (
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func acknowledgement(what release.AckKind, at time.Time) release.Acknowledgement {
	return release.Acknowledgement{What: what, Who: "Ada\nLovelace", Where: "PagerDuty", At: at}
}

func TestWhoAcknowledgedIsToldInPlaceAtOnceAndElsewhereWithTheNext(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.process.stop()
		w.sinks["chat"] = newSink()
		w.open()
		w.process.responder.deps.InPlace = map[string]bool{"chat": true}
		w.run()
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyApprove))
		time.Sleep(10 * time.Second)
		r, key := w.process.responder, release.MessageKey(rel.ID)
		chat, pager := w.sinks["chat"], w.sinks["pager"]
		toldPager := len(pager.told(rel.ID))
		tell := func(what release.AckKind, at time.Time) (told int) {
			t.Helper()
			before := len(chat.told(rel.ID))
			if err := r.Acknowledged(t.Context(), key, acknowledgement(what, at)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
			return len(chat.told(rel.ID)) - before
		}
		at := time.Now()
		if n := tell(release.Acknowledged, at); n != 1 {
			t.Fatalf("the chat was told %d times", n)
		}
		if a := chat.of(key).message.Acknowledged; a == nil || a.Words() != "acknowledged by Ada Lovelace in PagerDuty, 2000-01-01 00:00 UTC" {
			t.Errorf("told %+v", a)
		}
		if n := tell(release.Acknowledged, at); n != 0 {
			t.Errorf("the same again was told %d times", n)
		}
		if n := tell(release.Unacknowledged, at.Add(-time.Minute)); n != 0 || chat.of(key).message.Acknowledged == nil {
			t.Errorf("what was before counts, told %d times", n)
		}
		if n := tell(release.Unacknowledged, at.Add(time.Second)); n != 1 || chat.of(key).message.Acknowledged != nil {
			t.Errorf("what was taken back stands, told %d times", n)
		}
		tell(release.Acknowledged, at.Add(2*time.Second))
		if n := len(pager.told(rel.ID)); n != toldPager {
			t.Errorf("the pager was told %d times of who acknowledged", n-toldPager)
		}
		if err := r.Approve(t.Context(), rel.ID, ann); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if a := pager.of(key).message.Acknowledged; a == nil || a.Who != "Ada Lovelace" {
			t.Errorf("the pager's next says %+v", a)
		}
		// Its own end comes back from there as an event: nobody is told.
		if n := tell(release.Resolved, time.Now()); n != 0 {
			t.Errorf("told %d times after the end", n)
		}
		audit := strings.Join(w.audit(rel.ID), "\n")
		if n := strings.Count(audit, "incident acknowledged: at PagerDuty, "); n != 2 {
			t.Errorf("%d rows:\n%s", n, audit)
		}
		for _, other := range []string{"watchtower/nosuch", "another-tool/1", "incident-nosuch"} {
			if err := r.Acknowledged(t.Context(), other, acknowledgement(release.Acknowledged, at)); err != nil {
				t.Errorf("%s: %v", other, err)
			}
		}
	})
}

func TestAnotherVerdictIsNotAcknowledgedByWhoSawToTheOneBefore(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		p := policy(release.AutonomyAlert)
		w.process.decide(rel, verdict(rel, release.SourceBroken, false), p)
		time.Sleep(10 * time.Second)
		key := release.MessageKey(rel.ID)
		if err := w.process.responder.Acknowledged(t.Context(), key, acknowledgement(release.Acknowledged, time.Now())); err != nil {
			t.Fatal(err)
		}
		w.process.decide(rel, verdict(rel, release.Pending, false), p)
		time.Sleep(10 * time.Second)
		w.process.decide(rel, verdict(rel, release.Regressed, true), p)
		time.Sleep(10 * time.Second)
		if m := w.sinks["pager"].of(key).message; m.State != release.SaysRegressed || m.Acknowledged != nil {
			t.Errorf("told %s, acknowledged %v", m.State, m.Acknowledged)
		}
	})
}

func TestAnIncidentOfManyIsAcknowledgedToo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.process.responder.deps.InPlace = map[string]bool{"pager": true}
		storm(w, 20)
		time.Sleep(time.Minute)
		var key string
		for k := range w.sinks["pager"].all() {
			if strings.HasPrefix(k, incidentPrefix) {
				key = k
			}
		}
		if err := w.process.responder.Acknowledged(t.Context(), key, acknowledgement(release.Acknowledged, time.Now())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if m := w.sinks["pager"].of(key).message; m.Acknowledged == nil {
			t.Errorf("it does not say who: %+v", m)
		}
	})
}

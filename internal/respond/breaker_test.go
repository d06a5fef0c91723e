package respond

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

var ann = release.By{Actor: "ann", Reason: "I looked at it"}

// storm has n workloads regress at once.
func storm(w *world, n int) (out []release.Release) {
	for i := range n {
		out = append(out, w.bad(fmt.Sprintf("app%d", i)))
	}
	for _, rel := range out {
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
	}
	return out
}

// pages are the alerts that fire and the messages that people were shown.
func (w *world) pages() (alerts []string, messages int) {
	for _, a := range w.alerts.alerts {
		if a.EndsAt.After(time.Now()) {
			alerts = append(alerts, a.Labels["alertname"])
		}
	}
	return alerts, len(w.sinks["pager"].all())
}

func TestManyAtOnceAreOneIncidentWithOnePage(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		first := w.bad("early") // judged healthy: it is told of, and is no part of this
		_ = first
		before := len(w.sinks["pager"].all())
		releases := storm(w, 40)
		time.Sleep(time.Minute)
		alerts, messages := w.pages()
		if len(alerts) != 1 || alerts[0] != IncidentAlertName {
			t.Errorf("alerts %v", alerts)
		}
		told := 0
		for key, s := range w.sinks["pager"].all() {
			if strings.HasPrefix(key, incidentPrefix) {
				told++
				if len(s.message.Members) != 40 {
					t.Errorf("the message has %d members", len(s.message.Members))
				}
			} else if s.message.Verdict == release.Regressed {
				t.Errorf("told of %s by itself: %s", key, s.message.Headline)
			}
		}
		if told != 1 {
			t.Errorf("%d incidents told, %d messages before, %d now", told, before, messages)
		}
		if n := len(w.cluster.taken()); n > DefaultLimits().RollbacksPerNamespace {
			t.Errorf("%d rollbacks", n)
		}
		waiting := 0
		for _, rel := range releases {
			if a := w.actions(rel.ID)["rollback"]; a.State == release.ActionWaiting && a.WaitsFor == release.WaitsForBreaker {
				waiting++
			} else if a.State != release.ActionDone {
				t.Errorf("a rollback is %s: %s", a.State, a.Detail)
			}
		}
		if waiting+len(w.cluster.taken()) != 40 {
			t.Errorf("%d wait, %d were done", waiting, len(w.cluster.taken()))
		}
		if n := len(w.forge.opened()); n > DefaultLimits().Regressions {
			t.Errorf("%d issues", n)
		}
	})
}

func TestABreakerIsClosedByAPersonAndWhatItHeldGoesOn(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.limits = Limits{Rollbacks: 2, RollbacksPerNamespace: 2, Window: 10 * time.Minute, Regressions: 100, Within: time.Minute, OpenFor: time.Hour, ApproveWithin: time.Hour}
		w.process.stop()
		w.start()
		releases := storm(w, 4)
		time.Sleep(time.Minute)
		if n := len(w.cluster.taken()); n != 2 {
			t.Fatalf("%d rollbacks", n)
		}
		var held []release.Release
		for _, rel := range releases {
			if w.actions(rel.ID)["rollback"].State == release.ActionWaiting {
				held = append(held, rel)
			}
		}
		r := w.process.responder
		err := r.Approve(t.Context(), held[0].ID, ann)
		if release.ErrorCode(err) != release.CodeRefused || !strings.Contains(err.Error(), "close it first") {
			t.Errorf("approved while the breaker is open: %v", err)
		}
		contains(t, "audit", strings.Join(w.audit(held[0].ID), "\n"), "approval refused: the breaker of ")
		breakers, err := r.Breakers(t.Context())
		if err != nil || len(breakers) != 1 || !breakers[0].Open {
			t.Fatalf("breakers %+v, %v", breakers, err)
		}
		if err := r.CloseBreaker(t.Context(), breakers[0].Namespace, true, ann); err != nil {
			t.Fatal(err)
		}
		w.until("the rest", time.Minute, func() bool { return len(w.cluster.taken()) == 4 })
		contains(t, "audit", strings.Join(w.audit(""), "\n"), "breaker opened: ", "breaker closed: ", "action resumed: ")
		time.Sleep(3 * time.Minute)
		alerts, _ := w.pages()
		if len(alerts) != 0 {
			t.Errorf("alerts %v after everything came back", alerts)
		}
		if err := r.CloseBreaker(t.Context(), breakers[0].Namespace, true, ann); release.ErrorCode(err) != release.CodeRefused {
			t.Errorf("closed twice: %v", err)
		}
	})
}

func TestABreakerClosesAfterItsTimeAndWhatItHeldWaitsOn(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		releases := storm(w, 20)
		time.Sleep(DefaultLimits().OpenFor + time.Minute)
		breakers, err := w.process.responder.Breakers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range breakers {
			if b.Open || b.Actor != actor {
				t.Errorf("breaker %+v", b)
			}
		}
		waiting := 0
		for _, rel := range releases {
			a := w.actions(rel.ID)["rollback"]
			if a.State != release.ActionWaiting {
				continue
			}
			if waiting++; waiting == 1 {
				n := len(w.cluster.taken())
				if err := w.process.responder.Approve(t.Context(), rel.ID, ann); err != nil {
					t.Fatal(err)
				}
				w.until("patch", time.Minute, func() bool { return len(w.cluster.taken()) == n+1 })
			}
		}
		if waiting == 0 {
			t.Error("nothing waits")
		}
	})
}

func TestAFreezeHoldsRollbacksAndTellsOfEach(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		if err := w.process.responder.OpenBreaker(t.Context(), "shop", 0, ann); err != nil {
			t.Fatal(err)
		}
		if n := value(t, w.process.reg, `watchtower_breaker_open{namespace="shop"}`); n != 1 {
			t.Errorf("the metric says %v", n)
		}
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		time.Sleep(2 * time.Minute)
		if a := w.actions(rel.ID)["rollback"]; a.State != release.ActionWaiting || !strings.Contains(a.Detail, "the breaker of namespace shop is open: I looked at it") {
			t.Errorf("rollback %+v", a)
		}
		if told := w.sinks["pager"].told(rel.ID); len(told) == 0 || told[len(told)-1] != release.SaysWaiting {
			t.Errorf("told %v", told)
		}
		if alerts, _ := w.pages(); len(alerts) != 1 || alerts[0] != AlertName {
			t.Errorf("alerts %v", alerts)
		}
	})
}

func TestARollbackThatWaitsIsApprovedRejectedOrExpires(t *testing.T) {
	for _, test := range []struct {
		name    string
		click   func(ctx context.Context, r *Responder, id release.ID) error
		state   release.ActionState
		detail  string
		patches int
		audit   string
	}{
		{
			"approved", func(ctx context.Context, r *Responder, id release.ID) error { return r.Approve(ctx, id, ann) },
			release.ActionDone, "put back webapp-1", 1, "approval approved: I looked at it",
		},
		{
			"rejected", func(ctx context.Context, r *Responder, id release.ID) error { return r.Reject(ctx, id, ann) },
			release.ActionRefused, "rejected by ann: I looked at it", 0, "approval rejected: I looked at it",
		},
		{
			"left alone", func(context.Context, *Responder, release.ID) error { time.Sleep(61 * time.Minute); return nil },
			release.ActionRefused, "nobody approved it until 2000-01-01T01:", 0, "rollback refused: nobody approved it",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				rel := w.bad("webapp")
				w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyApprove))
				time.Sleep(time.Minute)
				a := w.actions(rel.ID)["rollback"]
				if a.State != release.ActionWaiting || a.WaitsFor != release.WaitsForApproval || a.ExpiresAt == nil {
					t.Fatalf("%+v", a)
				}
				if err := test.click(t.Context(), w.process.responder, rel.ID); err != nil {
					t.Fatal(err)
				}
				w.until("settled", time.Minute, w.settled(rel.ID))
				if a := w.actions(rel.ID)["rollback"]; a.State != test.state || !strings.Contains(a.Detail, test.detail) {
					t.Errorf("rollback %+v", a)
				}
				if n := len(w.cluster.taken()); n != test.patches {
					t.Errorf("%d patches", n)
				}
				contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), test.audit)
				err := w.process.responder.Approve(t.Context(), rel.ID, ann)
				if release.ErrorCode(err) != release.CodeRefused {
					t.Errorf("approved afterwards: %v", err)
				}
			})
		})
	}
}

func TestWhatIsAskedWithoutAReasonIsNotDone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyApprove))
		if err := w.process.responder.Approve(t.Context(), rel.ID, release.By{Actor: "ann"}); release.ErrorCode(err) != release.CodeInvalid {
			t.Errorf("got %v", err)
		}
		if err := w.process.responder.Approve(t.Context(), "nosuch", ann); release.ErrorCode(err) != release.CodeNotFound {
			t.Errorf("got %v", err)
		}
	})
}

func TestADeadLetterIsRetriedOrDropped(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.sinks["pager"].fail(release.E(release.CodeInvalid, "there is no such channel", nil))
		w.forge.fail(release.E(release.CodeInvalid, "there is no such repository", nil))
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
		w.until("settled", time.Minute, w.settled(rel.ID))
		message, issue := release.SinkKey(rel.ID, release.ActionMessage, "pager"), release.ActionKey(rel.ID, release.ActionIssue)
		// One message is that of the version before, which was healthy.
		for kind, want := range map[string]float64{"issue": 1, "message": 2, "rollback": 0} {
			if n := value(t, w.process.reg, fmt.Sprintf(`watchtower_actions_open{kind=%q,state="failed"}`, kind)); n != want {
				t.Errorf("%v dead letters of kind %s, want %v", n, kind, want)
			}
		}
		for _, key := range []string{message, issue} {
			if a, err := w.process.store.Action(t.Context(), key); err != nil || a.State != release.ActionFailed {
				t.Fatalf("%+v, %v", a, err)
			}
		}
		w.sinks["pager"].fail(nil)
		w.forge.fail(nil)
		r := w.process.responder
		if err := r.Retry(t.Context(), message, ann); err != nil {
			t.Fatal(err)
		}
		if err := r.Drop(t.Context(), issue, ann); err != nil {
			t.Fatal(err)
		}
		w.until("settled", time.Minute, w.settled(rel.ID))
		if a := w.actions(rel.ID)["message/pager"]; a.State != release.ActionDone {
			t.Errorf("%+v", a)
		}
		if a := w.actions(rel.ID)["issue"]; a.State != release.ActionVoid || a.Detail != "dropped by ann: I looked at it" || len(w.forge.opened()) != 0 {
			t.Errorf("%+v, %d issues", a, len(w.forge.opened()))
		}
		for _, key := range []string{message, issue} {
			if err := r.Retry(t.Context(), key, ann); release.ErrorCode(err) != release.CodeRefused {
				t.Errorf("retried what is settled: %v", err)
			}
		}
		contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), "action retried: ", "action dropped: ")
	})
}

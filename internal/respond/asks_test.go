package respond

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestAPersonHasAReleaseRolledBackThatIsOnlyToldOf(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
		time.Sleep(10 * time.Second)
		if n := len(w.cluster.taken()); n != 0 {
			t.Fatalf("%d rollbacks before anybody asked", n)
		}
		m := w.sinks["pager"].of(release.MessageKey(rel.ID)).message
		if !slices.Equal(m.Offers, []release.Offer{release.OfferRollBack, release.OfferMarkWrong, release.OfferSnooze, release.OfferFreeze}) {
			t.Errorf("offered %v", m.Offers)
		}
		r := w.process.responder
		if err := r.RollBack(t.Context(), rel.ID, ann); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		a := w.actions(rel.ID)["rollback"]
		if len(w.cluster.taken()) != 1 || a.State != release.ActionDone || a.AskedBy != "ann" || !strings.Contains(a.Detail, "as ann asked") {
			t.Errorf("%d rollbacks, %+v", len(w.cluster.taken()), a)
		}
		if told := slices.Compact(w.sinks["pager"].told(rel.ID)); !slices.Equal(told, sequence(release.SaysRegressed, release.SaysRollingBack, release.SaysRestored)) {
			t.Errorf("told %v", told)
		}
		if _, firing := w.alerts.of(rel.ID); firing {
			t.Error("the alert fires still")
		}
		contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), "rollback asked for: I looked at it", "rollback done: put back webapp-1", "restored done: ")
		for range 2 { // a double click
			if err := r.RollBack(t.Context(), rel.ID, ann); release.ErrorCode(err) != release.CodeRefused || !strings.Contains(err.Error(), "was rolled back already") {
				t.Errorf("asked again: %v", err)
			}
		}
		if len(w.cluster.taken()) != 1 {
			t.Errorf("%d rollbacks", len(w.cluster.taken()))
		}
		contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), "rollback refused: release "+string(rel.ID)+" was rolled back already")
	})
}

func TestAPersonHasAReleaseRolledBackThatIsStillVerified(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Pending, false), policy(release.AutonomyAuto))
		if err := w.process.responder.RollBack(t.Context(), rel.ID, ann); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		// What the loop does when it sees the Deployment go back, and worse: a
		// verdict that would roll back by itself.
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		time.Sleep(3 * time.Minute)
		if n := len(w.cluster.taken()); n != 1 {
			t.Fatalf("%d rollbacks", n)
		}
		if reason := w.cluster.taken()[0].Reason; !strings.Contains(reason, "is rolled back as ann asked") {
			t.Errorf("the Deployment is told %q", reason)
		}
		told := slices.Compact(w.sinks["pager"].told(rel.ID))
		if len(told) < 2 || told[len(told)-1] != release.SaysRestored {
			t.Errorf("told %v", told)
		}
		audit := strings.Join(w.audit(rel.ID), "\n")
		if strings.Count(audit, "rollback done: ") != 1 {
			t.Errorf("audit:\n%s", audit)
		}
	})
}

func TestAnUnjudgedReleaseThatIsRolledBackWakesNobodyAsARegressionWould(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.cluster.comesBack = 10 * time.Minute
		w.process.decide(rel, verdict(rel, release.Pending, false), policy(release.AutonomyAuto))
		if err := w.process.responder.RollBack(t.Context(), rel.ID, ann); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		m := w.sinks["pager"].of(release.MessageKey(rel.ID)).message
		if m.State != release.SaysRollingBack || m.Severity != release.SeverityWarning || strings.Contains(m.Headline, "regressed") {
			t.Errorf("told %s, %s: %s", m.State, m.Severity, m.Headline)
		}
	})
}

func TestWhatCannotBeRolledBackIsRefusedInWords(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(t *testing.T, w *world) release.ID
		code release.Code
		says string
	}{
		{"unknown", func(*testing.T, *world) release.ID { return "nosuch" }, release.CodeNotFound, "not known"},
		{"the first version", func(_ *testing.T, w *world) release.ID {
			rel := w.cluster.deploy("webapp", 1)
			w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
			return rel.ID
		}, release.CodeRefused, "there is nothing to go back to"},
		{"healthy", func(_ *testing.T, w *world) release.ID {
			rel := w.bad("webapp")
			w.process.decide(rel, verdict(rel, release.Healthy, true), policy(release.AutonomyAlert))
			return rel.ID
		}, release.CodeRefused, "is healthy; to go back nevertheless: kubectl"},
		{"over", func(t *testing.T, w *world) release.ID {
			rel := w.bad("webapp")
			w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
			if err := w.process.responder.Closed(t.Context(), rel.ID, "the Deployment was deleted"); err != nil {
				t.Fatal(err)
			}
			return rel.ID
		}, release.CodeRefused, "is over: the Deployment was deleted"},
		{"marked wrong", func(t *testing.T, w *world) release.ID {
			rel := w.bad("webapp")
			w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
			if err := w.process.responder.MarkWrong(t.Context(), rel.ID, ann); err != nil {
				t.Fatal(err)
			}
			return rel.ID
		}, release.CodeRefused, "was marked wrong by ann"},
		{"under way", func(t *testing.T, w *world) release.ID {
			rel := w.bad("webapp")
			w.cluster.setDown(true)
			w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
			return rel.ID
		}, release.CodeRefused, "is being rolled back already"},
		{"behind a breaker", func(t *testing.T, w *world) release.ID {
			rel := w.bad("webapp")
			w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
			if err := w.process.responder.OpenBreaker(t.Context(), "", 0, ann); err != nil {
				t.Fatal(err)
			}
			return rel.ID
		}, release.CodeRefused, "close it first"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				id := test.make(t, w)
				before := len(w.cluster.taken())
				err := w.process.responder.RollBack(t.Context(), id, ann)
				if release.ErrorCode(err) != test.code || !strings.Contains(err.Error(), test.says) {
					t.Errorf("got %v", err)
				}
				if test.code == release.CodeRefused {
					contains(t, "audit", strings.Join(w.audit(id), "\n"), "rollback refused: ", "; asked because: I looked at it")
				}
				if n := len(w.cluster.taken()); n != before {
					t.Errorf("%d rollbacks", n-before)
				}
			})
		})
	}
}

func TestAnApprovalThatExpiredCanBeAskedForAnew(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyApprove))
		time.Sleep(DefaultLimits().ApproveWithin + time.Minute)
		r := w.process.responder
		err := r.Approve(t.Context(), rel.ID, ann)
		if want := "the rollback of release " + string(rel.ID) + " does not wait for anybody: it is refused (nobody approved it until 2000-01-01T01:"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("approved too late: %v", err)
		}
		if err := r.RollBack(t.Context(), rel.ID, ann); err != nil {
			t.Fatal(err)
		}
		w.until("rolled back", time.Minute, func() bool { return len(w.cluster.taken()) == 1 })
		w.until("settled", time.Minute, w.settled(rel.ID))
		contains(t, "events", fmt.Sprint(w.cluster.eventTexts()), "RollbackRefused: ", "ReleaseRolledBack: ")
	})
}

func TestToAskForARollbackThatWaitsApprovesIt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyApprove))
		time.Sleep(5 * time.Second)
		if err := w.process.responder.RollBack(t.Context(), rel.ID, ann); err != nil {
			t.Fatal(err)
		}
		w.until("rolled back", time.Minute, func() bool { return len(w.cluster.taken()) == 1 })
	})
}

func TestAVerdictThatIsMarkedWrongIsTakenBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
		time.Sleep(2 * time.Minute)
		if _, firing := w.alerts.of(rel.ID); !firing {
			t.Fatal("no alert fires")
		}
		r := w.process.responder
		if err := r.MarkWrong(t.Context(), rel.ID, ann); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if _, firing := w.alerts.of(rel.ID); firing {
			t.Error("the alert fires still")
		}
		m := w.sinks["pager"].of(release.MessageKey(rel.ID)).message
		if m.State != release.SaysRecovered || !strings.Contains(m.Headline, "was called regressed wrongly, says ann") || m.EndedAt == nil || m.Severity != release.SeverityInfo || len(m.Offers) != 0 {
			t.Errorf("told %+v", m)
		}
		contains(t, "message", m.Did, "false alarm", "marked wrong by ann: I looked at it")
		rec, err := w.process.store.Release(t.Context(), rel.ID)
		if err != nil || rec.Verdict.Kind != release.Regressed || rec.Verdict.Wrong == nil || rec.Verdict.Wrong.By != "ann" || rec.Verdict.Wrong.Why != "I looked at it" {
			t.Errorf("stored %+v, %v", rec.Verdict.Wrong, err)
		}
		judged, err := w.process.store.Judged(t.Context(), rel.Workload.Cluster, rel.Workload.UID)
		if err != nil || judged[rel.ReplicaSet.UID] != release.Pending {
			t.Errorf("the version counts as %q, %v", judged[rel.ReplicaSet.UID], err)
		}
		if n := value(t, w.process.reg, "watchtower_false_alarms_total"); n != 1 {
			t.Errorf("%v false alarms", n)
		}
		if _, faults, err := w.process.store.VerifyAudit(t.Context()); err != nil || len(faults) > 0 {
			t.Errorf("the audit has faults: %v, %v", faults, err)
		}
		err = r.MarkWrong(t.Context(), rel.ID, ann)
		if release.ErrorCode(err) != release.CodeRefused || !strings.Contains(err.Error(), "was marked wrong by ann at 2000-01-01T") {
			t.Errorf("marked twice: %v", err)
		}
		contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), "verdict marked wrong: I looked at it", "alert ending: the verdict was marked wrong by ann: I looked at it")
		n := len(w.sinks["pager"].told(rel.ID))
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto)) // the loop, once more
		time.Sleep(time.Minute)
		if len(w.cluster.taken()) != 0 || len(w.sinks["pager"].told(rel.ID)) != n {
			t.Error("what was taken back is done nevertheless")
		}
	})
}

func TestAVersionThatWasWronglyCalledRegressedMayBePutBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		first := w.cluster.deploy("webapp", 1)
		w.process.decide(first, verdict(first, release.Regressed, true), policy(release.AutonomyAlert))
		if err := w.process.responder.MarkWrong(t.Context(), first.ID, ann); err != nil {
			t.Fatal(err)
		}
		second := w.cluster.deploy("webapp", 2)
		w.process.decide(second, verdict(second, release.Regressed, true), policy(release.AutonomyAuto))
		w.until("rolled back", time.Minute, func() bool { return len(w.cluster.taken()) == 1 })
		if got := w.cluster.taken()[0].Target.UID; got != first.ReplicaSet.UID {
			t.Errorf("went back to %s", got)
		}
	})
}

func TestARollbackIsNotDoneOnceItsVerdictIsMarkedWrong(t *testing.T) {
	for _, test := range []struct {
		name     string
		autonomy release.Autonomy
		down     bool
		state    release.ActionState
		said     release.MessageState
	}{
		{"while it waits for approval", release.AutonomyApprove, false, release.ActionRefused, release.SaysRecovered},
		{"while the cluster is away", release.AutonomyAuto, true, release.ActionVoid, release.SaysRecovered},
		{"after it was done, which stays", release.AutonomyAuto, false, release.ActionDone, release.SaysRestored},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				rel := w.bad("webapp")
				w.cluster.setDown(test.down)
				w.process.decide(rel, verdict(rel, release.Regressed, true), policy(test.autonomy))
				time.Sleep(2 * time.Minute)
				if err := w.process.responder.MarkWrong(t.Context(), rel.ID, ann); err != nil {
					t.Fatal(err)
				}
				w.cluster.setDown(false)
				time.Sleep(5 * time.Minute)
				a := w.actions(rel.ID)["rollback"]
				if a.State != test.state || (len(w.cluster.taken()) == 1) != (test.state == release.ActionDone) {
					t.Errorf("%d rollbacks, %+v", len(w.cluster.taken()), a)
				}
				told := w.sinks["pager"].told(rel.ID)
				if told[len(told)-1] != test.said {
					t.Errorf("told %v", told)
				}
				if _, firing := w.alerts.of(rel.ID); firing {
					t.Error("the alert fires still")
				}
				err := w.process.responder.Retry(t.Context(), release.ActionKey(rel.ID, release.ActionRollback), ann)
				if release.ErrorCode(err) != release.CodeRefused {
					t.Errorf("retried: %v", err)
				}
			})
		})
	}
}

// markedWrongAfter has Watchtower die at a point, before what an
// action did was recorded, and the verdict be marked wrong then.
func (w *world) markedWrongAfter(t *testing.T, point, action string, autonomy release.Autonomy) release.Release {
	t.Helper()
	rel := w.bad("webapp")
	w.arm(point)
	w.process.decide(rel, verdict(rel, release.Regressed, true), policy(autonomy))
	<-w.process.killed
	w.process.stop()
	w.images++
	w.open()
	if a := w.actions(rel.ID)[action]; a.State != release.ActionPending {
		t.Fatalf("it was recorded: %+v", a)
	}
	if err := w.process.responder.MarkWrong(t.Context(), rel.ID, ann); err != nil {
		t.Fatal(err)
	}
	w.run()
	time.Sleep(3 * time.Minute)
	return rel
}

func TestAnIssueThatWasOpenedUnrecordedIsFoundThoughItsVerdictIsMarkedWrong(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.markedWrongAfter(t, "after issue", "issue", release.AutonomyAlert)
		if a := w.actions(rel.ID)["issue"]; a.State != release.ActionDone || a.URL == "" || len(w.forge.opened()) != 1 {
			t.Errorf("%d issues, %+v", len(w.forge.opened()), a)
		}
	})
}

func TestARollbackThatWasDoneUnrecordedIsFoundThoughItsVerdictIsMarkedWrong(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.markedWrongAfter(t, "after rollback", "rollback", release.AutonomyAuto)
		a := w.actions(rel.ID)["rollback"]
		if a.State != release.ActionDone || len(w.cluster.taken()) != 1 {
			t.Errorf("%d rollbacks, %+v", len(w.cluster.taken()), a)
		}
		if told := w.sinks["pager"].told(rel.ID); told[len(told)-1] != release.SaysRestored {
			t.Errorf("told %v", told)
		}
	})
}

func TestOnlyARegressionCanBeMarkedWrong(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Healthy, true), policy(release.AutonomyAuto))
		r := w.process.responder
		if err := r.MarkWrong(t.Context(), rel.ID, ann); release.ErrorCode(err) != release.CodeRefused || !strings.Contains(err.Error(), "is healthy") {
			t.Errorf("got %v", err)
		}
		if err := r.MarkWrong(t.Context(), "nosuch", ann); release.ErrorCode(err) != release.CodeNotFound {
			t.Errorf("got %v", err)
		}
		if n := value(t, w.process.reg, "watchtower_false_alarms_total"); n != 0 {
			t.Errorf("%v false alarms", n)
		}
	})
}

func TestAnIncidentEndsWhenWhatIsLeftOfItIsMarkedWrong(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		releases := storm(w, 12)
		time.Sleep(DefaultLimits().OpenFor + time.Minute)
		for _, rel := range releases {
			if w.actions(rel.ID)["rollback"].State == release.ActionDone {
				continue
			}
			if err := w.process.responder.MarkWrong(t.Context(), rel.ID, ann); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Minute)
		if alerts, _ := w.pages(); len(alerts) != 0 {
			t.Errorf("alerts %v", alerts)
		}
		for key, s := range w.sinks["pager"].all() {
			if s.message.State.Open() {
				t.Errorf("%s is open still: %s", key, s.message.Headline)
			}
		}
	})
}

func TestWhoMayNotIsInTheAudit(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
		by := release.By{Actor: "Slack user USTRANGER", Reason: "a click in Slack"}
		if err := w.process.responder.Refused(context.Background(), rel.ID, "roll_back", by, "it takes the role approve"); err != nil {
			t.Fatal(err)
		}
		contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), "roll_back refused: it takes the role approve; asked by a click in Slack")
		if err := w.process.responder.Refused(context.Background(), "nosuch", "roll_back", by, "so"); release.ErrorCode(err) != release.CodeNotFound {
			t.Errorf("got %v", err)
		}
	})
}

package respond

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// points are all places between an effect, what is written of it, and the end
// of its job.
var points = []string{
	"before list", "after list", "before rollback", "after rollback", "before event", "after event", "before alert", "after alert",
	"before find", "after find", "before issue", "after issue", "before restored", "after restored",
	"before message", "after message", "after watchtower_action", "after watchtower_restore",
}

// once fails unless everything a regressed release leads to happened once.
func once(t tester, w *world, id release.ID) {
	t.Helper()
	if got := len(w.cluster.taken()); got != 1 {
		t.Errorf("%d rollbacks", got)
	}
	if got := len(w.forge.opened()); got != 1 {
		t.Errorf("%d issues", got)
	}
	if alerts, _ := w.alerts.count(); alerts != 1 {
		t.Errorf("%d alerts", alerts)
	}
	if got := len(w.cluster.eventTexts()); got != 2 {
		t.Errorf("%d events", got)
	}
	if got := states(w, id); got != "alert=done event/rollback=done event=done issue=done rollback=done" {
		t.Errorf("actions %q", got)
	}
	told := w.sinks["pager"].told(id)
	if n := len(told); n == 0 || told[n-1] != release.SaysRestored || !slices.ContainsFunc(told, release.MessageState.Open) {
		t.Errorf("people were told %v", told)
	}
	if wrongs := w.sinks["pager"].wrongs(); len(wrongs) > 0 {
		t.Errorf("receiver: %v", wrongs)
	}
	audit := w.audit(id)
	for _, row := range []string{"verdict regressed", "decision ", "rollback done", "issue done", "alert done", "restored done", "alert ending", "alert resolved"} {
		n := 0
		for _, line := range audit {
			if strings.HasPrefix(line, row) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d audit rows %q:\n%s", n, row, strings.Join(audit, "\n"))
		}
	}
}

func TestAProcessThatDiesAnywhereNeitherLosesNorRepeats(t *testing.T) {
	for _, point := range points {
		t.Run("killed "+point, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				rel := w.bad("webapp")
				w.arm(point)
				w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
				<-w.process.killed
				w.next()
				// What was running goes on at once, not when River takes it for dead.
				w.until("settled after the restart", 20*time.Second, w.settled(rel.ID))
				time.Sleep(100 * time.Second) // an alert fires for a minute at least
				once(t, w, rel.ID)
			})
		})
		if strings.HasSuffix(point, "alert") {
			continue // posted outside of a job too, where a panic ends the process
		}
		t.Run("panicked "+point, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				rel := w.bad("webapp")
				w.panicAt = point
				w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
				w.until("settled", 20*time.Second, w.settled(rel.ID))
				time.Sleep(100 * time.Second) // an alert fires for a minute at least
				if w.panicAt != "" {
					t.Fatal("there was no panic")
				}
				once(t, w, rel.ID)
			})
		})
	}
}

func TestAProcessKilledRightAfterTheVerdictActsWhenItIsBack(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir)
		w.open() // nothing carries actions out
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		began := time.Now()
		w.crash()
		defer func() { w.process.stop() }()
		w.until("patch", 2*time.Second, func() bool { return len(w.cluster.taken()) == 1 })
		t.Logf("rolled back %s after the restart", time.Since(began))
		time.Sleep(100 * time.Second) // an alert fires for a minute at least
		once(t, w, rel.ID)
	})
}

func TestARollbackThatWasDoneIsNotDeniedAfterACrash(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.arm("after rollback")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		<-w.process.killed
		// While nobody looks the target becomes impossible to choose.
		w.cluster.deploy("webapp", 3)
		w.cluster.forget("webapp", func(rs release.ReplicaSet) bool { return rs.Name != "webapp-1" })
		w.next()
		w.until("settled", 20*time.Second, w.settled(rel.ID))
		if a := w.actions(rel.ID)["rollback"]; a.State != release.ActionDone || !strings.Contains(a.Detail, "put back webapp-1") {
			t.Errorf("rollback is %s: %s", a.State, a.Detail)
		}
		time.Sleep(time.Minute)
		contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), "restored void: another template is current")
	})
}

func TestKilledAgainAndAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.arm(points[0])
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		for i := range points {
			select {
			case <-w.process.killed:
			case <-time.After(3 * time.Minute): // this point was passed already
				w.process.kill()
			}
			if i+1 < len(points) {
				w.arm(points[i+1])
			}
			// The verdict is found again by the loop, which records it again.
			w.next()
			w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		}
		time.Sleep(3 * time.Minute)
		once(t, w, rel.ID)
	})
}

func TestAStopInOrderLosesNothing(t *testing.T) {
	for after := range 8 {
		t.Run(fmt.Sprintf("after %d ms", 10*after), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				rel := w.bad("webapp")
				w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
				time.Sleep(time.Duration(10*after) * time.Millisecond)
				w.process.stop()
				w.start()
				w.until("settled", 20*time.Second, w.settled(rel.ID))
				time.Sleep(100 * time.Second) // an alert fires for a minute at least
				once(t, w, rel.ID)
			})
		})
	}
}

func TestAnEffectThatHangsIsCutOffAndTriedAgain(t *testing.T) {
	for _, point := range []string{"before rollback", "after rollback", "after issue"} {
		t.Run(point, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				rel := w.bad("webapp")
				w.hangAt = point
				w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
				w.until("settled", jobTimeout+20*time.Second, w.settled(rel.ID))
				if a := w.actions(rel.ID); a["rollback"].Attempts+a["issue"].Attempts != 3 {
					t.Errorf("%d and %d attempts", a["rollback"].Attempts, a["issue"].Attempts)
				}
				time.Sleep(100 * time.Second) // an alert fires for a minute at least
				once(t, w, rel.ID)
			})
		})
	}
}

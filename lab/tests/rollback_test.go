package tests

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/lab/deployment"
	"github.com/watchtower-verify/watchtower/lab/fault"
	"github.com/watchtower-verify/watchtower/lab/service"
	"github.com/watchtower-verify/watchtower/lab/stack"
)

// The API server itself goes away for a minute, at the worst time: while a bad
// release is being judged. It is not parallel, since every test needs it.
func TestTheAPIServerIsAwayForAMinute(t *testing.T) {
	s := newScene(t, nil)
	s.start()
	s.serve(40, nil)
	s.deploy(bad, nil)
	s.wait(bad, 20*time.Second, "sight", always)
	s.rolled()
	if err := theLab.Stop(stack.APIServer); err != nil {
		t.Fatal(err)
	}
	away := time.Now()
	rec := s.verdict(bad, 55*time.Second, "regressed") // from the pods' metrics, which are still read
	if a, ok := rec.Action("rollback"); ok && a.State != "pending" {
		t.Errorf("without an API server the rollback is %s: %s", a.State, a.Detail)
	}
	time.Sleep(time.Until(away.Add(time.Minute)))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := theLab.Start(ctx, stack.APIServer); err != nil {
		t.Fatal(err)
	}
	s.settled(bad, "rollback", "done", 90*time.Second)
	s.rolled()
	s.runs(good)
}

func TestANewerDeployBetweenVerdictAndPatchVoidsTheRollback(t *testing.T) {
	t.Parallel()
	api, _, configure := outsides(t)
	s := newScene(t, configure)
	s.start()
	s.serve(40, nil)
	hold := fault.NewHold()
	api.On(rollbackPatch, fault.HoldRequest(hold))
	s.deploy(bad, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := hold.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	s.deploy(better, nil) // the hotfix, by a person
	hold.Release()
	rec := s.settled(bad, "rollback", "void", 30*time.Second)
	refused := false
	for _, r := range api.Records() {
		refused = refused || r.TargetStatus == 422
	}
	if !refused {
		t.Error("the API server refused no patch with 422")
	}
	if n := api.Accepted(rollbackPatch); n != 0 {
		t.Errorf("%d patches were accepted over a newer deploy", n)
	}
	said := false
	for _, row := range rec.Audit {
		said = said || (row.What == "rollback" && row.Outcome == "void" && row.Why != "")
	}
	if !said {
		t.Errorf("no audit row says that the rollback was void and why: %v", rec.Audit)
	}
	s.rolled()
	s.runs(better)
}

func TestWithoutATargetNothingIsRolledBackAndTheAlertSaysWhy(t *testing.T) {
	t.Parallel()
	refusal := func(t *testing.T, s *scene, image string) {
		t.Helper()
		s.settled(image, "rollback", "refused", 90*time.Second)
		rec := s.settled(image, "alert", "done", 30*time.Second)
		s.runs(image)
		alerts := alertsOf(t, rec.Release.ID)
		if len(alerts) != 1 {
			t.Fatalf("Alertmanager has %d alerts of the release, want 1", len(alerts))
		}
		if text := alerts[0].Annotations["rollback"]; !strings.Contains(text, "refused") {
			t.Errorf("the alert does not say why nothing was rolled back: %v", alerts[0].Annotations)
		}
	}
	t.Run("the target is gone", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil)
		s.start()
		s.serve(40, func(d *deployment.Spec) { d.HistoryLimit = ptr(int32(0)) })
		s.deploy(bad, nil)
		s.verdict(bad, 2*time.Minute, "regressed")
		refusal(t, s, bad)
	})
	t.Run("the only target is itself a bad one", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil)
		s.start()
		s.deploy("mycompany/webapp:crash", nil)
		refusal(t, s, "mycompany/webapp:crash")
		s.deploy("mycompany/webapp:unpullable", nil)
		refusal(t, s, "mycompany/webapp:unpullable")
	})
}

func TestAReleaseThatBeganWhileWatchtowerWasAwayIsFound(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.start()
	s.serve(40, nil)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s.deploy(bad, nil)
	s.rolled()
	time.Sleep(10 * time.Second)
	s.start()
	s.verdict(bad, 2*time.Minute, "regressed")
	s.settled(bad, "rollback", "done", 30*time.Second)
	s.rolled()
	s.runs(good)
}

func TestWithoutAutonomyNothingIsTouched(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *service.Config) { c.Policy = strings.Replace(fastPolicy, "auto\n", "observe\n", 1) })
	s.start()
	s.serve(40, nil)
	s.deploy(bad, nil)
	rec := s.verdict(bad, 2*time.Minute, "regressed")
	time.Sleep(5 * time.Second)
	s.runs(bad)
	if n := len(alertsOf(t, rec.Release.ID)) + issuesOf(t, rec.Release.ID) + len(rec.Actions); n != 0 {
		t.Errorf("a policy that only observes led to %d alerts, issues and actions", n)
	}
}

func TestAnAnnotationOnTheDeploymentRaisesTheAutonomy(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *service.Config) { c.Policy = strings.Replace(fastPolicy, "auto\n", "observe\n", 1) })
	s.start()
	s.serve(40, func(d *deployment.Spec) { d.Annotations = map[string]string{"watchtower.dev/autonomy": "auto"} })
	s.deploy(bad, nil)
	s.settled(bad, "rollback", "done", 2*time.Minute)
	s.rolled()
	s.runs(good)
}

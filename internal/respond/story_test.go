package respond

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// inWorld runs a test in a bubble of time with a process that acts.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir)
		w.start()
		defer func() { w.process.stop() }()
		test(t, w)
	})
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s does not say %q:\n%s", what, part, text)
		}
	}
}

func TestAnAlertHasThePolicysSeverityToItsEnd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel, p := w.bad("webapp"), policy(release.AutonomyAuto)
		p.Severity = release.SeverityWarning
		w.process.decide(rel, verdict(rel, release.Regressed, true), p)
		time.Sleep(2 * time.Second)
		begun, firing := w.alerts.of(rel.ID)
		time.Sleep(3 * time.Minute)
		ended, fires := w.alerts.of(rel.ID)
		if !firing || fires || begun.Labels["severity"] != "warning" || !maps.Equal(begun.Labels, ended.Labels) {
			t.Errorf("fired %v as %v, then %v as %v", firing, begun.Labels, fires, ended.Labels)
		}
		if begun.EndsAt.Sub(begun.StartsAt) < 2*repostEvery {
			t.Errorf("it lapses after %s, though it is posted again every %s", begun.EndsAt.Sub(begun.StartsAt), repostEvery)
		}
	})
}

func TestARegressedReleaseIsRolledBackAlertedAndReported(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.forge.commits = []release.Commit{{SHA: "abcdef0123456789", Title: "checkout: faster", Author: "Ann", URL: "https://git.example/c/abcdef"}}
		rel := w.bad("webapp")
		began := time.Now()
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		w.until("patch", time.Second, func() bool { return len(w.cluster.taken()) == 1 })
		req := w.cluster.taken()[0]
		if req.Target.Name != "webapp-1" || req.From.Name != "webapp-2" || req.Release != rel.ID {
			t.Errorf("patch %+v", req)
		}
		w.until("all settled", 10*time.Second, w.settled(rel.ID))
		a, firing := w.alerts.of(rel.ID)
		if !firing || a.StartsAt.After(began) {
			t.Errorf("alert fires %v since %v", firing, a.StartsAt)
		}
		contains(t, "alert", a.Annotations["rollback"], "done: put back webapp-1 (v1, revision 1), the last one judged healthy")
		contains(t, "alert", a.Annotations["description"], "Error ratio 4.9 % (31 of 634)", "E-value 2.1e3, needed 1e3")
		if a.GeneratorURL != "https://watchtower.example/releases/"+string(rel.ID) {
			t.Errorf("generator URL %q", a.GeneratorURL)
		}
		issues := w.forge.opened()
		if len(issues) != 1 || w.forge.repos[0] != "shop/webapp" {
			t.Fatalf("issues %v in %v", issues, w.forge.repos)
		}
		contains(t, "issue", issues[0].Title, "shop/webapp v1 → v2 regressed: error ratio 0.1 % → 4.9 %")
		contains(t, "issue", issues[0].Body, "**Rolled back**: put back webapp-1", "31 of 634", "checkout: faster", "http_requests_total", release.Marker(rel.ID))
		if !slices.Equal(w.forge.asked, []string{"shop/webapp c0ffee1..c0ffee2"}) {
			t.Errorf("asked for commits %q", w.forge.asked)
		}
		events := w.cluster.eventTexts()
		contains(t, "event", events[string(rel.ID)+"/event"], "ReleaseRegressed: shop/webapp v1 → v2 regressed")
		contains(t, "event", events[string(rel.ID)+"/event/rollback"], "ReleaseRolledBack: rollback of v1 → v2 done: put back webapp-1")

		w.until("alert resolved", 3*time.Minute, func() bool { _, firing := w.alerts.of(rel.ID); return !firing })
		if took := time.Since(began); took < normalPace.firesAtLeast || took > normalPace.firesAtLeast+10*time.Second {
			t.Errorf("the alert fired for %s", took)
		}
		a, _ = w.alerts.of(rel.ID)
		contains(t, "alert", a.Annotations["restored"], "done: every replica runs webapp-1 (v1, revision 1) and is ready, 1")
		contains(t, "alert", a.Annotations["issue"], "https://git.example/shop/webapp/issues/1")
		audit := strings.Join(w.audit(rel.ID), "\n")
		contains(t, "audit", audit, "verdict regressed, final: shop/webapp", "decision rollback, alert, event, issue: the release regressed, and policy \"shop\" has autonomy auto",
			"rollback done: put back webapp-1", "alert done:", "event done:", "issue done: opened", "restored done: every replica", "alert resolved")

		_, posts := w.alerts.count()
		time.Sleep(10 * time.Minute)
		if alerts, now := w.alerts.count(); alerts != 1 || now != posts {
			t.Errorf("%d alerts, %d posts after the end", alerts, now-posts)
		}
		if len(w.cluster.taken()) != 1 || len(w.forge.opened()) != 1 || len(w.cluster.eventTexts()) != 2 {
			t.Error("something was done twice")
		}
	})
}

func TestPolicyBoundsWhatIsDone(t *testing.T) {
	noIssue := policy(release.AutonomyAuto)
	noIssue.Issue = false
	ignored := policy(release.AutonomyAuto)
	ignored.Ignore = true
	unknown := policy("everything")
	for _, test := range []struct {
		name    string
		policy  release.Policy
		actions string // key and state of each
		patches int
		note    string // of the alert about the rollback
		audit   []string
	}{
		{"observe records and refuses to act", policy(release.AutonomyObserve), "", 0, "", []string{`decision refused: policy "shop" only observes`}},
		{"an ignored workload is left alone", ignored, "", 0, "", []string{"decision refused"}},
		{"an unknown autonomy does nothing", unknown, "", 0, "", []string{"decision refused"}},
		{
			"alert does not roll back", policy(release.AutonomyAlert), "alert=done event=done issue=done", 0, `not done: policy "shop" allows alerting only`,
			[]string{`rollback refused: policy "shop" allows alerting only (autonomy alert)`},
		},
		{
			"approve leaves the rollback to a person", policy(release.AutonomyApprove), "alert=done event=done issue=done rollback=waiting", 0, "waiting: policy \"shop\" asks",
			[]string{`rollback waiting: policy "shop" asks for a person's approval`},
		},
		{"auto does everything", policy(release.AutonomyAuto), "alert=done event/rollback=done event=done issue=done rollback=done", 1, "done: put back", nil},
		{"no issue where none is wanted", noIssue, "alert=done event/rollback=done event=done rollback=done", 1, "done: put back", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				rel := w.bad("webapp")
				w.process.decide(rel, verdict(rel, release.Regressed, true), test.policy)
				w.until("settled", time.Minute, w.settled(rel.ID))
				if got := states(w, rel.ID); got != test.actions {
					t.Errorf("actions %q, want %q", got, test.actions)
				}
				if got := len(w.cluster.taken()); got != test.patches {
					t.Errorf("%d patches, want %d", got, test.patches)
				}
				a, _ := w.alerts.of(rel.ID)
				contains(t, "alert", a.Annotations["rollback"], test.note)
				contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), test.audit...)
				if test.actions == "" && len(w.audit(rel.ID)) != 2 {
					t.Errorf("audit %q, want the verdict and one refusal", w.audit(rel.ID))
				}
			})
		})
	}
}

func states(w *world, id release.ID) string {
	var parts []string
	for key, a := range w.actions(id) {
		if a.Kind == release.ActionMessage {
			continue // they have tests of their own
		}
		parts = append(parts, key+"="+string(a.State))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

func TestWithoutAlertmanagerAndForgeTheRestIsDone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir)
		w.bare = true
		w.start()
		defer func() { w.process.stop() }()
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		w.until("settled", time.Minute, w.settled(rel.ID))
		if got := states(w, rel.ID); got != "alert=refused event/rollback=done event=done issue=refused rollback=done" {
			t.Errorf("actions %q", got)
		}
		contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), "alert refused: no Alertmanager is configured", "issue refused: no forge is configured")
	})
}

func TestAVerdictIsAuditedWhenItChangesAndOnlyThen(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.process.responder.deps.Route = func(release.Message) []string { return nil }
		rel := w.cluster.deploy("webapp", 1)
		p := policy(release.AutonomyAuto)
		for _, step := range []struct {
			kind  release.VerdictKind
			final bool
		}{
			{release.Pending, false},
			{release.Pending, false},
			{release.SourceBroken, false},
			{release.SourceBroken, false},
			{release.Pending, false},
			{release.Healthy, false},
			{release.Healthy, false},
			{release.Healthy, true},
			{release.Healthy, true},
		} {
			w.process.decide(rel, verdict(rel, step.kind, step.final), p)
			time.Sleep(time.Second)
		}
		var got []string
		for _, line := range w.audit(rel.ID) {
			outcome, _, _ := strings.Cut(line, ":")
			got = append(got, outcome)
		}
		want := []string{"verdict source_broken", "verdict pending", "verdict healthy", "verdict healthy, final"}
		if !slices.Equal(got, want) {
			t.Errorf("audit %q, want %q", got, want)
		}
		if got := w.actions(rel.ID); len(got) != 0 {
			t.Errorf("actions %v", got)
		}
	})
}

func TestDecidingAgainAddsNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		for range 3 {
			w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
			w.process.decide(rel, verdict(rel, release.Healthy, true), policy(release.AutonomyAuto))
			w.until("settled", time.Minute, w.settled(rel.ID))
			time.Sleep(time.Minute)
		}
		if len(w.cluster.taken()) != 1 || len(w.forge.opened()) != 1 {
			t.Errorf("%d patches, %d issues", len(w.cluster.taken()), len(w.forge.opened()))
		}
		rec, err := w.process.store.Release(t.Context(), rel.ID)
		if err != nil || rec.Verdict.Kind != release.Regressed {
			t.Errorf("the verdict is %s now, %v", rec.Verdict.Kind, err)
		}
	})
}

func TestAVerdictOfAnotherReleaseIsNotTaken(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel, other := w.bad("webapp"), w.bad("backend")
		err := w.process.responder.Decide(t.Context(), rel, verdict(other, release.Regressed, true), policy(release.AutonomyAuto))
		if release.ErrorCode(err) != release.CodeInvalid {
			t.Errorf("got %v", err)
		}
	})
}

func TestARollbackThatCannotBeSaysWhy(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(w *world, rel *release.Release, v *release.Verdict)
		state   release.ActionState
		why     string
		event   string
	}{
		{"the target is gone", func(w *world, rel *release.Release, _ *release.Verdict) {
			w.cluster.forget("webapp", func(rs release.ReplicaSet) bool { return rs.UID == rel.ReplicaSet.UID })
		}, release.ActionRefused, "no longer exists", "RollbackRefused"},
		{"a newer deploy came", func(w *world, _ *release.Release, _ *release.Verdict) {
			w.cluster.deploy("webapp", 3)
		}, release.ActionVoid, "no longer has the pod template of webapp-2", "RollbackVoid"},
		{"the release was superseded", func(_ *world, rel *release.Release, _ *release.Verdict) {
			rel.SupersededBy = "newer"
		}, release.ActionVoid, "release newer has taken over", ""},
		{"the verdict has no evidence", func(_ *world, _ *release.Release, v *release.Verdict) {
			v.Evidence = nil
		}, release.ActionRefused, "carries no evidence", ""},
		{"the cluster refuses", func(w *world, _ *release.Release, _ *release.Verdict) {
			w.cluster.err = release.E(release.CodeRefused, "the Deployment is paused", nil)
		}, release.ActionRefused, "the Deployment is paused", "RollbackRefused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				rel := w.bad("webapp")
				v := verdict(rel, release.Regressed, true)
				test.prepare(w, &rel, &v)
				w.process.decide(rel, v, policy(release.AutonomyAuto))
				w.until("settled", time.Minute, w.settled(rel.ID))
				if a := w.actions(rel.ID)["rollback"]; a.State != test.state || !strings.Contains(a.Detail, test.why) {
					t.Errorf("rollback is %s: %s", a.State, a.Detail)
				}
				time.Sleep(time.Second)
				a, firing := w.alerts.of(rel.ID)
				if !firing {
					t.Error("the alert does not fire")
				}
				contains(t, "alert", a.Annotations["rollback"], string(test.state)+": ", test.why)
				contains(t, "issue", w.forge.opened()[0].Body, "**Not rolled back**", test.why)
				contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), "rollback "+string(test.state)+": ", test.why)
				contains(t, "events", w.cluster.eventTexts()[string(rel.ID)+"/event/rollback"], test.event)
				if len(w.cluster.taken()) != 0 {
					t.Error("it was rolled back")
				}
			})
		})
	}
}

func TestTheOutsideMayBeAwayForAWhile(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.cluster.setDown(true)
		w.alerts.fail(release.E(release.CodeUnavailable, "Alertmanager is away", nil))
		w.forge.fail(&release.Error{Code: release.CodeRateLimited, Message: "the forge asks for patience", RetryAfter: 3 * time.Minute})
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		time.Sleep(90 * time.Second)
		if a := w.actions(rel.ID)["rollback"]; a.State != release.ActionPending || a.Attempts < 5 || !strings.Contains(a.Detail, "API server does not answer") {
			t.Errorf("while the API server is away the rollback is %+v", a)
		}
		w.cluster.setDown(false)
		w.until("patch", 75*time.Second, func() bool { return len(w.cluster.taken()) == 1 })
		w.alerts.fail(nil)
		w.until("alert", 75*time.Second, func() bool { _, firing := w.alerts.of(rel.ID); return firing })
		if len(w.forge.opened()) != 0 {
			t.Error("the issue was opened early")
		}
		w.forge.fail(nil)
		w.until("settled", 5*time.Minute, w.settled(rel.ID))
		w.until("alert resolved", 3*time.Minute, func() bool { _, firing := w.alerts.of(rel.ID); return !firing })
	})
}

func TestARollbackIsGivenUpAfterAnHour(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.cluster.setDown(true)
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		w.until("issue", issueWaits+10*time.Second, func() bool { return len(w.forge.opened()) == 1 })
		contains(t, "issue", w.forge.opened()[0].Body, "**Rollback under way**")
		time.Sleep(62 * time.Minute)
		if a := w.actions(rel.ID)["rollback"]; a.State != release.ActionFailed || !strings.HasPrefix(a.Detail, "given up after 1 h") {
			t.Errorf("rollback is %s: %s", a.State, a.Detail)
		}
		w.cluster.setDown(false)
		time.Sleep(10 * time.Minute)
		if len(w.cluster.taken()) != 0 {
			t.Error("it was rolled back after it had been given up")
		}
	})
}

func TestAnAlertIsRepostedUntilItsReleaseIsClosed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyApprove))
		for range 20 {
			time.Sleep(time.Minute)
			if _, firing := w.alerts.of(rel.ID); !firing {
				t.Fatal("the alert lapsed")
			}
		}
		w.process.stop()
		w.start() // the state is in the database
		time.Sleep(10 * time.Minute)
		if _, firing := w.alerts.of(rel.ID); !firing {
			t.Fatal("the alert lapsed over a restart")
		}
		for i := 1; i < len(w.alerts.at); i++ {
			if gap := w.alerts.at[i].Sub(w.alerts.at[i-1]); gap > repostEvery+time.Second {
				t.Errorf("no post for %s", gap)
			}
		}
		for range 2 {
			if err := w.process.responder.Closed(t.Context(), rel.ID, "superseded by v3"); err != nil {
				t.Fatal(err)
			}
		}
		w.until("resolved", 10*time.Second, func() bool { _, firing := w.alerts.of(rel.ID); return !firing })
		if a := w.actions(rel.ID)["rollback"]; a.State != release.ActionVoid || a.Detail != "superseded by v3" {
			t.Errorf("the waiting rollback is %s: %s", a.State, a.Detail)
		}
		audit := strings.Join(w.audit(rel.ID), "\n")
		if n := strings.Count(audit, "closed: superseded by v3"); n != 1 {
			t.Errorf("the end is audited %d times", n)
		}
		if alerts, _ := w.alerts.count(); alerts != 1 {
			t.Errorf("%d alerts", alerts)
		}
		if err := w.process.responder.Closed(t.Context(), "nosuch", "gone"); err != nil {
			t.Errorf("closing an unknown release: %v", err)
		}
	})
}

func TestAWorkloadThatDoesNotComeBackKeepsItsAlert(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cluster.comesBack = 24 * time.Hour
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		time.Sleep(restorePatience + time.Minute)
		a, firing := w.alerts.of(rel.ID)
		if !firing {
			t.Error("the alert ended")
		}
		contains(t, "alert", a.Annotations["restored"], "failed: webapp-1 (v1, revision 1) is still not ready 1 h")
		contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), "restored failed")
	})
}

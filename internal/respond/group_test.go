package respond

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	groupWait     = 30 * time.Second
	groupInterval = 5 * time.Minute
)

// grouped has everything of a namespace that somebody should know of told together
// to the pager.
func grouped(w *world) {
	w.route = func(m release.Message) []string {
		if m.State.Open() {
			return []string{"pager"}
		}
		return nil
	}
	w.group = func(m release.Message, receiver string) (Grouping, bool) {
		return Grouping{Key: "namespace=" + m.Workload.Namespace, Wait: groupWait, Interval: groupInterval}, receiver == "pager"
	}
}

func inGroupedWorld(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		grouped(w)
		w.process.stop()
		w.start()
		f(t, w)
	})
}

// groups are what the pager shows of groups, the oldest first, and what it shows of
// releases by themselves.
func (w *world) groups() (groups, alone []*shown) {
	for key, one := range w.sinks["pager"].all() {
		if strings.HasPrefix(key, groupPrefix) {
			groups = append(groups, one)
		} else {
			alone = append(alone, one)
		}
	}
	slices.SortFunc(groups, func(a, b *shown) int { return a.at[0].Compare(b.at[0]) })
	return groups, alone
}

// now is what the pager shows in place of what it showed.
func (w *world) now(s *shown) *shown { return w.sinks["pager"].of(s.message.Key) }

// regressedAlone has a release regress that nothing is done about.
func (w *world) regressedAlone(name string) release.Release {
	w.t.Helper()
	rel := w.bad(name)
	w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAlert))
	return rel
}

func (w *world) close(rel release.Release) {
	w.t.Helper()
	if err := w.process.responder.Closed(w.t.(*testing.T).Context(), rel.ID, "the workload was deleted"); err != nil {
		w.t.Fatalf("close: %v", err)
	}
}

func TestReleasesOfAGroupAreOneMessageThatIsKeptTrue(t *testing.T) {
	inGroupedWorld(t, func(t *testing.T, w *world) {
		var releases []release.Release
		for _, name := range []string{"webapp", "cart", "api"} {
			releases = append(releases, w.regressedAlone(name))
			time.Sleep(5 * time.Second)
		}
		if now, _ := w.groups(); len(now) != 0 {
			t.Fatalf("told before the group's wait was over: %v", now[0].history)
		}
		time.Sleep(groupWait)
		groups, alone := w.groups()
		if len(groups) != 1 || len(alone) != 0 {
			t.Fatalf("%d groups, %d alone", len(groups), len(alone))
		}
		g := groups[0]
		if want := "3 of shop regressed: webapp v1 → v2, cart v1 → v2, api v1 → v2"; len(g.at) != 1 || g.message.Headline != want || len(g.message.Members) != 3 {
			t.Errorf("told %q %d times, want %q", g.message.Headline, len(g.at), want)
		}
		if g.message.Labels["kind"] != message.KindGroup || g.message.URL(release.LinkRelease) != "https://watchtower.example/" {
			t.Errorf("told as %v, %v", g.message.Labels, g.message.Links)
		}
		// Changes come no sooner than the interval, all at once.
		w.close(releases[0])
		time.Sleep(time.Second)
		late := w.regressedAlone("search")
		time.Sleep(groupInterval - 30*time.Second)
		if g = w.now(g); len(g.at) != 1 {
			t.Errorf("told again after %s", g.at[1].Sub(g.at[0]))
		}
		time.Sleep(30 * time.Second)
		if g = w.now(g); len(g.at) != 2 || g.at[1].Sub(g.at[0]) < groupInterval || len(g.message.Members) != 4 || !g.message.State.Open() {
			t.Fatalf("told %d times, last with %d members as %s", len(g.at), len(g.message.Members), g.message.State)
		}
		contains(t, "headline", g.message.Headline, "4 of shop: 3 regressed, 1 superseded (")
		for _, rel := range []release.Release{releases[1], releases[2], late} {
			w.close(rel)
		}
		time.Sleep(groupInterval + time.Minute)
		if g = w.now(g); len(g.at) != 3 || !g.message.State.Over() || g.message.EndedAt == nil {
			t.Errorf("told %v", g.history)
		}
		// What comes after its end is another group.
		w.regressedAlone("billing")
		time.Sleep(groupWait + time.Second)
		if groups, _ = w.groups(); len(groups) != 2 || groups[1].message.Members[0].Message.Workload.Name != "billing" {
			t.Errorf("%d groups", len(groups))
		}
		if wrongs := w.sinks["pager"].wrongs(); len(wrongs) > 0 {
			t.Error(wrongs)
		}
	})
}

func TestAGroupOfOneIsToldInFull(t *testing.T) {
	inGroupedWorld(t, func(t *testing.T, w *world) {
		rel := w.regressedAlone("webapp")
		time.Sleep(groupWait + 5*time.Second)
		groups, _ := w.groups()
		m := groups[len(groups)-1].message
		if m.Headline != release.Headline(rel, verdict(rel, release.Regressed, true)) || len(m.HowBad) == 0 || !strings.HasSuffix(m.URL(release.LinkRelease), string(rel.ID)) {
			t.Errorf("told %+v", m)
		}
		if text := message.Text(m); strings.Count(text, m.Headline) != 1 {
			t.Errorf("it says itself twice: %s", text)
		}
	})
}

func TestWhatBeganAndEndedBeforeAnybodyWasToldIsToldInOrder(t *testing.T) {
	inGroupedWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		time.Sleep(20 * time.Minute)
		groups, _ := w.groups()
		g := groups[len(groups)-1]
		if len(g.history) != 2 || !g.history[0].Open() || g.history[1] != release.SaysRestored {
			t.Errorf("told %v", g.history)
		}
		if g.at[1].Sub(g.at[0]) < groupInterval {
			t.Errorf("told again after %s", g.at[1].Sub(g.at[0]))
		}
	})
}

func TestAReleaseThatWaitsForApprovalIsToldByItselfAtOnceAndListed(t *testing.T) {
	inGroupedWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyApprove))
		time.Sleep(2 * time.Second)
		if told := w.sinks["pager"].told(rel.ID); !slices.Equal(told, sequence(release.SaysWaiting)) {
			t.Fatalf("told %v at once", told)
		}
		time.Sleep(20 * time.Minute)
		if groups, _ := w.groups(); len(groups) != 0 {
			t.Errorf("a group of none but those that are told by themselves is told: %s", groups[len(groups)-1].message.Headline)
		}
		other := w.regressedAlone("cart")
		time.Sleep(groupWait + 2*time.Second)
		groups, _ := w.groups()
		g := groups[len(groups)-1]
		if len(g.message.Members) != 2 || g.message.Members[0].State != release.SaysWaiting && g.message.Members[1].State != release.SaysWaiting {
			t.Errorf("the group lists %+v", g.message.Members)
		}
		if err := w.process.responder.Approve(t.Context(), rel.ID, ann); err != nil {
			t.Fatal(err)
		}
		w.close(other)
		time.Sleep(20 * time.Minute)
		if told := w.sinks["pager"].told(rel.ID); told[len(told)-1] != release.SaysRestored {
			t.Errorf("by itself it was told %v", told)
		}
		if g = w.now(g); !g.message.State.Over() {
			t.Errorf("the group says %s", g.message.Headline)
		}
	})
}

func TestWhatIsPartOfAnIncidentIsToldInNoGroup(t *testing.T) {
	inGroupedWorld(t, func(t *testing.T, w *world) {
		var all []release.Release
		for i := range 30 {
			all = append(all, w.bad(fmt.Sprintf("app%d", i)))
		}
		for _, rel := range all {
			w.process.decide(rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
		}
		time.Sleep(20 * time.Minute)
		groups, alone := w.groups()
		if len(groups) != 0 {
			t.Errorf("told in a group too: %s", groups[len(groups)-1].message.Headline)
		}
		if len(alone) != 1 || len(alone[0].message.Members) != 30 {
			t.Errorf("%d told alone", len(alone))
		}
	})
}

func TestQuietHoursHoldBackAGroup(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		grouped(w)
		w.process.stop()
		w.open()
		opens := time.Now().Add(40 * time.Minute)
		w.process.responder.deps.Open = func(m release.Message, _ string, now time.Time) time.Time {
			if now.Before(opens) && m.Labels["workload"] != "urgent" {
				return opens
			}
			return now
		}
		w.run()
		w.regressedAlone("webapp")
		time.Sleep(39 * time.Minute)
		if groups, _ := w.groups(); len(groups) != 0 {
			t.Fatalf("told in the quiet hours: %s", groups[0].message.Headline)
		}
		time.Sleep(12 * time.Minute)
		if groups, _ := w.groups(); len(groups) != 1 {
			t.Errorf("%d groups told after them", len(groups))
		}
	})
}

func TestWhatMayHaveBeenToldBeforeACrashKeepsTheInterval(t *testing.T) {
	inGroupedWorld(t, func(t *testing.T, w *world) {
		w.regressedAlone("webapp")
		w.arm("after message")
		<-w.process.killed // told, and not recorded
		groups, _ := w.groups()
		w.process.stop()
		w.images++
		w.open()
		w.regressedAlone("cart") // before anything is told again
		w.run()
		time.Sleep(groupInterval + time.Minute)
		g := w.now(groups[0])
		if len(g.at) != 2 || g.at[1].Sub(g.at[0]) < groupInterval || len(g.message.Members) != 2 {
			t.Errorf("told at %v, the last with %d members", g.at, len(g.message.Members))
		}
	})
}

func TestWhatOpensAgainAfterItsGroupHasEndedIsToldInTheOpenOne(t *testing.T) {
	inGroupedWorld(t, func(t *testing.T, w *world) {
		rel := w.bad("webapp")
		judge := func(kind release.VerdictKind, final bool) {
			w.process.decide(rel, verdict(rel, kind, final), policy(release.AutonomyAlert))
		}
		judge(release.SourceBroken, false)
		time.Sleep(groupWait + time.Second)
		judge(release.Pending, false)
		time.Sleep(groupInterval + time.Second)
		groups, _ := w.groups()
		if len(groups) != 1 || groups[0].message.State != release.SaysRecovered {
			t.Fatalf("%d groups, told %v", len(groups), groups[0].history)
		}
		w.regressedAlone("cart")
		time.Sleep(groupWait + time.Second)
		judge(release.Regressed, true)
		time.Sleep(groupInterval + time.Second)
		groups, _ = w.groups()
		if len(groups) != 2 || groups[0].message.State.Open() || len(groups[1].message.Members) != 2 || !groups[1].message.State.Open() {
			t.Errorf("%d groups, told %v", len(groups), groups[0].history)
		}
		w.close(rel) // the last word of it, where it is told now
		time.Sleep(groupInterval + time.Second)
		if groups, _ = w.groups(); len(groups) != 2 || groups[1].message.Members[1].State != release.SaysSuperseded || len(groups[0].at) != 2 {
			t.Errorf("the last that was told of it: %+v", groups[1].message.Members)
		}
	})
}

func TestWhatIsDoneToTheIncidentOfAGroupIsDoneToEachInIt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		grouped(w)
		w.process.stop()
		w.open()
		w.process.responder.deps.InPlace = map[string]bool{"pager": true}
		w.run()
		rel := w.regressedAlone("webapp")
		w.regressedAlone("cart")
		time.Sleep(groupWait + 5*time.Second)
		groups, _ := w.groups()
		g, r := groups[0], w.process.responder
		if err := r.Acknowledged(t.Context(), g.message.Key, acknowledgement(release.Acknowledged, time.Now())); err != nil {
			t.Fatal(err)
		}
		if err := r.Acknowledged(t.Context(), "group-of-another", acknowledgement(release.Acknowledged, time.Now())); err != nil {
			t.Errorf("a group that is not known: %v", err)
		}
		time.Sleep(groupInterval)
		if g = w.now(g); g.message.Acknowledged == nil || g.message.Members[1].Message.Acknowledged == nil {
			t.Errorf("it does not say who: %+v", g.message)
		}
		contains(t, "audit", strings.Join(w.audit(rel.ID), "\n"), "incident acknowledged: ")
		// One that comes after that is seen to by nobody yet.
		w.regressedAlone("api")
		time.Sleep(groupInterval + time.Second)
		if g = w.now(g); g.message.Acknowledged != nil || len(g.message.Members) != 3 {
			t.Errorf("somebody sees to all of it: %+v", g.message.Acknowledged)
		}
		_, err := r.Snooze(t.Context(), rel.ID, "", time.Hour, ann)
		if release.ErrorCode(err) != release.CodeRefused || !strings.Contains(err.Error(), "together with others") {
			t.Errorf("snoozed alone: %v", err)
		}
	})
}

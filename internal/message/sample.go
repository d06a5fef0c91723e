package message

import (
	"fmt"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Samples are one message for every state, of a release that never was: what
// receivers and templates are shown with. The labels are added to each.
func Samples(now time.Time, places Places, labels map[string]string) []release.Message {
	var out []release.Message
	for i, f := range sampleFacts(now) {
		f.Release.Labels = labels
		f.Sequence = i + 1
		out = append(out, Of(f, places))
	}
	return out
}

// SampleGroup is one message of several releases, of which some regressed and one
// is over.
func SampleGroup(now time.Time, places Places, labels map[string]string) release.Message {
	all := sampleFacts(now)
	var ms []release.Message
	for i, name := range []string{"webapp", "cart", "checkout"} {
		f := all[slices.Index(release.MessageStates, release.SaysRegressed)]
		if i == 2 {
			f = all[slices.Index(release.MessageStates, release.SaysRestored)]
		}
		f.Release.Workload.Name, f.Release.Labels = name, labels
		f.Release.ID = release.ID(fmt.Sprintf("%s%d", f.Release.ID[1:], i))
		f.Actions = slices.Clone(f.Actions)
		for j := range f.Actions {
			f.Actions[j].Key = release.ActionKey(f.Release.ID, f.Actions[j].Kind)
		}
		ms = append(ms, Of(f, places))
	}
	return Together(KindGroup, "group-example", 2, ms, places, now)
}

// Test is a message that tells of nothing, to try a receiver with.
func Test(cluster, receiver string, now time.Time, places Places) release.Message {
	m := release.Message{
		// No receiver takes it for an earlier test.
		Key: fmt.Sprintf("watchtower/test/%s/%d", release.OneLine(receiver, 60), now.UnixMilli()), Sequence: 1, State: release.SaysVerifying, Severity: release.SeverityInfo,
		Headline: release.OneLine("Test of receiver "+receiver+": Watchtower reaches you, nothing has happened", release.HeadlineLimit),
		Workload: release.Workload{Cluster: cluster, Namespace: "watchtower", Name: "test"}, Verdict: release.Pending,
		StartedAt: now, At: now, EndedAt: &now,
		Since: "sent " + instant(now), Sure: "it is a test", Did: "Sent a test because `watchtower doctor` was asked to.", Next: "Nothing.", Test: true,
	}
	m.Links = places.links(Facts{Release: release.Release{StartedAt: now}, Now: now})
	m.Links = onlyOf(m.Links, release.LinkRunbook)
	m.Labels = map[string]string{
		LabelCluster: cluster, LabelNamespace: m.Workload.Namespace, LabelWorkload: m.Workload.Name, LabelSeverity: string(m.Severity),
		LabelState: string(m.State), LabelVerdict: string(m.Verdict), LabelKind: KindTest, LabelPolicy: "", LabelAutonomy: "",
	}
	return m
}

func onlyOf(links []release.Link, kind release.LinkKind) []release.Link {
	var out []release.Link
	for _, l := range links {
		if l.Kind == kind {
			out = append(out, l)
		}
	}
	return out
}

// sampleFacts are the facts of one release in every state, in the states' order.
func sampleFacts(now time.Time) []Facts {
	began := now.Add(-2 * time.Minute)
	rel := sampleRelease(began)
	policy := release.DefaultPolicy()
	policy.Name, policy.Autonomy = "policy", release.AutonomyAuto
	facts := func(v release.Verdict, actions ...release.Action) Facts {
		v.Release = rel.ID
		return Facts{Release: rel, Verdict: v, Policy: policy, Actions: actions, Now: now}
	}
	bad := sampleVerdict(began)
	decided := began.Add(90 * time.Second)
	rollback := func(state release.ActionState, detail string) release.Action {
		return release.Action{Key: release.ActionKey(rel.ID, release.ActionRollback), Release: rel.ID, Kind: release.ActionRollback, State: state, Detail: detail}
	}
	issue := release.Action{Key: release.ActionKey(rel.ID, release.ActionIssue), Release: rel.ID, Kind: release.ActionIssue, State: release.ActionDone, URL: "https://git.example.com/shop/webapp/issues/7"}
	back := rollback(release.ActionDone, "put back webapp-5b4 (v2, revision 2), judged healthy")
	until := now.Add(30 * time.Minute)

	healthy := release.Verdict{Kind: release.Healthy, Final: true, DecidedAt: &decided}
	scarce := release.Verdict{
		Kind: release.InsufficientData, Final: true, DecidedAt: &decided, Reason: "few requests reached the release's pods",
		Needs: &release.Needs{Requests: 1200, Within: 9 * time.Minute, Signals: []string{release.SignalErrorRatio}},
	}
	broken := release.Verdict{Kind: release.SourceBroken, DecidedAt: &decided, Reason: "the metric store has not answered for 2 min"}

	alone := facts(bad)
	alone.Policy.Autonomy = release.AutonomyAlert
	waiting := facts(bad, rollback(release.ActionWaiting, `policy "policy" asks for a person's approval`))
	waiting.ApproveBy = &until
	restored := facts(bad, back, issue)
	restored.Restore = &Restore{State: release.ActionDone, Detail: "every replica runs webapp-5b4 (v2, revision 2) and is ready, 8 s after the rollback", At: now}
	unhelped := facts(bad, back, issue)
	unhelped.Restore = &Restore{State: release.ActionFailed, Detail: "webapp-5b4 (v2, revision 2) is still not ready 1 h after the rollback", At: now}
	overtaken := facts(bad, rollback(release.ActionVoid, "release 0f1e2d3c4b5a has taken over"))
	overtaken.Release.SupersededBy = "0f1e2d3c4b5a"
	recovered := facts(release.Verdict{Kind: release.Pending, Threshold: 1000, EValue: 0.4})
	recovered.Before = release.SaysSourceBroken
	return []Facts{
		facts(release.Verdict{Kind: release.Pending, Threshold: 1000, EValue: 0.4}), facts(healthy), facts(scarce), facts(broken), alone, waiting,
		facts(bad, rollback(release.ActionPending, "")), restored, unhelped, overtaken, recovered,
	}
}

func sampleRelease(began time.Time) release.Release {
	images := func(version, digest, revision string) []release.Image {
		return []release.Image{{
			Container: "app", Reference: "registry.example.com/shop/webapp:" + version, Digest: digest, Revision: revision,
			Source: "https://git.example.com/shop/webapp",
		}}
	}
	return release.Release{
		ID: "1a2b3c4d5e6f", Workload: release.Workload{Cluster: "example", Namespace: "shop", Name: "webapp", UID: "3f1c"},
		ReplicaSet: release.ReplicaSet{Name: "webapp-7d9", UID: "r3", Revision: 3, Images: images("v3", "sha256:3333", "c0ffee3")},
		Previous:   &release.ReplicaSet{Name: "webapp-5b4", UID: "r2", Revision: 2, Images: images("v2", "sha256:2222", "c0ffee2")},
		StartedAt:  began, SeenAt: began,
	}
}

func sampleVerdict(began time.Time) release.Verdict {
	decided := began.Add(90 * time.Second)
	strong, weak := 5230.0, 1.4
	return release.Verdict{
		Kind: release.Regressed, Final: true, DecidedAt: &decided, UpdatedAt: decided, EValue: 2093, Threshold: 1000,
		Evidence: []release.Evidence{{
			Signal: release.SignalErrorRatio, Baseline: release.ArmStable, SeenBy: release.SeenByServer, EValue: &strong, Unit: release.UnitRatio,
			BaselineValue: 2.0 / 1890, ReleaseValue: 31.0 / 634, Release: release.Count{Total: 634, Bad: 31}, Stable: release.Count{Total: 1890, Bad: 2},
			Effect: &release.Effect{Ratio: 38, Low: 12, High: 160},
		}, {
			Signal: release.SignalLatencyP90, Baseline: release.ArmStable, SeenBy: release.SeenByServer, EValue: &weak, Unit: release.UnitSeconds,
			BaselineValue: 0.21, ReleaseValue: 0.22, Release: release.Count{Total: 634, Bad: 64}, Stable: release.Count{Total: 1890, Bad: 180},
			Effect: &release.Effect{Ratio: 1.1, Low: 0.7, High: 1.6}, Reason: "10 % took longer than 250 ms",
		}},
	}
}

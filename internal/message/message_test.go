package message

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	noon   = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	places = Places{
		ExternalURL: "https://watchtower.example.com/",
		Dashboard:   "https://grafana.example.com/d/web?var-namespace={namespace}&from={from}&to={to}",
		Logs:        "https://logs.example.com/?q={workload}", Runbook: "https://wiki.example.com/rollbacks",
	}
)

// Every state has a message, and each says what the file of its state says.
func TestWhatIsSaidInEveryState(t *testing.T) {
	samples := Samples(noon, places, map[string]string{"team": "payments"})
	for i, m := range samples {
		if m.State != release.MessageStates[i] {
			t.Fatalf("sample %d is %s, want %s", i, m.State, release.MessageStates[i])
		}
		t.Run(string(m.State), func(t *testing.T) {
			whole, err := json.MarshalIndent(m, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got := Text(m) + "\n" + string(whole) + "\n"
			file := filepath.Join("testdata", string(m.State)+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("differs from %s (-want +got):\n%s", file, diff)
			}
		})
	}
}

func TestStateOfARelease(t *testing.T) {
	facts := sampleFacts(noon)
	by := map[release.MessageState]Facts{}
	for i, f := range facts {
		by[release.MessageStates[i]] = f
	}
	with := func(of release.MessageState, change func(*Facts)) Facts { f := by[of]; change(&f); return f }
	rollback := func(s release.ActionState) func(*Facts) {
		return func(f *Facts) {
			f.Actions = []release.Action{{Key: release.ActionKey(f.Release.ID, release.ActionRollback), Kind: release.ActionRollback, State: s}}
		}
	}
	wrong := func(f *Facts) { f.Verdict.Wrong = &release.Mark{At: noon, By: "ann", Why: "the load test did it"} }
	asked := func(s release.ActionState) func(*Facts) {
		return func(f *Facts) { rollback(s)(f); f.Actions[0].AskedBy = "ann" }
	}
	for _, test := range []struct {
		name string
		f    Facts
		want release.MessageState
	}{
		{"a refused rollback leaves a regressed release running", with(release.SaysRegressed, rollback(release.ActionRefused)), release.SaysRegressed},
		{"a rollback that was given up did not help", with(release.SaysRegressed, rollback(release.ActionFailed)), release.SaysNotHelped},
		{"a rollback is under way until the old version runs", with(release.SaysRegressed, rollback(release.ActionDone)), release.SaysRollingBack},
		{"a hotfix ends a regression that waits for approval", with(release.SaysWaiting, func(f *Facts) { f.Release.SupersededBy = "x" }), release.SaysSuperseded},
		{"a hotfix that overtakes the version put back ends it too", with(release.SaysRestored, func(f *Facts) { f.Restore = &Restore{State: release.ActionVoid} }), release.SaysSuperseded},
		{"what was restored stays restored when the next release comes", with(release.SaysRestored, func(f *Facts) { f.Release.SupersededBy = "x" }), release.SaysRestored},
		{"a release that is over is being rolled back until it is known what came of that", with(release.SaysRestored, func(f *Facts) { f.Restore, f.Release.SupersededBy = nil, "x" }), release.SaysRollingBack},
		{"a deleted workload ends a regression", with(release.SaysRegressed, func(f *Facts) { f.Closed = "the workload was deleted" }), release.SaysSuperseded},
		{"a verdict that was marked wrong is taken back", with(release.SaysRegressed, wrong), release.SaysRecovered},
		{"and stays so when a newer release takes over", with(release.SaysRegressed, func(f *Facts) { wrong(f); f.Release.SupersededBy = "x" }), release.SaysRecovered},
		{"a wrong verdict whose rollback was done leaves it done", with(release.SaysRestored, wrong), release.SaysRestored},
		{"and is open while it is not known whether that helps", with(release.SaysRestored, func(f *Facts) { wrong(f); f.Restore = nil }), release.SaysRollingBack},
		{"a wrong verdict ends a rollback that was given up", with(release.SaysRegressed, func(f *Facts) { wrong(f); rollback(release.ActionFailed)(f) }), release.SaysRecovered},
		{"what a person has rolled back is, before there is a verdict", with(release.SaysVerifying, asked(release.ActionPending)), release.SaysRollingBack},
		{"and after the loop gave it up as too little to tell", with(release.SaysInsufficient, func(f *Facts) {
			asked(release.ActionDone)(f)
			f.Restore = &Restore{State: release.ActionDone}
		}), release.SaysRestored},
		{"what a person asked for and was void is nothing to speak of", with(release.SaysVerifying, asked(release.ActionVoid)), release.SaysVerifying},
		{"what a person asked for waits for a breaker", with(release.SaysVerifying, asked(release.ActionWaiting)), release.SaysWaiting},
		{"a healthy release that is overtaken stays healthy", with(release.SaysHealthy, func(f *Facts) { f.Release.SupersededBy = "x" }), release.SaysHealthy},
		{"a healthy verdict after a broken source is a recovery", with(release.SaysHealthy, func(f *Facts) { f.Before = release.SaysSourceBroken }), release.SaysRecovered},
		{"a recovery stays one when it is told again", with(release.SaysVerifying, func(f *Facts) { f.Before = release.SaysRecovered }), release.SaysRecovered},
		{"another action's state is not the rollback's", with(release.SaysRegressed, func(f *Facts) {
			f.Actions = []release.Action{{Key: "other", Kind: release.ActionIssue, State: release.ActionPending}}
		}), release.SaysRegressed},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := State(test.f); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// arbitrary are facts with any text and any number in them.
func arbitrary(t *rapid.T) Facts {
	text, number := rapid.String(), rapid.Float64()
	images := func(name string) []release.Image {
		return []release.Image{{Container: "a", Reference: text.Draw(t, name), Digest: text.Draw(t, name), Revision: text.Draw(t, name), Source: text.Draw(t, name)}}
	}
	rel := release.Release{
		ID: release.ID(text.Draw(t, "id")), Workload: release.Workload{Cluster: text.Draw(t, "cluster"), Namespace: text.Draw(t, "namespace"), Name: text.Draw(t, "name")},
		ReplicaSet: release.ReplicaSet{Name: text.Draw(t, "rs"), Images: images("new")}, StartedAt: noon,
		Labels: map[string]string{"team": text.Draw(t, "team"), "severity": "info"},
	}
	if rapid.Bool().Draw(t, "previous") {
		rel.Previous = &release.ReplicaSet{Images: images("old")}
	}
	if rapid.Bool().Draw(t, "superseded") {
		rel.SupersededBy = "x"
	}
	v := release.Verdict{
		Kind:  rapid.SampledFrom([]release.VerdictKind{release.Pending, release.Healthy, release.Regressed, release.InsufficientData, release.SourceBroken}).Draw(t, "kind"),
		Final: rapid.Bool().Draw(t, "final"), Reason: text.Draw(t, "reason"), EValue: number.Draw(t, "e"), Threshold: number.Draw(t, "threshold"),
	}
	if rapid.Bool().Draw(t, "needs") {
		v.Needs = &release.Needs{Requests: rapid.Int64().Draw(t, "requests")}
	}
	for range rapid.IntRange(0, 4).Draw(t, "evidence") {
		e := rapid.Float64Min(0).Draw(t, "e-value")
		v.Evidence = append(v.Evidence, release.Evidence{
			Signal: text.Draw(t, "signal"), Baseline: rapid.SampledFrom([]release.Arm{release.ArmStable, release.ArmHistory, release.BaselineNone}).Draw(t, "arm"),
			EValue: rapid.SampledFrom([]*float64{nil, &e}).Draw(t, "has"), BaselineValue: number.Draw(t, "before"), ReleaseValue: number.Draw(t, "now"),
			Unit: rapid.SampledFrom([]release.Unit{release.UnitRatio, release.UnitSeconds, release.UnitBytes, "?"}).Draw(t, "unit"), Reason: text.Draw(t, "why"),
		})
	}
	f := Facts{Release: rel, Verdict: v, Policy: release.DefaultPolicy(), Closed: text.Draw(t, "closed"), Now: noon, Sequence: 1}
	f.Before = rapid.SampledFrom(append([]release.MessageState{""}, release.MessageStates...)).Draw(t, "before state")
	if rapid.Bool().Draw(t, "rollback") {
		f.Actions = []release.Action{{
			Key: release.ActionKey(rel.ID, release.ActionRollback), Kind: release.ActionRollback, Detail: text.Draw(t, "detail"), URL: text.Draw(t, "url"),
			State: rapid.SampledFrom([]release.ActionState{release.ActionPending, release.ActionDone, release.ActionVoid, release.ActionRefused, release.ActionFailed, release.ActionWaiting}).Draw(t, "state"),
		}}
	}
	if rapid.Bool().Draw(t, "restored") {
		f.Restore = &Restore{State: rapid.SampledFrom([]release.ActionState{release.ActionDone, release.ActionFailed, release.ActionVoid}).Draw(t, "restore"), Detail: text.Draw(t, "restore detail")}
	}
	return f
}

func unclean(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || (r >= 0x202a && r <= 0x202e) })
}

func TestAnyReleaseMakesAMessageThatFitsAndIsClean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := arbitrary(t)
		m := Of(f, places)
		if n := utf8.RuneCountInString(m.Headline); n == 0 || n > release.HeadlineLimit {
			t.Fatalf("the headline has %d characters: %q", n, m.Headline)
		}
		if m.State.Open() && m.State.Over() {
			t.Fatalf("%s is open and over", m.State)
		}
		for _, s := range []string{m.Headline, m.Since, m.Sure, m.Did, m.Next, m.Why, m.From, m.To, m.Commit, m.Workload.String(), m.Labels["team"]} {
			if unclean(s) {
				t.Fatalf("unclean: %q", s)
			}
		}
		for _, s := range []string{m.Since, m.Sure, m.Did, m.Next} {
			if s == "" {
				t.Fatalf("%s leaves something unsaid: %+v", m.State, m)
			}
		}
		for _, l := range m.Links {
			if !strings.HasPrefix(l.URL, "http://") && !strings.HasPrefix(l.URL, "https://") {
				t.Fatalf("a link that is none: %q", l.URL)
			}
		}
		if m.Labels["severity"] != string(m.Severity) || m.Labels["state"] != string(m.State) {
			t.Fatalf("labels of the workload took the place of Watchtower's own: %v", m.Labels)
		}
		if _, err := json.Marshal(m); err != nil {
			t.Fatalf("no JSON: %v", err)
		}
		if again := Of(f, places); cmp.Diff(m, again) != "" {
			t.Fatal("the same facts make another message")
		}
	})
}

// The first line holds the numbers of the worst evidence whole, or none of them.
func TestNumbersOfTheFirstLineAreTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := arbitrary(t)
		word := rapid.StringMatching("[a-z]{1,60}")
		f.Verdict.Kind, f.Release.SupersededBy, f.Closed = release.Regressed, "", ""
		f.Release.Workload.Namespace, f.Release.Workload.Name = word.Draw(t, "ns"), word.Draw(t, "workload")
		f.Release.ReplicaSet.Images = []release.Image{{Container: "a", Reference: "x:" + word.Draw(t, "tag")}}
		f.Release.Previous = nil
		m := Of(f, places)
		w := release.Worst(f.Verdict.Evidence)
		_, after, told := strings.Cut(m.Headline, ": ")
		switch {
		case !told:
			return
		case w == nil:
			t.Fatalf("%q tells numbers of nothing", m.Headline)
		case w.EValue == nil:
			if after != release.OneLine(w.Reason, 70) {
				t.Fatalf("%q does not tell the state %q", m.Headline, w.Reason)
			}
		default:
			if want := release.SignalName(w.Signal) + " " + release.Value(w.BaselineValue, w.Unit) + " → " + release.Value(w.ReleaseValue, w.Unit); after != want {
				t.Fatalf("%q does not end with %q", m.Headline, want)
			}
			if c := m.HowBad[0]; c.State == "" && (c.Before != w.BaselineValue || c.Now != w.ReleaseValue) {
				t.Fatalf("the first change is %+v, the worst evidence %+v", c, *w)
			}
		}
	})
}

func TestManyAreToldAsOne(t *testing.T) {
	samples := Samples(noon, places, map[string]string{"team": "payments"})
	one := Together(KindGroup, "watchtower/group/1", 1, samples[:1], places, noon)
	if one.Headline != samples[0].Headline {
		t.Errorf("one alone is told as %q", one.Headline)
	}
	all := Together(KindGroup, "watchtower/group/1", 3, samples, places, noon)
	if want := "11 of shop: 1 regressed, 1 waiting for approval, 1 rolling back, 1 did not help"; !strings.HasPrefix(all.Headline, want) {
		t.Errorf("told as %q, want %q first", all.Headline, want)
	}
	if all.Severity != release.SeverityCritical || !all.State.Open() || len(all.Members) != 11 || all.Labels["team"] != "payments" || all.Labels["kind"] != KindGroup {
		t.Errorf("told as %+v", all)
	}
	if all.Labels["verdict"] != "" {
		t.Errorf("a label that differs is kept: %v", all.Labels)
	}
	over := Together(KindGroup, "watchtower/group/1", 4, []release.Message{samples[7], samples[9]}, places, noon)
	if !over.State.Over() || over.EndedAt == nil {
		t.Errorf("all is over, told as %s", over.State)
	}
	rapid.Check(t, func(t *rapid.T) {
		var ms []release.Message
		for range rapid.IntRange(1, 30).Draw(t, "n") {
			ms = append(ms, Of(arbitrary(t), places))
		}
		m := Together(KindIncident, "k", 1, ms, places, noon)
		if n := utf8.RuneCountInString(m.Headline); n == 0 || n > release.HeadlineLimit {
			t.Fatalf("the headline has %d characters: %q", n, m.Headline)
		}
		open := false
		for _, one := range ms {
			open = open || one.State.Open()
		}
		if m.State.Open() != open {
			t.Fatalf("told as %s though one is open: %v", m.State, open)
		}
	})
}

func TestPlaces(t *testing.T) {
	for _, test := range []struct{ name, address, want string }{
		{"an address with placeholders", "https://g/d?n={namespace}&from={from}", ""},
		{"an unknown placeholder is named with those that are known", "https://g/d?n={pod}", "{pod} is no placeholder: known are {cluster}"},
		{"no address", "grafana/d/x", "this is no address"},
		{"a password would reach every receiver", "https://me:pw@g/", "user or password"},
		{"another scheme", "javascript:alert(1)", "this is no address"},
		{"braces of something else stay", `https://g/explore?left=%7B%22a%22%7D`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := CheckPlace(test.address)
			if (test.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "pw") {
				t.Errorf("the error repeats the password: %v", err)
			}
		})
	}
	f := sampleFacts(noon)[4]
	f.Release.Workload.Namespace = "a&b=c d"
	m := Of(f, places)
	if want := "https://grafana.example.com/d/web?var-namespace=a%26b%3Dc+d&from=1772624580000&to=1772625870000"; m.URL(release.LinkDashboard) != want {
		t.Errorf("%q, want %q", m.URL(release.LinkDashboard), want)
	}
	if got := m.URL(release.LinkCommits); got != "https://git.example.com/shop/webapp/compare/c0ffee2...c0ffee3" {
		t.Errorf("commits at %q", got)
	}
}

func TestAlertStaysOneAlertWhateverIsSaid(t *testing.T) {
	var first map[string]string
	for _, m := range Samples(noon, places, nil) {
		a := Alert(m)
		if first == nil {
			first = a.Labels
		}
		if diff := cmp.Diff(first, a.Labels); diff != "" {
			t.Errorf("%s changes the labels: %s", m.State, diff)
		}
		if a.Annotations["summary"] != m.Headline || a.Annotations["rollback"] != m.Did || a.GeneratorURL != m.URL(release.LinkRelease) {
			t.Errorf("%s: %v", m.State, a)
		}
		for name, text := range a.Annotations {
			if text == "" || !slices.Contains(AnnotationNames, name) {
				t.Errorf("%s: annotation %s is empty, or none of those that are told of", m.State, name)
			}
		}
	}
}

func TestATestIsMarkedAndWakesNobody(t *testing.T) {
	m := Test("prod", "slack-shop", noon, places)
	if !m.Test || m.State.Open() || m.Severity != release.SeverityInfo || !strings.HasPrefix(Text(m), "This is a test") {
		t.Errorf("%+v", m)
	}
}

func TestOffersAreWhatCanBeDone(t *testing.T) {
	facts := sampleFacts(noon)
	by := map[release.MessageState]Facts{}
	for i, f := range facts {
		by[release.MessageStates[i]] = f
	}
	first := func(f Facts) Facts { f.Release.Previous = nil; return f }
	wrong := func(f Facts) Facts { f.Verdict.Wrong = &release.Mark{At: noon, By: "ann"}; return f }
	with := func(f Facts, s release.ActionState) Facts {
		f.Actions = []release.Action{{Key: release.ActionKey(f.Release.ID, release.ActionRollback), Kind: release.ActionRollback, State: s}}
		return f
	}
	const (
		approve, reject, back    = release.OfferApprove, release.OfferReject, release.OfferRollBack
		mistaken, snooze, freeze = release.OfferMarkWrong, release.OfferSnooze, release.OfferFreeze
	)
	for _, test := range []struct {
		name string
		f    Facts
		want []release.Offer
	}{
		{"while it is verified", by[release.SaysVerifying], []release.Offer{back}},
		{"a first version that is verified has nothing to go back to", first(by[release.SaysVerifying]), nil},
		{"healthy", by[release.SaysHealthy], nil},
		{"too little to tell", by[release.SaysInsufficient], []release.Offer{back, snooze}},
		{"no measurements", by[release.SaysSourceBroken], []release.Offer{back, snooze}},
		{"regressed, and only told of", by[release.SaysRegressed], []release.Offer{back, mistaken, snooze, freeze}},
		{"regressed, nobody approved in time", with(by[release.SaysRegressed], release.ActionRefused), []release.Offer{back, mistaken, snooze, freeze}},
		{"regressed, the ground of the rollback fell away", with(by[release.SaysRegressed], release.ActionVoid), []release.Offer{mistaken, snooze, freeze}},
		{"waiting for approval", by[release.SaysWaiting], []release.Offer{approve, reject, mistaken, snooze, freeze}},
		{"on its way back", by[release.SaysRollingBack], []release.Offer{mistaken, snooze, freeze}},
		{"given up", with(by[release.SaysRegressed], release.ActionFailed), []release.Offer{back, mistaken, snooze, freeze}},
		{"rolled back in vain", by[release.SaysNotHelped], []release.Offer{mistaken, snooze, freeze}},
		{"rolled back in vain and wrongly", wrong(by[release.SaysNotHelped]), []release.Offer{snooze, freeze}},
		{"rolled back", by[release.SaysRestored], []release.Offer{mistaken}},
		{"rolled back wrongly", wrong(by[release.SaysRestored]), nil},
		{"taken back", wrong(by[release.SaysRegressed]), nil},
		{"overtaken", by[release.SaysSuperseded], nil},
	} {
		if got := Of(test.f, places).Offers; !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestWhatPeopleDidIsSaid(t *testing.T) {
	f := sampleFacts(noon)[slices.Index(release.MessageStates, release.SaysRegressed)]
	f.Acknowledged = &release.Acknowledgement{What: release.Acknowledged, Who: "Ada", Where: "PagerDuty", At: noon}
	if text := Text(Of(f, places)); !strings.Contains(text, "Seen to: acknowledged by Ada in PagerDuty, 2026-03-04 12:00 UTC\n") {
		t.Error(text)
	}
	f.Acknowledged.What = release.Unacknowledged
	if m := Of(f, places); m.Acknowledged != nil {
		t.Errorf("what was taken back is told: %+v", m.Acknowledged)
	}
	f.Verdict.Wrong = &release.Mark{At: noon, By: strings.Repeat("ann ", 80), Why: "the load test did it"}
	m := Of(f, places)
	if n := utf8.RuneCountInString(m.Headline); n > release.HeadlineLimit || !strings.Contains(m.Headline, "called regressed wrongly, says ann") {
		t.Errorf("%d characters: %s", n, m.Headline)
	}
	if !strings.HasSuffix(m.Did, "the load test did it.") || m.EndedAt == nil {
		t.Errorf("said %q", m.Did)
	}
	asked := sampleFacts(noon)[0]
	asked.Actions = []release.Action{{Key: release.ActionKey(asked.Release.ID, release.ActionRollback), Kind: release.ActionRollback, State: release.ActionPending, AskedBy: "ann"}}
	if m := Of(asked, places); strings.Contains(m.Headline, "regressed") || !strings.Contains(m.Headline, "is being rolled back") || m.Severity != release.SeverityWarning {
		t.Errorf("%s: %s", m.Severity, m.Headline)
	}
}

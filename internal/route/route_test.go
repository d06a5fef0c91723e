package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/timeinterval"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) // a Wednesday

func nobody(string) bool { return false }

func message(state release.MessageState, labels map[string]string) release.Message {
	return release.Message{Key: "k", State: state, Labels: labels}
}

func interval(t interface{ Fatal(...any) }, i Interval) []timeinterval.TimeInterval {
	ti, err := i.Interval()
	if err != nil {
		t.Fatal(err)
	}
	return []timeinterval.TimeInterval{ti}
}

func names(ds []Decision) string {
	var out []string
	for _, d := range ds {
		out = append(out, d.Receiver)
	}
	return strings.Join(out, " ")
}

func TestWhoIsTold(t *testing.T) {
	all := release.MessageStates
	tree, err := New(Node{
		Receivers: []string{"default"},
		Routes: []Node{
			{Matchers: []string{`kind="audit"`}, Receivers: []string{"audit"}, Continue: true},
			{Receivers: []string{"grafana"}, States: all, Continue: true, Matchers: []string{`namespace!="kube-system"`}},
			{Matchers: []string{`team="payments"`}, Receivers: []string{"pay-chat"}, Routes: []Node{
				{Matchers: []string{`severity=~"critical|error"`}, Receivers: []string{"pay-pager", "pay-chat"}},
			}},
			{Matchers: []string{`namespace=~"shop|cart"`, `severity!="info"`}, Receivers: []string{"shop"}},
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		state  release.MessageState
		labels map[string]string
		want   string
	}{
		{"what no route takes goes to the root's receivers", release.SaysRegressed, map[string]string{"namespace": "kube-system"}, "default"},
		{"a route that continues is no end", release.SaysRegressed, map[string]string{"namespace": "shop"}, "grafana shop"},
		{"the deepest route that matches decides", release.SaysRegressed, map[string]string{"team": "payments", "severity": "critical"}, "grafana pay-pager pay-chat"},
		{"a route none of whose routes matches decides itself", release.SaysRegressed, map[string]string{"team": "payments", "severity": "warning"}, "grafana pay-chat"},
		{"all matchers must match", release.SaysRegressed, map[string]string{"namespace": "shop", "severity": "info"}, "grafana"},
		{"verifying is quiet but where a route asks for it", release.SaysVerifying, map[string]string{"namespace": "shop"}, "grafana"},
		{"what ends goes to nobody who was not told of it", release.SaysRestored, map[string]string{"namespace": "kube-system"}, ""},
		{"a regular expression matches the whole value", release.SaysRegressed, map[string]string{"namespace": "shopping"}, "grafana"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := names(tree.Decide(message(test.state, test.labels), noon, nobody)); got != test.want {
				t.Errorf("told %q, want %q", got, test.want)
			}
		})
	}
	if got := strings.Join(tree.Receivers(), " "); got != "default audit grafana pay-chat pay-pager shop" {
		t.Errorf("receivers are %q", got)
	}
}

// Severity falls once a release was restored; who was woken is told nevertheless.
func TestWhoWasToldHearsTheEnd(t *testing.T) {
	tree, err := New(Node{
		Receivers: []string{"chat"},
		Routes:    []Node{{Matchers: []string{`severity="critical"`}, Receivers: []string{"pager"}, Mute: []string{"always"}}},
	}, Intervals{"always": interval(t, Interval{})})
	if err != nil {
		t.Fatal(err)
	}
	over := message(release.SaysRestored, map[string]string{"severity": "info"})
	if got := names(tree.Decide(over, noon, nobody)); got != "" {
		t.Errorf("nobody was told of a regression, told of its end are %q", got)
	}
	got := tree.Decide(over, noon, func(r string) bool { return r == "pager" })
	want := []Decision{{Receiver: "pager", At: noon}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	again := tree.Decide(message(release.SaysRollingBack, map[string]string{"severity": "critical"}), noon, func(r string) bool { return r == "pager" })
	if len(again) != 1 || !again[0].At.Equal(noon) {
		t.Errorf("quiet hours hold back what changed: %v", again)
	}
}

func TestQuietHours(t *testing.T) {
	intervals := Intervals{
		"nights": append(interval(t, Interval{Times: []Times{{"22:00", "24:00"}}, Location: "Europe/Berlin"}),
			interval(t, Interval{Times: []Times{{"00:00", "07:00"}}, Location: "Europe/Berlin"})...),
		"weekends": interval(t, Interval{Weekdays: []string{"Saturday", "sunday"}}),
		"office":   interval(t, Interval{Times: []Times{{"09:00", "17:00"}}, Weekdays: []string{"monday:friday"}}),
		"always":   interval(t, Interval{}),
	}
	at := func(text string) time.Time {
		at, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, test := range []struct {
		name         string
		mute, active []string
		now, want    string
	}{
		{"by day nobody waits", []string{"nights"}, nil, "2026-03-04 12:00:00", "2026-03-04 12:00:00"},
		{"by night it waits for the morning there", []string{"nights"}, nil, "2026-03-04 22:30:15", "2026-03-05 06:00:00"},
		{"an end is not within the interval", []string{"nights"}, nil, "2026-03-05 06:00:00", "2026-03-05 06:00:00"},
		{"summer time is heeded", []string{"nights"}, nil, "2026-07-04 02:00:00", "2026-07-04 05:00:00"},
		{"two intervals together", []string{"nights", "weekends"}, nil, "2026-03-06 23:00:00", "2026-03-09 06:00:00"},
		{"only at certain hours", nil, []string{"office"}, "2026-03-06 17:00:00", "2026-03-09 09:00:00"},
		{"muted goes before active", []string{"nights"}, []string{"always"}, "2026-03-04 23:00:00", "2026-03-05 06:00:00"},
		{"what is never open is looked at again", []string{"always"}, nil, "2026-03-04 12:00:00", "2026-03-12 12:00:00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, err := New(Node{Receivers: []string{"r"}, Mute: test.mute, Active: test.active}, intervals)
			if err != nil {
				t.Fatal(err)
			}
			got := tree.Decide(message(release.SaysRegressed, nil), at(test.now), nobody)
			if len(got) != 1 || !got[0].At.Equal(at(test.want)) {
				t.Errorf("told %v, want at %s", got, test.want)
			}
		})
	}
}

func TestRepeatIsInheritedAndForWhatIsOpen(t *testing.T) {
	hour, never := time.Hour, time.Duration(0)
	tree, err := New(Node{Receivers: []string{"a"}, Repeat: &hour, Routes: []Node{
		{Matchers: []string{`team="x"`}}, {Matchers: []string{`team="y"`}, Repeat: &never, States: release.MessageStates},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		team  string
		state release.MessageState
		want  time.Duration
	}{{"x", release.SaysRegressed, hour}, {"y", release.SaysRegressed, 0}, {"z", release.SaysRegressed, hour}, {"y", release.SaysVerifying, 0}} {
		got := tree.Decide(message(test.state, map[string]string{"team": test.team}), noon, nobody)
		if len(got) != 1 || got[0].Repeat != test.want {
			t.Errorf("team %s, %s: %v, want repeat %s", test.team, test.state, got, test.want)
		}
	}
}

func TestFaultsOfATreeNameTheirRoute(t *testing.T) {
	for _, test := range []struct {
		name string
		root Node
		want string
	}{
		{"a matcher that is none", Node{Routes: []Node{{}, {Matchers: []string{`team="x"`, `team~x`}}}}, `route.routes[1].matchers[1]: this is no matcher`},
		{"a regular expression that is none", Node{Routes: []Node{{Matchers: []string{`team=~"("`}}}}, `route.routes[0].matchers[0]: this is no matcher`},
		{"nothing", Node{Routes: []Node{{Matchers: []string{" {} "}}}}, `the matcher is empty`},
		{"too long", Node{Routes: []Node{{Matchers: []string{strings.Repeat("x", 5000)}}}}, `at most 4096`},
		{"an interval nobody knows", Node{Mute: []string{"nights"}}, `route.mute_time_intervals[0]: no time interval has the name "nights"`},
		{"matchers at the root", Node{Matchers: []string{`a="b"`}}, `the root takes every message`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(test.root, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestFaultsOfAnInterval(t *testing.T) {
	for _, test := range []struct {
		name string
		i    Interval
		want string
	}{
		{"past midnight", Interval{Times: []Times{{"22:00", "07:00"}}}, "times[0]: start time cannot be equal or greater than end time; write"},
		{"no time", Interval{Times: []Times{{"9", "17:00"}}}, "times[0]: "},
		{"a missing end", Interval{Times: []Times{{Start: "09:00"}}}, "times[0]: both start and end times"},
		{"no day", Interval{Weekdays: []string{"monday", "funday"}}, "weekdays[1]: "},
		{"a day of no month", Interval{DaysOfMonth: []string{"32"}}, "days_of_month[0]: "},
		{"no month", Interval{Months: []string{"julember"}}, "months[0]: "},
		{"no year", Interval{Years: []string{"x"}}, "years[0]: "},
		{"nowhere", Interval{Location: "Mars/Olympus"}, "location: "},
		{"text that would be YAML", Interval{Location: "a\nb: c"}, "location: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.i.Interval()
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// What a tree decides, found again by reading it from the outside: each receiver
// once, whoever was told is told again at once, and nothing else than what a
// route with a matching state says.
func TestDecisionsOfAnyTree(t *testing.T) {
	receiver := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	label := rapid.SampledFrom([]string{"team", "namespace", "severity"})
	value := rapid.SampledFrom([]string{"x", "y", "z", ""})
	var nodeOf func(t *rapid.T, depth int) Node
	nodeOf = func(t *rapid.T, depth int) Node {
		n := Node{
			Receivers: rapid.SliceOfN(receiver, 0, 2).Draw(t, "receivers"), Continue: rapid.Bool().Draw(t, "continue"),
			States: rapid.SliceOfN(rapid.SampledFrom(release.MessageStates), 0, 3).Draw(t, "states"),
		}
		if depth > 0 {
			for range rapid.IntRange(0, 2).Draw(t, "matchers") {
				op := rapid.SampledFrom([]string{"=", "!=", "=~", "!~"}).Draw(t, "op")
				n.Matchers = append(n.Matchers, fmt.Sprintf("%s%s%q", label.Draw(t, "label"), op, value.Draw(t, "value")))
			}
		}
		if rapid.Bool().Draw(t, "quiet") {
			n.Mute = []string{"nights"}
		}
		if depth < 3 {
			for range rapid.IntRange(0, 3).Draw(t, "routes") {
				n.Routes = append(n.Routes, nodeOf(t, depth+1))
			}
		}
		return n
	}
	nights := Intervals{"nights": {{Times: []timeinterval.TimeRange{{StartMinute: 0, EndMinute: 360}}}}}
	rapid.Check(t, func(t *rapid.T) {
		tree, err := New(nodeOf(t, 0), nights)
		if err != nil {
			t.Fatal(err)
		}
		m := message(rapid.SampledFrom(release.MessageStates).Draw(t, "state"), map[string]string{
			"team": value.Draw(t, "team"), "namespace": value.Draw(t, "ns"), "severity": value.Draw(t, "severity"),
		})
		before := rapid.SliceOfN(receiver, 0, 3).Draw(t, "told")
		told := func(r string) bool { return slices.Contains(before, r) }
		now := noon.Add(time.Duration(rapid.IntRange(0, 48*60).Draw(t, "minutes")) * time.Minute)
		got := tree.Decide(m, now, told)
		if again := tree.Decide(m, now, told); cmp.Diff(got, again) != "" {
			t.Fatal("the same message goes another way")
		}
		seen := map[string]bool{}
		for _, d := range got {
			if seen[d.Receiver] {
				t.Fatalf("%s is told twice: %v", d.Receiver, got)
			}
			seen[d.Receiver] = true
			if d.At.Before(now) || (told(d.Receiver) && !d.At.Equal(now)) {
				t.Fatalf("told %v at %s, now is %s", d, d.At, now)
			}
			if h := d.At.Hour(); !told(d.Receiver) && !d.At.Equal(now) && h != 6 {
				t.Fatalf("waits until %s, where nothing ends", d.At)
			}
			if d.Repeat != 0 && !m.State.Open() {
				t.Fatalf("%s is repeated", m.State)
			}
		}
		known := tree.Receivers()
		for _, r := range before {
			if slices.Contains(known, r) && !seen[r] {
				t.Fatalf("%s was told before and is not told of what followed", r)
			}
		}
	})
}

func FuzzParseMatchers(f *testing.F) {
	for _, s := range []string{`team="shop"`, `{a=~"b|c",d!="e"}`, `a!~"("`, `a=b`, `"ä b"="c"`, `{}`, `a="\u00`, "a=\xff"} {
		f.Add(s, "shop")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		ms, err := ParseMatchers(text)
		if (err == nil) != (len(ms) > 0) {
			t.Fatalf("%q: %d matchers and %v", text, len(ms), err)
		}
		for _, m := range ms {
			again, err := ParseMatchers(m.String())
			if err != nil || len(again) != 1 || again[0].Matches(value) != m.Matches(value) {
				t.Fatalf("%q is written as %q, which is read as %v, %v", text, m, again, err)
			}
		}
	})
}

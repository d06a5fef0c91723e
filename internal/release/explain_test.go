package release

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for _, test := range []struct {
		name   string
		format func(float64) string
		cases  map[float64]string
	}{
		{"percent", Percent, map[float64]string{
			0: "0 %", 1: "100 %", 0.0489: "4.9 %", 2.0 / 1890: "0.1 %", 0.05: "5 %", 0.123: "12.3 %", 0.00004: "0.004 %",
			0.00094: "0.09 %", 0.9997: "> 99.9 %", 0.999: "99.9 %", 1e-12: "< 0.000001 %", 2: "200 %", math.Inf(1): "unknown", math.MaxFloat64: "unknown", -0.05: "-5 %",
		}},
		{"seconds", Seconds, map[float64]string{
			0: "0 s", 0.82: "820 ms", 0.0123: "12.3 ms", 0.00035: "350 µs", 1.23: "1.2 s", 0.9996: "1 s", 12.34: "12.3 s", 41: "41 s",
			59.96: "1 min", 125: "2 min 5 s", 3600: "1 h", 7384: "2 h 3 min", math.Inf(1): "longer than was measured", -2: "-2 s", 1e12: "277,777 h 46 min",
		}},
		{"e-value", EValue, map[float64]string{
			0: "below 0.01", 0.42: "0.42", 1: "1", 3.14: "3.1", 38.4: "38", 999: "999", 1000: "1e3", 5234: "5.2e3", 1e15: "1e15", 2.5e100: "2.5e100",
			math.Inf(1): "over 1e300", math.MaxFloat64: "over 1e300",
		}},
		{"times", Times, map[float64]string{
			0: "0", 0.83: "0.83", 2.51: "2.5", 38.2: "38", 160: "160", 1234: "1,234", 1e6: "1,000,000", math.Inf(1): "unlimited", 1e18: "1e18",
		}},
		{"integer", func(x float64) string { return Integer(int64(x)) }, map[float64]string{
			0: "0", 999: "999", 1890: "1,890", 1234567: "1,234,567", -1890: "-1,890", -100: "-100",
		}},
	} {
		for x, want := range test.cases {
			if got := test.format(x); got != want {
				t.Errorf("%s of %v is %q, want %q", test.name, x, got, want)
			}
		}
		if test.name != "integer" && test.format(math.NaN()) != "unknown" {
			t.Errorf("%s of NaN is %q", test.name, test.format(math.NaN()))
		}
	}
}

func example() (Release, Verdict) {
	began := time.Date(2026, 3, 4, 15, 4, 5, 0, time.UTC)
	image := func(v, digest, revision string) []Image {
		return []Image{
			{Container: "app", Reference: "registry.example/shop/webapp:" + v, Digest: digest, Revision: revision, Source: "https://git.example/shop/webapp"},
			{Container: "proxy", Reference: "registry.example/proxy:1.4"},
		}
	}
	rel := Release{
		ID: "1a2b3c4d5e6f", Workload: Workload{Cluster: "lab", Namespace: "shop", Name: "webapp", UID: "u"},
		ReplicaSet: ReplicaSet{Name: "webapp-7d9", UID: "r3", Revision: 3, Images: image("v3", "sha256:3333", "c0ffee3")},
		Previous:   &ReplicaSet{Name: "webapp-5b4", UID: "r2", Revision: 2, Images: image("v2", "sha256:2222", "c0ffee2")},
		StartedAt:  began, SeenAt: began.Add(300 * time.Millisecond),
	}
	decided := began.Add(41 * time.Second)
	e1, e2 := 5230.0, 1.4
	v := Verdict{
		Release: rel.ID, Kind: Regressed, Final: true, DecidedAt: &decided, UpdatedAt: decided, EValue: 2093, Threshold: 1000,
		Findings: []Finding{{Kind: "measurement", Message: "one scrape was late"}},
		Evidence: []Evidence{{
			Signal: SignalErrorRatio, Baseline: ArmStable, EValue: &e1, Unit: UnitRatio, BaselineValue: 2.0 / 1890, ReleaseValue: 31.0 / 634,
			Release: Count{634, 31}, Stable: Count{1890, 2}, Effect: &Effect{38, 12, 160},
			Queries: []Query{{Source: "prometheus", Expr: `http_requests_total{namespace="shop"}[30s]`, From: began, To: decided}},
		}, {
			Signal: SignalLatencyP90, Baseline: ArmStable, EValue: &e2, Unit: UnitSeconds, BaselineValue: 0.21, ReleaseValue: 0.22,
			Release: Count{634, 64}, Stable: Count{1890, 180}, Effect: &Effect{1.1, 0.7, 1.6}, Reason: "10 % took longer than 250 ms",
		}},
	}
	v.Summary = Headline(rel, v)
	return rel, v
}

func TestHeadline(t *testing.T) {
	rel, regressed := example()
	state := regressed
	state.Evidence = append([]Evidence{{Signal: SignalPodState, Baseline: BaselineNone, Reason: "the image cannot be pulled: container app"}}, state.Evidence...)
	first := rel
	first.Previous = nil
	sameTag := rel
	sameTag.Previous = &ReplicaSet{Images: []Image{{Container: "app", Reference: rel.ReplicaSet.Images[0].Reference, Digest: "sha256:2222"}, rel.ReplicaSet.Images[1]}}
	added := rel
	added.Previous = &ReplicaSet{Images: rel.ReplicaSet.Images[1:]}
	restart := rel
	restart.Previous = &ReplicaSet{Images: rel.ReplicaSet.Images}
	long := rel
	long.Workload.Name = strings.Repeat("webapp-", 40)
	hostile := rel
	hostile.ReplicaSet.Images = []Image{{Container: "app", Reference: "x:v3\x1b[31m\nred\u202eder"}}
	kind := func(k VerdictKind) Verdict { return Verdict{Kind: k} }
	for _, test := range []struct {
		name string
		rel  Release
		v    Verdict
		want string
	}{
		{"a regression names the strongest evidence", rel, regressed, "shop/webapp v2 → v3 regressed: error ratio 0.1 % → 4.9 %"},
		{"a state comes before numbers", rel, state, "shop/webapp v2 → v3 regressed: the image cannot be pulled: container app"},
		{"a regression without evidence says no more", rel, kind(Regressed), "shop/webapp v2 → v3 regressed"},
		{"a healthy release", rel, kind(Healthy), "shop/webapp v2 → v3 is healthy"},
		{"a release under watch", rel, kind(Pending), "shop/webapp v2 → v3 is being watched"},
		{"a broken source", rel, kind(SourceBroken), "shop/webapp v2 → v3 cannot be judged: its measurements are not to be had"},
		{"too little data", rel, Verdict{Kind: InsufficientData, Needs: &Needs{Requests: 1200}}, "shop/webapp v2 → v3 could not be judged: 1,200 more requests needed"},
		{"too little data and no guess", rel, kind(InsufficientData), "shop/webapp v2 → v3 could not be judged"},
		{"a first deployment has one version", first, kind(Healthy), "shop/webapp v3,1.4 is healthy"},
		{"a moved tag is told by its digest", sameTag, kind(Healthy), "shop/webapp 2222 → 3333 is healthy"},
		{"a new container", added, kind(Healthy), "shop/webapp (new) → v3 is healthy"},
		{"nothing changed", restart, kind(Healthy), "shop/webapp v3,1.4 → v3,1.4 is healthy"},
		{"a long name is cut, the finding is not", long, regressed, "shop/webapp-webapp-webapp-webapp-webapp-webapp-we… v2 → v3 regressed: error ratio 0.1 % → 4.9 %"},
		{"control characters do not reach the terminal", hostile, kind(Healthy), "shop/webapp v2 → v3 [31m redder is healthy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Headline(test.rel, test.v); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestHeadlineAndOneLineAreShortAndClean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		rel := Release{
			Workload:   Workload{Namespace: text.Draw(t, "namespace"), Name: text.Draw(t, "name")},
			ReplicaSet: ReplicaSet{Images: []Image{{Container: "a", Reference: text.Draw(t, "reference")}}},
			Previous:   &ReplicaSet{Images: []Image{{Container: "a", Reference: text.Draw(t, "before")}}},
		}
		v := Verdict{Kind: Regressed, Evidence: []Evidence{{Baseline: BaselineNone, Reason: text.Draw(t, "reason")}}}
		got := Headline(rel, v)
		if n := utf8.RuneCountInString(got); n > HeadlineLimit {
			t.Fatalf("%d characters", n)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }) || !utf8.ValidString(got) {
			t.Fatalf("unclean: %q", got)
		}
		limit := rapid.IntRange(1, 30).Draw(t, "limit")
		s := text.Draw(t, "line")
		if n := utf8.RuneCountInString(OneLine(s, limit)); n > limit {
			t.Fatalf("OneLine(%q, %d) has %d characters", s, limit, n)
		}
	})
}

func TestEvidenceSentence(t *testing.T) {
	_, v := example()
	ratio := v.Evidence[0]
	with := func(change func(*Evidence)) Evidence { e := ratio; change(&e); return e }
	for _, test := range []struct {
		name string
		e    Evidence
		want string
	}{
		{"a ratio against the stable pods", ratio, "error ratio 4.9 % (31 of 634) against 0.1 % (2 of 1,890) in the stable pods; 38 times as high (12 to 160); e-value 5.2e3"},
		{"a latency tells its counts by its reason", v.Evidence[1], "p90 latency 220 ms (634 requests) against 210 ms (1,890 requests) in the stable pods; 1.1 times as many slow requests (0.7 to 1.6); e-value 1.4; 10 % took longer than 250 ms"},
		{"history is named", with(func(e *Evidence) { e.Baseline = ArmHistory; e.Effect = nil }), "error ratio 4.9 % (31 of 634) against 0.1 % (2 of 1,890) before the rollout; e-value 5.2e3"},
		{"a baseline without failures has no upper bound", with(func(e *Evidence) { e.Effect = &Effect{math.MaxFloat64, 12, math.MaxFloat64} }), "error ratio 4.9 % (31 of 634) against 0.1 % (2 of 1,890) in the stable pods; at least 12 times as high; e-value 5.2e3"},
		{"no requests yet", with(func(e *Evidence) { e.Release = Count{}; e.ReleaseValue = 0; e.Effect = nil }), "error ratio 0 % (no requests) against 0.1 % (2 of 1,890) in the stable pods; e-value 5.2e3"},
		{"a state is told by its reason", Evidence{Signal: SignalPodState, Baseline: BaselineNone, Reason: "OOM", Release: Count{3, 2}}, "pod state: OOM"},
		{"nothing at all", Evidence{Signal: "checkout", Baseline: BaselineNone}, "checkout: nothing was measured"},
		{"a fixed limit", Evidence{Signal: "checkout", Baseline: BaselineAbsolute, EValue: ratio.EValue, Unit: UnitCount, ReleaseValue: 7, BaselineValue: 3, Release: Count{10, 7}, Stable: Count{10, 3}}, "checkout 7 (7 of 10) against 3 (3 of 10) allowed; e-value 5.2e3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := EvidenceSentence(test.e); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	rel, v := example()
	at := v.DecidedAt.Add(time.Second)
	actions := []Action{
		{Key: "1a2b3c4d5e6f/rollback", Kind: ActionRollback, State: ActionDone, Detail: "put back webapp-5b4"},
		{Key: "1a2b3c4d5e6f/issue", Kind: ActionIssue, State: ActionDone, Detail: "opened", URL: "https://git.example/shop/webapp/issues/7"},
	}
	audit := []AuditRow{{ID: 1, At: at, Actor: "watchtower", What: "verdict", Outcome: "regressed", Why: "error ratio\x1b[0m 0.1 % → 4.9 %"}}
	waiting := Verdict{
		Kind: InsufficientData, Final: true, Reason: "no request reached the release's pods",
		Needs: &Needs{Requests: 1200, Within: 9 * time.Minute, Signals: []string{SignalErrorRatio, "checkout"}}, Summary: "not enough",
	}
	overtaken := rel
	overtaken.SupersededBy = "ffffffffffff"
	wrong := v
	wrong.Wrong = &Mark{At: at, By: "ann\x1b[0m", Why: "the load test did it."}
	for name, got := range map[string]string{
		"wrong":     Explain(rel, wrong, DefaultPolicy(), nil, nil),
		"regressed": Explain(rel, v, DefaultPolicy(), actions, audit),
		"waiting":   Explain(overtaken, waiting, DefaultPolicy(), nil, nil),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "explain_"+name+".txt")
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

func TestQueryRange(t *testing.T) {
	at := time.Date(2026, 3, 4, 23, 59, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		q    Query
		want string
	}{
		{"an instant", Query{From: at, To: at}, "at 2026-03-04 23:59:00 UTC"},
		{"within a day", Query{From: at.Add(-time.Minute), To: at}, "2026-03-04 23:58:00 to 23:59:00 UTC"},
		{"over midnight", Query{From: at, To: at.Add(2 * time.Minute)}, "2026-03-04 23:59:00 to 2026-03-05 00:01:00 UTC"},
		{"without a start", Query{To: at}, "at 2026-03-04 23:59:00 UTC"},
	} {
		if got := QueryRange(test.q); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

package backtest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

func only(t *testing.T, r *Report) *Release {
	t.Helper()
	if len(r.Releases) != 1 {
		var names []string
		for _, rel := range r.Releases {
			names = append(names, rel.key())
		}
		t.Fatalf("releases %v, want one", names)
	}
	return r.Releases[0]
}

func TestARegressionIsFoundInWhatIsStored(t *testing.T) {
	rel := only(t, replayed(t, newWorld().standard(0.05).store(), nil))
	if rel.Verdict != release.Regressed || rel.DecidedAt == nil || rel.DecidedAt.Sub(start) > 5*time.Minute {
		t.Fatalf("%s at %v: %s", rel.Verdict, rel.DecidedAt, rel.Summary)
	}
	if rel.DecidedAt.Sub(start)%(15*time.Second) != 0 {
		t.Errorf("decided at %s, which is no tick from %s on", rel.DecidedAt, start)
	}
	if rel.Previous == nil || *rel.Previous != "web-5c7bffbd" || rel.ReplicaSet != "web-6d5f7c9b8" || !rel.StartedAt.Equal(start) {
		t.Errorf("%+v", rel)
	}
	if want := []Image{{Container: "web", Image: "shop/web:2", Digest: ptr("sha256:web-6d5f7c9b8")}}; !cmp.Equal(want, rel.Images) {
		t.Error(cmp.Diff(want, rel.Images))
	}
	if !slices.Equal(rel.Would, []string{"alert", "rollback", "issue"}) {
		t.Errorf("would %v", rel.Would)
	}
	e := rel.Evidence[0]
	if e.Signal != "error_ratio" || e.Baseline != "stable" || e.EValue == nil || *e.EValue < 1000 || e.Unit != "ratio" || e.ReleaseValue < 0.02 {
		t.Errorf("%+v", e)
	}
}

func TestWhatEachRolloutOfAWorkloadDoesExcusesTheNext(t *testing.T) {
	const bad, usual = release.Regressed, release.InsufficientData
	good := func(versions ...int) (out []string) {
		for _, n := range versions {
			out = append(out, "shop/"+versionName(n))
		}
		return out
	}
	for _, c := range []struct {
		says string
		good []string
		want []release.VerdictKind
	}{
		{"nobody said that one was good", nil, []release.VerdictKind{bad, bad, bad, bad}},
		{"one was good", good(1), []release.VerdictKind{bad, bad, bad, bad}},
		{"two were", good(1, 2), []release.VerdictKind{bad, bad, usual, usual}},
		{"only later ones were", good(3, 4), []release.VerdictKind{bad, bad, bad, bad}},
	} {
		t.Run(c.says, func(t *testing.T) {
			report := replayed(t, newWorld().hurting(5), func(o *Options) { o.To, o.KnownGood = epoch.Add(5*time.Hour), c.good })
			var got []release.VerdictKind
			for _, rel := range report.Releases {
				got = append(got, rel.Verdict)
				if excused := rel.AffectedBy == release.EveryRollout; excused != (rel.Verdict == usual) {
					t.Errorf("%s is affected by %q: %s", rel.ReplicaSet, rel.AffectedBy, rel.Reason)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Fatalf("%v, want %v", got, c.want)
			}
			if last := report.Releases[3]; last.Verdict == usual && !strings.Contains(last.Why(), "in 3 of the 3 earlier rollouts") {
				t.Errorf("the last: %s", last.Why())
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

func TestWhatBecomesOfARollout(t *testing.T) {
	for name, c := range map[string]struct {
		world   func(*world)
		options func(*Options)
		want    release.VerdictKind
		check   func(*testing.T, *Release)
	}{
		"a version that is no worse is healthy": {
			world: func(w *world) { w.standard(0.002) }, want: release.Healthy,
			check: func(t *testing.T, r *Release) {
				if r.DecidedAt == nil || len(r.Would) > 0 {
					t.Errorf("decided %v, would %v", r.DecidedAt, r.Would)
				}
			},
		},
		"without traffic there is too little data": {
			world: func(w *world) { w.standard(0.05); w.rate = 0 }, want: release.InsufficientData,
			check: func(t *testing.T, r *Release) {
				if r.DecidedAt != nil {
					t.Errorf("decided at %s", r.DecidedAt)
				}
			},
		},
		"little traffic tells how much is missing": {
			world: func(w *world) { w.standard(0.002); w.rate = 0.1 }, want: release.InsufficientData,
			check: func(t *testing.T, r *Release) {
				if r.Needs == nil || r.Needs.Requests < 1 {
					t.Errorf("needs %+v", r.Needs)
				}
			},
		},
		"containers that crash again and again convict": {
			world: func(w *world) { w.standard(0); w.sets[0].to = w.until; w.sets[1].trouble = "CrashLoopBackOff" }, want: release.Regressed,
			check: func(t *testing.T, r *Release) {
				if e := r.Evidence[0]; e.Signal != "pod_state" || e.EValue != nil || e.Reason == "" || e.Baseline != "none" {
					t.Errorf("%+v", e)
				}
			},
		},
		"images that cannot be pulled convict": {
			world: func(w *world) { w.standard(0); w.sets[0].to = w.until; w.sets[1].trouble = "ErrImagePull" }, want: release.Regressed,
		},
		"a source that stays silent is broken": {
			world: func(w *world) {
				w.standard(0.002)
				w.silent = func(at time.Time) bool { return at.After(start.Add(30 * time.Second)) }
			}, want: release.SourceBroken,
		},
		"a gap that ends is waited for": {
			world: func(w *world) {
				w.standard(0.002)
				w.silent = func(at time.Time) bool {
					return at.After(start.Add(30*time.Second)) && at.Before(start.Add(7*time.Minute))
				}
			}, want: release.Healthy,
		},
		"pods are not held to be unready while nobody tells of them": {
			world: func(w *world) {
				w.standard(0.002)
				w.sets[1].from = start.Add(5 * time.Second)
				w.unready = start.Add(25 * time.Second)
				w.silent = func(at time.Time) bool {
					return at.After(start.Add(20*time.Second)) && at.Before(start.Add(8*time.Minute))
				}
			}, want: release.Healthy,
		},
		"labels that the scrape renamed are read": {
			world: func(w *world) { w.standard(0.05); w.exported = true }, want: release.Regressed,
		},
		"two kube-state-metrics tell the same once": {
			world: func(w *world) { w.standard(0.05); w.twice = true }, want: release.Regressed,
		},
		"a first deployment has no baseline": {
			world: func(w *world) { w.standard(0.002); w.sets = w.sets[1:] }, want: release.InsufficientData,
			check: func(t *testing.T, r *Release) {
				if r.Previous != nil {
					t.Errorf("previous %s", *r.Previous)
				}
			},
		},
		"a release that goes bad late is regressed in the end": {
			world: func(w *world) {
				w.standard(0.08)
				w.sets[1].badFrom = start.Add(12 * time.Minute)
			}, want: release.Regressed,
		},
		"the range's end is the end of what is read": {
			world:   func(w *world) { w.standard(0.05) },
			options: func(o *Options) { o.To = start.Add(45 * time.Second) }, want: release.InsufficientData,
		},
		"late samples are waited for": {
			world:   func(w *world) { w.standard(0.05) },
			options: func(o *Options) { o.Lag = time.Minute }, want: release.Regressed,
		},
		"a store that allows short windows only is asked in steps": {
			world: func(w *world) { w.standard(0.05); w.Refuse = 8 * time.Minute }, want: release.Regressed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			c.world(w)
			rel := only(t, replayed(t, w.store(), c.options))
			if rel.Verdict != c.want {
				t.Fatalf("%s (%s), want %s", rel.Verdict, rel.Reason, c.want)
			}
			if c.check != nil {
				c.check(t, rel)
			}
		})
	}
}

func TestWhatIsNoRelease(t *testing.T) {
	for name, change := range map[string]func(*world){
		"a restart":                               func(w *world) { w.sets[1].image = "shop/web:1"; w.twice = true },
		"a version from before the range":         func(w *world) { w.sets[1].created = epoch.Add(-time.Minute) },
		"a ReplicaSet that never had a pod":       func(w *world) { w.sets[1].to = w.sets[1].from },
		"nothing, where nobody tells of rollouts": func(w *world) { w.sets = nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld().standard(0.05)
			change(w)
			if name == "a restart" { // the digest too
				w.sets[0].name, w.sets[1].name = "web-5c7bffbd", "web-5d8cffbe"
			}
			w.store()
			if name == "a restart" {
				w.Each(func(set labels.Labels, floats []samples.Float) (labels.Labels, []samples.Float) {
					if !strings.Contains(set.Get("image_id"), "web-5d8cffbe") {
						return set, floats
					}
					b := labels.NewBuilder(set)
					return b.Set("image_id", "shop/web@sha256:web-5c7bffbd").Labels(), floats
				})
			}
			if r := replayed(t, w, nil); len(r.Releases) != 0 {
				t.Errorf("%s was taken for a release", r.Releases[0].key())
			}
		})
	}
}

func TestANewerReleaseOvertakes(t *testing.T) {
	w := newWorld().standard(0.002)
	w.sets[1].to = start.Add(50 * time.Second)
	w.sets = append(w.sets, &rollout{name: "web-7e6d5c4b3", image: "shop/web:3", created: start.Add(45 * time.Second), from: start.Add(50 * time.Second), to: w.until, bad: 0.002})
	r := replayed(t, w.store(), nil)
	if len(r.Releases) != 2 {
		t.Fatalf("%d releases", len(r.Releases))
	}
	first, second := r.Releases[0], r.Releases[1]
	if first.SupersededBy != "web-7e6d5c4b3" || first.Verdict == release.Regressed || !strings.Contains(first.Reason, "took over") {
		t.Errorf("the first: %s, overtaken by %q: %s", first.Verdict, first.SupersededBy, first.Reason)
	}
	if second.SupersededBy != "" || second.Verdict != release.Healthy || *second.Previous != "web-5c7bffbd" {
		t.Errorf("the second: %s after %s", second.Verdict, *second.Previous)
	}
}

func TestAReturnToAnOlderVersionEndsTheObservation(t *testing.T) {
	w := newWorld().standard(0.002)
	w.sets[0].to = w.until
	w.sets[1].to = start.Add(40 * time.Second)
	rel := only(t, replayed(t, w.store(), nil))
	if rel.Verdict != release.InsufficientData || !strings.Contains(rel.Reason, "went back to ReplicaSet web-5c7bffbd") {
		t.Errorf("%s: %s", rel.Verdict, rel.Reason)
	}
}

// What a tick says does not depend on what is stored later.
func TestNoTickSeesWhatComesLater(t *testing.T) {
	whole := only(t, replayed(t, newWorld().standard(0.03).store(), nil))
	if whole.Verdict != release.Regressed {
		t.Fatal(whole.Summary)
	}
	cut := newWorld().standard(0.03).store()
	cut.Each(func(set labels.Labels, floats []samples.Float) (labels.Labels, []samples.Float) {
		return set, slices.DeleteFunc(floats, func(f samples.Float) bool { return f.Millis > whole.DecidedAt.UnixMilli() })
	})
	rel := only(t, replayed(t, cut, nil))
	if rel.Verdict != release.Regressed || !rel.DecidedAt.Equal(*whole.DecidedAt) || rel.EValue != whole.EValue {
		t.Errorf("without the future: %s at %s, e-value %g; with it at %s, %g", rel.Verdict, rel.DecidedAt, rel.EValue, whole.DecidedAt, whole.EValue)
	}
}

func TestAnEmptyRangeIsRefused(t *testing.T) {
	opt := options()
	opt.From, opt.To = opt.To, opt.From
	if _, err := Run(context.Background(), builtin(t), newWorld(), opt); release.ErrorCode(err) != release.CodeInvalid {
		t.Errorf("%v", err)
	}
}

func TestTheReportKeepsItsContract(t *testing.T) {
	text, err := json.Marshal(replayed(t, newWorld().standard(0.05).store(), nil))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	summary := got["summary"].(map[string]any)
	for _, key := range []string{"releases", "healthy", "regressed", "insufficient_data", "source_broken"} {
		if _, ok := summary[key].(float64); !ok {
			t.Errorf("summary has no %s", key)
		}
	}
	rel := got["releases"].([]any)[0].(map[string]any)
	for _, key := range []string{"namespace", "workload", "replicaset", "previous_replicaset", "images", "started_at", "decided_at", "verdict", "evidence", "would"} {
		if _, ok := rel[key]; !ok {
			t.Errorf("a release has no %s", key)
		}
	}
	e := rel["evidence"].([]any)[0].(map[string]any)
	for _, key := range []string{"signal", "baseline", "e_value", "baseline_value", "release_value", "unit"} {
		if _, ok := e[key]; !ok {
			t.Errorf("evidence has no %s", key)
		}
	}
}

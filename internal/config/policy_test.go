package config

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const layered = least + `
policy:
  autonomy: alert
  observe: 20m
  weights: {errors: 0.8}
  signals: [{name: jobs, bad: jobs_failed_total, total: jobs_total}]
overrides:
- namespaces: [shop, "team-*"]
  policy: {observe: 10m, weights: {custom: 0.5}}
- workloads: ["web*"]
  policy: {autonomy: auto, alpha: 1%}
- namespaces: [shop]
  workloads: [web-canary]
  policy: {ignore: true, observe: 5m, signals: [{name: pages, bad: pages_bad_total, total: pages_total}]}
`

func TestPolicyForLaysOverridesInTheirOrder(t *testing.T) {
	c := mustParse(t, layered)
	base := release.DefaultPolicy()
	base.Name, base.Autonomy, base.Observe = "policy", release.AutonomyAlert, 20*time.Minute
	base.Weights = map[string]float64{"errors": 0.8, "callers": 0.2, "latency": 0.3, "throughput": 0.1, "resources": 0.1, "custom": 0.3, "slo": 0.2}
	base.Custom = []release.CustomSignal{{Name: "jobs", Bad: "jobs_failed_total", Total: "jobs_total"}}

	inShop := base
	inShop.Name, inShop.Observe = "overrides[0]", 10*time.Minute
	inShop.Weights = map[string]float64{"errors": 0.8, "callers": 0.2, "latency": 0.3, "throughput": 0.1, "resources": 0.1, "custom": 0.5, "slo": 0.2}

	web := base
	web.Name, web.Autonomy, web.Alpha = "overrides[1]", release.AutonomyAuto, 0.01

	canary := inShop
	canary.Name, canary.Autonomy, canary.Alpha = "overrides[2]", release.AutonomyAuto, 0.01
	canary.Ignore, canary.Observe = true, 5*time.Minute
	canary.Custom = []release.CustomSignal{{Name: "pages", Bad: "pages_bad_total", Total: "pages_total"}}

	for name, want := range map[string]release.Policy{
		"other/db": base, "shop/db": inShop, "team-a/db": inShop, "team/db": base, "other/webapp": web, "shop/web-canary": canary,
	} {
		namespace, workload, _ := strings.Cut(name, "/")
		got, errs := c.PolicyFor(namespace, workload, nil)
		if len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestWithoutAPolicyItOnlyObserves(t *testing.T) {
	got, errs := mustParse(t, least).PolicyFor("a", "b", nil)
	if diff := cmp.Diff(release.DefaultPolicy(), got); diff != "" || len(errs) > 0 {
		t.Error(diff, errs)
	}
	if got.Autonomy != release.AutonomyObserve {
		t.Errorf("autonomy %s", got.Autonomy)
	}
}

func TestPolicyForGivesNothingThatIsShared(t *testing.T) {
	c := mustParse(t, layered)
	first, _ := c.PolicyFor("shop", "web", nil)
	first.Weights["errors"] = 99
	first.Custom[0].Name = "changed"
	second, _ := c.PolicyFor("shop", "web", nil)
	if second.Weights["errors"] != 0.8 || second.Custom[0].Name != "jobs" {
		t.Errorf("a change of one policy shows in the next: %+v", second)
	}
}

func TestAnnotationsCountOverTheFile(t *testing.T) {
	c := mustParse(t, layered)
	got, errs := c.PolicyFor("other", "db", map[string]string{
		"autonomy": "auto", "ignore": "true", "issue": "false", "observe": "1d", "warmup": " 1m ", "history": "0s", "source-grace": "30s",
		"ready-within": "3m", "alpha": "2%", "beta": "0.1", "min-effect": "20 %", "healthy-ratio": "2", "healthy-increase": "3%", "slo": "99%", "burn-rate": "6",
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	want, _ := c.PolicyFor("other", "db", nil)
	want.Name, want.Autonomy, want.Ignore, want.Issue = "policy+annotations", release.AutonomyAuto, true, false
	want.Observe, want.Warmup, want.History, want.SourceGrace, want.ReadyWithin = 24*time.Hour, time.Minute, 0, 30*time.Second, 3*time.Minute
	want.Alpha, want.Beta, want.MinEffect, want.HealthyRatio, want.HealthyIncrease = 0.02, 0.1, 0.2, 2, 0.03
	want.SLO, want.BurnRate = 0.99, 6
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnAnnotationThatCannotBeReadIsNamedAndLowersTheAutonomy(t *testing.T) {
	for title, c := range map[string]struct {
		key, value, want string
	}{
		"an unknown autonomy":            {"autonomy", "Auto", `shop/web: annotation watchtower.dev/autonomy: autonomy "Auto" is unknown`},
		"an empty autonomy":              {"autonomy", "", `annotation watchtower.dev/autonomy: autonomy "" is unknown`},
		"yes for true":                   {"ignore", "yes", `shop/web: annotation watchtower.dev/ignore: "yes" is neither true nor false`},
		"a number for a duration":        {"observe", "10", `annotation watchtower.dev/observe: "10" is a duration without a unit`},
		"a duration out of range":        {"observe", "300d", "annotation watchtower.dev/observe: 300d is out of range: use 1s to 30d"},
		"a number out of range":          {"alpha", "0.5", "annotation watchtower.dev/alpha: 0.5 is out of range"},
		"no number":                      {"min-effect", "much", `annotation watchtower.dev/min-effect: "much" is no number`},
		"an unknown key with a near one": {"autonmy", "auto", "shop/web: annotation watchtower.dev/autonmy is not known: did you mean autonomy?"},
		"an unknown key near none":       {"rollback", "no", "shop/web: annotation watchtower.dev/rollback is not known: known are alpha, autonomy"},
		"the file's form of a key":       {"min_effect", "0.1", "annotation watchtower.dev/min_effect is not known: did you mean min-effect?"},
		"a warm-up longer than the rest": {"warmup", "1h", "shop/web: annotations watchtower.dev/observe and warmup: warmup 1h is not shorter"},
		"a text without end":             {"observe", strings.Repeat("9", 100000), "annotation watchtower.dev/observe: "},
	} {
		t.Run(title, func(t *testing.T) {
			cfg := mustParse(t, layered) // autonomy auto for web*
			got, errs := cfg.PolicyFor("shop", "web", map[string]string{c.key: c.value, "beta": "0.2"})
			if len(errs) != 1 || !strings.Contains(errs[0].Error(), c.want) {
				t.Fatalf("got %v, want %q", errs, c.want)
			}
			if len(errs[0].Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(errs[0].Error()))
			}
			if got.Autonomy != release.AutonomyAlert {
				t.Errorf("autonomy %s, want alert", got.Autonomy)
			}
			if got.Beta != 0.2 {
				t.Errorf("the annotation that can be read does not count: beta %v", got.Beta)
			}
			want, _ := cfg.PolicyFor("shop", "web", nil)
			if got.Observe != want.Observe || got.Alpha != want.Alpha || got.Ignore != want.Ignore || got.MinEffect != want.MinEffect || got.Warmup != want.Warmup {
				t.Errorf("what cannot be read changed the policy: %+v", got)
			}
		})
	}
}

func TestAnErrorNeverRaisesTheAutonomy(t *testing.T) {
	got, errs := mustParse(t, least).PolicyFor("a", "b", map[string]string{"observe": "x"})
	if len(errs) != 1 || got.Autonomy != release.AutonomyObserve {
		t.Errorf("autonomy %s, errors %v", got.Autonomy, errs)
	}
}

func TestAnnotationsOfItsOwnAreNoSettings(t *testing.T) {
	got, errs := mustParse(t, layered).PolicyFor("shop", "web", map[string]string{"rolled-back-release": "abc", "rolled-back-to": "web-123"})
	if len(errs) > 0 || got.Autonomy != release.AutonomyAuto || got.Name != "overrides[1]" {
		t.Errorf("%+v, %v", got, errs)
	}
}

// Whatever stands in annotations, the policy stays within what the file's
// checks allow, errors lower the autonomy, and none panics.
func TestAnyAnnotationsGiveASoundPolicy(t *testing.T) {
	c := mustParse(t, layered)
	keys := append([]string{"x", "", "rolled-back-to"}, sortedKeys()...)
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"auto", "alert", "true", "10m", "0.1", "5%", "1d", "2", "0s", "1s"}))
		annotations := rapid.MapOf(rapid.SampledFrom(keys), value).Draw(t, "annotations")
		p, errs := c.PolicyFor("shop", "web", annotations)
		sound(t, p, errs)
	})
}

func sortedKeys() []string {
	var keys []string
	for k := range maps.Keys(annotationKeys) {
		keys = append(keys, k)
	}
	return keys
}

func sound(t interface{ Errorf(string, ...any) }, p release.Policy, errs []error) {
	if err := checkWhole(p); err != nil {
		t.Errorf("%v", err)
	}
	for key, x := range map[string]float64{"alpha": p.Alpha, "beta": p.Beta, "min_effect": p.MinEffect, "healthy_ratio": p.HealthyRatio, "healthy_increase": p.HealthyIncrease, "slo": p.SLO, "burn_rate": p.BurnRate} {
		if err := checkNumber(key, x); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for key, d := range map[string]time.Duration{"observe": p.Observe, "warmup": p.Warmup, "history": p.History, "source_grace": p.SourceGrace, "ready_within": p.ReadyWithin} {
		if err := checkDuration(key, d); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := release.ParseAutonomy(string(p.Autonomy)); err != nil {
		t.Errorf("%v", err)
	}
	if len(errs) > 0 && p.Autonomy.Allows(release.AutonomyApprove) {
		t.Errorf("autonomy %s with errors %v", p.Autonomy, errs)
	}
}

func FuzzAnnotations(f *testing.F) {
	f.Add("autonomy", "auto", "observe", "10m")
	f.Add("warmup", "99h", "alpha", "1e-400%")
	f.Add("\xff", "\x00", "", "")
	c := &Config{}
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		p, errs := c.PolicyFor("ns", "wl", map[string]string{k1: v1, k2: v2})
		sound(t, p, errs)
	})
}

package verify

import (
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/judge"
	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestWhoElseMayBeTheCause(t *testing.T) {
	began := time.Unix(10_000, 0)
	at := began.Add(6 * time.Minute)
	other := func(change func(*Suspect)) Suspect {
		s := Suspect{Namespace: "shop", Workload: "cart", ReplicaSet: "cart-1", Began: began.Add(time.Minute)}
		change(&s)
		return s
	}
	guilty := func(s *Suspect) { s.Troubled, s.Guilty = at.Add(-time.Minute), at.Add(-time.Minute) }
	troubled := func(s *Suspect) { s.Troubled = at.Add(-time.Minute) }
	sound := func(v *verification) { v.assessment.Signals[0].Sound = true }
	for name, c := range map[string]struct {
		other Suspect
		self  func(*verification)
		want  string
		wait  bool
	}{
		"a guilty one that began while this was sound": {other(guilty), sound, "shop/cart-1", false},
		"a guilty one, where the stable pods are in trouble too": {
			other(func(s *Suspect) { guilty(s); s.Began = began.Add(-time.Minute) }),
			func(v *verification) { v.assessment.Signals[0].Outside = true }, "shop/cart-1", false,
		},
		"one that it is seen to call, whenever it began": {
			other(func(s *Suspect) {
				troubled(s)
				s.Namespace, s.Began, s.CalledBy = "pay", began.Add(-15*time.Minute), []string{"shop/web-old"}
			}), func(v *verification) { v.release.Previous.Name = "web-old" }, "pay/cart-1", false,
		},
		"not one that others call": {
			other(func(s *Suspect) { troubled(s); s.Namespace, s.CalledBy = "pay", []string{"shop/mail-1"} }), nil, "", false,
		},
		"not one that it calls, where its own pods do worse than its stable": {
			other(func(s *Suspect) { troubled(s); s.CalledBy = []string{"shop/web-old"} }),
			func(v *verification) { v.release.Previous.Name, v.suspectedAt = "web-old", at }, "", false,
		},
		"not where this never was sound":                        {other(guilty), nil, "", false},
		"not where its own pods do worse than its stable":       {other(guilty), func(v *verification) { sound(v); v.suspectedAt = at }, "", false},
		"not one of another namespace":                          {other(func(s *Suspect) { guilty(s); s.Namespace = "mail" }), sound, "", false},
		"not an earlier release of its own":                     {other(func(s *Suspect) { guilty(s); s.Workload = "web" }), sound, "", false},
		"not one that was there before this one":                {other(func(s *Suspect) { guilty(s); s.Began = began.Add(-time.Minute) }), sound, "", false},
		"not one that will be in trouble later":                 {other(func(s *Suspect) { s.Troubled, s.Guilty = at.Add(time.Minute), at.Add(time.Minute) }), func(v *verification) { sound(v); v.crossedAt = at.Add(-time.Hour) }, "", false},
		"one in trouble whose guilt is not shown is waited for": {other(troubled), sound, "", true},
		"one without trouble so far is waited for":              {other(func(*Suspect) {}), sound, "", true},
		"but not for long":                                      {other(func(*Suspect) {}), func(v *verification) { sound(v); v.crossedAt = at.Add(-overlapPatience) }, "", false},
		"not where this was in trouble before it":               {other(guilty), func(v *verification) { sound(v); v.troubledAt = began.Add(30 * time.Second) }, "", false},
		"nor where its trouble came long after the other":       {other(guilty), func(v *verification) { sound(v); v.troubledAt = began.Add(12 * time.Minute) }, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			v := newTestVerification(release.DefaultPolicy())
			v.release.Workload = release.Workload{Namespace: "shop", Name: "web"}
			v.release.StartedAt = began
			v.assessment = judge.Assessment{Regressed: true, E: 5000, Signals: []judge.SignalResult{{Name: "error_ratio", E: 5000, EHistory: 9000, EStable: 1}}}
			if c.self != nil {
				c.self(v)
			}
			if got := v.blame([]Suspect{c.other}, at); got != c.want || (v.waitFor != "") != c.wait {
				t.Errorf("blamed on %q, waits for %q", got, v.waitFor)
			}
		})
	}
}

func TestWhatAnotherReleaseCausesIsNoRegression(t *testing.T) {
	v := newTestVerification(release.DefaultPolicy())
	began := time.Unix(10_000, 0)
	v.release.StartedAt, v.lastGood = began, began
	v.assessment = judge.Assessment{Regressed: true, E: 5000, RegressedAt: began.Add(time.Minute)}
	v.affectedBy = "shop/cart-1"
	got := conclude(v, began.Add(2*time.Minute))
	if got.Kind != release.Pending || got.AffectedBy != "shop/cart-1" || got.Reason == "" {
		t.Errorf("%+v", got)
	}
	if got = conclude(v, began.Add(v.policy.Observe)); got.Kind != release.InsufficientData || !got.Final || got.AffectedBy != "shop/cart-1" {
		t.Errorf("at the end: %+v", got)
	}
	v.affectedBy = ""
	if got = conclude(v, began.Add(2*time.Minute)); got.Kind != release.Regressed || got.AffectedBy != "" {
		t.Errorf("once the other is cleared: %+v", got)
	}
}

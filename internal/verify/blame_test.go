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
	suspected := func(s *Suspect) { s.Since = at.Add(-time.Minute) }
	for name, c := range map[string]struct {
		other Suspect
		self  func(*verification)
		want  string
		wait  bool
	}{
		"one whose own pods do worse than its stable ones": {other(suspected), nil, "shop/cart-1", false},
		"not while its own pods do so too":                 {other(suspected), func(v *verification) { v.suspectedAt = at }, "", false},
		"not one of another namespace":                     {other(func(s *Suspect) { suspected(s); s.Namespace = "mail" }), nil, "", false},
		"not an earlier release of its own":                {other(func(s *Suspect) { suspected(s); s.Workload = "web" }), nil, "", false},
		"not one that began an hour before":                {other(func(s *Suspect) { suspected(s); s.Began = began.Add(-time.Hour) }), nil, "", false},
		"not one that will be suspected later":             {other(func(s *Suspect) { s.Since = at.Add(time.Minute) }), func(v *verification) { v.crossedAt = at.Add(-time.Hour) }, "", false},
		"an unsuspected one is waited for":                 {other(func(*Suspect) {}), nil, "", true},
		"but not for long":                                 {other(func(*Suspect) {}), func(v *verification) { v.crossedAt = at.Add(-overlapPatience) }, "", false},
		"nor where it began long before":                   {other(func(s *Suspect) { s.Began = began.Add(-20 * time.Minute) }), nil, "", false},
		"one in trouble that began while this was sound": {
			other(func(s *Suspect) { s.Troubled = at }), func(v *verification) { v.assessment.Signals[0].Sound = true }, "shop/cart-1", false,
		},
		"not where this never was sound": {other(func(s *Suspect) { s.Troubled = at }), func(v *verification) { v.crossedAt = at.Add(-time.Hour) }, "", false},
		"nor where its trouble is older than the other": {
			other(func(s *Suspect) { s.Troubled = at }), func(v *verification) {
				v.assessment.Signals[0].Sound, v.troubledAt, v.crossedAt = true, began.Add(30*time.Second), at.Add(-time.Hour)
			}, "", false,
		},
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

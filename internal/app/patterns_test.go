package app

import (
	"math/rand/v2"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/pattern"
)

func TestWhatChangedBetweenTwoLogsIsSaidWithItsCertainty(t *testing.T) {
	p := func(template string, was, is uint64) pattern.Pattern {
		return pattern.Pattern{Template: template, Arms: [2]uint64{was, is}}
	}
	got := map[string]PatternChange{}
	for _, c := range ComparePatterns([]pattern.Pattern{
		p("as ever", 100_000, 200_000), p("often now", 10, 200), p("seldom now", 400, 90), p("new", 0, 60), p("once", 0, 1), p("gone", 300, 0),
	}, 0.01) {
		got[c.Pattern.Template] = c
	}
	for template, want := range map[string]struct {
		change      Change
		significant bool
	}{
		"as ever": {ChangeSame, false}, "often now": {ChangeMore, true}, "seldom now": {ChangeLess, true},
		"new": {ChangeNew, true}, "once": {ChangeNew, false}, "gone": {ChangeGone, true},
	} {
		c := got[template]
		if c.Change != want.change || c.Significant != want.significant {
			t.Errorf("%s: %s, significant %v, e-value %g", template, c.Change, c.Significant, c.E)
		}
		if c.Old > 0 && c.New > 0 && (c.Low > c.Ratio || c.High < c.Ratio) {
			t.Errorf("%s: %g is not within %g and %g", template, c.Ratio, c.Low, c.High)
		}
	}
}

func TestTwoLogsOfTheSameSeldomDiffer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	found := 0
	const runs = 200
	for range runs {
		patterns := make([]pattern.Pattern, 50)
		for i := range patterns {
			for range 4 + 20*i {
				patterns[i].Arms[r.IntN(2)]++
			}
		}
		for _, c := range ComparePatterns(patterns, 0.01) {
			if c.Significant {
				found++
				break
			}
		}
	}
	if found > runs/50 {
		t.Errorf("a change was found in %d of %d pairs of equal logs", found, runs)
	}
}

func TestAnEmptyLogIsNoEvidence(t *testing.T) {
	for _, c := range ComparePatterns([]pattern.Pattern{{Arms: [2]uint64{0, 500}}}, 0.01) {
		if c.Significant {
			t.Errorf("%+v", c)
		}
	}
}

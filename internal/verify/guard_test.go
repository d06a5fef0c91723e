package verify

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestAnObjectiveConvictsWhereThePastExcuses(t *testing.T) {
	bad := func() *world { // as bad as it ever was, and alone from the start
		w := healthyWorld(3)
		w.errors, w.releaseErr, w.rollout = 0.05, 0.05, time.Second
		return w
	}
	for _, c := range []struct {
		says      string
		objective float64
		world     *world
		want      release.VerdictKind
	}{
		{"no objective: no worse than before", 0, bad(), release.Healthy},
		{"99.9 %: fifty times too many fail", 0.999, bad(), release.Regressed},
		{"90 %: half of what may fail does", 0.9, bad(), release.Healthy},
		{"99.9 %, and hardly any fail", 0.999, healthyWorld(3), release.Healthy},
	} {
		t.Run(c.says, func(t *testing.T) {
			p := testPolicy()
			p.SLO = c.objective
			v := replayUnder(t.Context(), c.world, p)
			if v.Kind != c.want {
				t.Fatalf("%s: %s, want %s", v.Kind, v.Summary, c.want)
			}
			i := slices.IndexFunc(v.Evidence, func(e release.Evidence) bool { return e.Signal == release.SignalBudgetBurn })
			if got := i >= 0; got != (c.objective > 0) {
				t.Fatalf("evidence of the budget: %v", got)
			}
			if c.want != release.Regressed {
				return
			}
			text := release.EvidenceSentence(v.Evidence[i])
			for _, want := range []string{"share of failures against the objective 5", "against 1.4 % allowed", "of the error budget of 0.1 %"} {
				if !strings.Contains(text, want) {
					t.Errorf("%q does not say %q", text, want)
				}
			}
		})
	}
}

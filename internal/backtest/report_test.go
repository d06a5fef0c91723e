package backtest

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestKnownGoodReleasesAreReadByTheLine(t *testing.T) {
	got, err := ReadKnownGood("good.txt", strings.NewReader("# of May\nshop/web-1\n\n  pay/cart-2 # the hotfix\r\n"))
	if diff := cmp.Diff([]string{"shop/web-1", "pay/cart-2"}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range []string{"web-1", "shop/", "/web-1", "shop/web-1/x", "shop/web-1,pay/cart-2", "shop/web 1"} {
		if _, err := ReadKnownGood("good.txt", strings.NewReader("shop/ok-1\n"+bad)); err == nil || !strings.Contains(err.Error(), "good.txt, line 2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzKnownGoodNamesAreNamespaceAndReplicaSet(f *testing.F) {
	f.Add("shop/web-1 # good\n")
	f.Fuzz(func(t *testing.T, text string) {
		names, err := ReadKnownGood("x", strings.NewReader(text))
		for _, n := range names {
			if err == nil && strings.Count(n, "/") != 1 {
				t.Errorf("%q", n)
			}
		}
	})
}

// The values are those of R's binom.test.
func TestTheIntervalIsExact(t *testing.T) {
	for _, c := range []struct {
		x, n      int
		low, high float64
	}{{0, 300, 0, 0.012221}, {3, 978, 0.000633, 0.008939}, {10, 10, 0.691503, 1}, {0, 0, 0, 1}} {
		low, high := Exact(c.x, c.n)
		if math.Abs(low-c.low) > 1e-4 || math.Abs(high-c.high) > 1e-4 {
			t.Errorf("%d of %d: %g to %g, want %g to %g", c.x, c.n, low, high, c.low, c.high)
		}
	}
}

func TestTheReportForPeopleSaysWhatItFound(t *testing.T) {
	w := newWorld().standard(0.05)
	w.sets[1].image = "shop/web:<script>2"
	r := replayed(t, w.store(), nil)
	r.Judge([]string{"shop/web-6d5f7c9b8", "shop/gone-1"})
	var text, page strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"shop/web-6d5f7c9b8", "regressed", "1 release would have been rolled back", "Of 1 releases known to be good 1", "Not among the releases in this range: shop/gone-1"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text does not say %q:\n%s", want, text.String())
		}
	}
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	if got := page.String(); strings.Contains(got, "<script>") || !strings.Contains(got, "<svg") || strings.Contains(got, "http-equiv") || strings.Contains(got, "src=") {
		t.Error("the page is not one that is safe and needs nothing else")
	}
}

func TestAnEmptyReportSaysWhereToLook(t *testing.T) {
	var text strings.Builder
	if err := (&Report{From: epoch, To: epoch.Add(time.Hour)}).WriteText(&text); err != nil || !strings.Contains(text.String(), "kube_replicaset_created") {
		t.Errorf("%v: %s", err, text.String())
	}
}

func TestWhatWouldBeDoneFollowsThePolicy(t *testing.T) {
	bad, first := release.Release{Previous: &release.ReplicaSet{}}, release.Release{}
	for name, c := range map[string]struct {
		rel      release.Release
		autonomy release.Autonomy
		want     []string
	}{
		"observe":                    {bad, release.AutonomyObserve, []string{}},
		"alert":                      {bad, release.AutonomyAlert, []string{"alert"}},
		"approve":                    {bad, release.AutonomyApprove, []string{"alert", "approve", "issue"}},
		"auto":                       {bad, release.AutonomyAuto, []string{"alert", "rollback", "issue"}},
		"auto at a first deployment": {first, release.AutonomyAuto, []string{"alert", "issue"}},
	} {
		got := would(c.rel, release.Verdict{Kind: release.Regressed}, release.Policy{Autonomy: c.autonomy, Issue: true})
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

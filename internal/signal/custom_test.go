package signal

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func customSubject() Subject {
	s := worldSubject()
	s.Custom = []release.CustomSignal{{Name: "orders", Bad: `orders_total{state="failed"}`, Total: "orders_total"}}
	return s
}

func TestAUsersOwnSignalIsTheRatioOfTwoCountersOfThePods(t *testing.T) {
	s := newStore()
	for _, pod := range []string{oldPod, newPod} {
		s.scrapes(pod, 3, "__name__=orders_total", "state=done")
		s.scrapes(pod, 1, "__name__=orders_total", "state=failed")
	}
	s.scrapes("other-5c7bffbd-x2x4z", 100, "__name__=orders_total", "state=failed")
	res := readAll(t, s, customSubject())
	var rel, stable release.Count
	for _, rd := range res.Readings {
		pair, ok := rd.Custom["orders"]
		if !ok {
			t.Fatalf("no orders in the tick that ends %s", rd.To)
		}
		rel, stable = rel.Add(pair.Release.Count), stable.Add(pair.Stable.Count)
	}
	if rel != (release.Count{Total: 84, Bad: 21}) || stable != (release.Count{Total: 96, Bad: 24}) {
		t.Errorf("counted %+v and %+v", rel, stable)
	}
	if res.Readings[0].Errors != nil || res.Dialect != "" {
		t.Error("requests were counted of a workload that exports none")
	}
	want := []string{`orders_total{namespace="shop",pod=~"web-new-[a-z0-9]{5}|web-stable-[a-z0-9]{5}",state="failed"}`, `orders_total{namespace="shop",pod=~"web-new-[a-z0-9]{5}|web-stable-[a-z0-9]{5}"}`}
	var got []string
	for _, q := range res.Queries {
		got = append(got, q.Expr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFractionsOfAUsersCounterAreNotLost(t *testing.T) {
	s := newStore()
	s.scrapes(newPod, 0.3, "__name__=orders_total", "state=done")
	s.scrapes(newPod, 0.1, "__name__=orders_total", "state=failed")
	res := readAll(t, s, customSubject())
	var rel release.Count
	for _, rd := range res.Readings {
		rel = rel.Add(rd.Custom["orders"].Release.Count)
	}
	if rel != (release.Count{Total: 8, Bad: 2}) { // 21 × 0.4 = 8.4, 21 × 0.1 = 2.1
		t.Errorf("counted %+v", rel)
	}
}

func TestAUsersSignalThatCannotBeReadLeavesTheRestAlone(t *testing.T) {
	for name, code := range map[string]release.Code{"refused": release.CodeBadQuery, "too expensive": release.CodeTooExpensive} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			for _, pod := range []string{oldPod, newPod} {
				s.scrapes(pod, 2, "__name__=http_requests_total", "code=200")
				s.scrapes(pod, 1, "__name__=orders_total", "state=failed")
			}
			r := newTestReader(t, s)
			ctx := context.Background()
			var rel, custom release.Count
			for i := range 8 {
				s.fail = func(q string, _ time.Duration) error {
					if strings.Contains(q, `state="failed"`) && i < 4 && !strings.Contains(q, "exported") {
						return release.E(code, "no", nil)
					}
					return nil
				}
				// Discovery asks for it too; it must not be in the way.
				res := r.Read(ctx, epoch.Add(time.Duration(i+1)*testTick), []Subject{customSubject()})["r1"]
				if i >= 1 && res.Err != nil {
					t.Fatalf("tick %d: %v", i, res.Err)
				}
				if said := strings.Contains(strings.Join(res.Notes, "\n"), "The signal orders could not be read: no."); said != (i >= 1 && i < 4) && i >= 1 {
					t.Errorf("tick %d: notes %q", i, res.Notes)
				}
				a, _ := totals(res)
				rel = rel.Add(a)
				for _, rd := range res.Readings {
					custom = custom.Add(rd.Custom["orders"].Release.Count)
				}
			}
			if rel.Total != 42 || custom != (release.Count{Total: 21, Bad: 21}) {
				t.Errorf("counted %+v requests and %+v orders", rel, custom)
			}
		})
	}
}

func TestAUsersSignalThatDoesNotParseIsSaid(t *testing.T) {
	sub := worldSubject()
	sub.Custom = []release.CustomSignal{{Name: "rate", Bad: "rate(x[5m])", Total: "x"}}
	res := readAll(t, newStore(), sub)
	if res.Err != nil || !strings.Contains(strings.Join(res.Notes, "\n"), "The signal rate is not measured: character 1: a plain selector is wanted") {
		t.Errorf("%v %q", res.Err, res.Notes)
	}
}

func TestASignalThatIsAddedLaterCountsFromThen(t *testing.T) {
	s := newStore()
	for _, pod := range []string{oldPod, newPod} {
		s.scrapes(pod, 2, "__name__=http_requests_total", "code=200")
		s.scrapes(pod, 1, "__name__=orders_total", "state=failed")
	}
	r := newTestReader(t, s)
	ctx := context.Background()
	r.Read(ctx, epoch.Add(time.Minute), []Subject{worldSubject()})
	res := r.Read(ctx, epoch.Add(2*time.Minute), []Subject{customSubject()})["r1"]
	got := map[string]release.Count{}
	for _, rd := range res.Readings {
		pair := rd.Custom["orders"]
		maps.Copy(got, map[string]release.Count{"release": got["release"].Add(pair.Release.Count), "stable": got["stable"].Add(pair.Stable.Count)})
	}
	if want := (release.Count{Total: 12, Bad: 12}); got["release"] != want || got["stable"] != want {
		t.Errorf("counted %v in the second minute, want 12 in each arm", got)
	}
	if rel, stable := totals(res); rel.Total != 24 || stable.Total != 24 {
		t.Errorf("the requests are disturbed: %+v %+v", rel, stable)
	}
}

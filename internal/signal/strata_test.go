package signal

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// before puts a counter of the old pod that grows by step at each scrape, also
// before the rollout, and of the new pod from its birth on.
func (s *store) route(step float64, route, code string) {
	for _, pod := range []string{oldPod, newPod} {
		v := 0.0
		for at := epoch.Add(-4 * time.Minute); !at.After(epoch.Add(2 * time.Minute)); at = at.Add(5 * time.Second) {
			if pod == newPod && at.Before(epoch.Add(20*time.Second)) {
				continue
			}
			v += step
			s.put(at, v, "__name__=http_requests_total", "code="+code, "handler="+route, "pod="+pod, "namespace=shop", "instance="+pod, "job=pods")
			s.put(at, v, "__name__=http_request_duration_seconds_bucket", "le=+Inf", "handler="+route, "code="+code, "pod="+pod, "namespace=shop", "instance="+pod, "job=pods")
			s.put(at, v/2, "__name__=http_request_duration_seconds_bucket", "le=0.1", "handler="+route, "code="+code, "pod="+pod, "namespace=shop", "instance="+pod, "job=pods")
		}
	}
}

func TestTheBusiestRoutesAreToldApart(t *testing.T) {
	s := newStore()
	s.route(10, "/", "200")
	s.route(2, "/cart", "200")
	s.route(1, "/cart", "500")
	s.route(0.1, "/rare", "500")
	s.route(50, "/healthz", "200")
	res := readAll(t, s, worldSubject())
	got := map[string][2]release.Count{}
	for _, rd := range res.Readings {
		var rel, stable release.Count
		for _, st := range rd.Errors.Strata {
			at := got[st.Route]
			got[st.Route] = [2]release.Count{at[0].Add(st.Release), at[1].Add(st.Stable)}
			rel, stable = rel.Add(st.Release), stable.Add(st.Stable)
		}
		if rel != rd.Errors.Release.Count || stable != rd.Errors.Stable.Count {
			t.Fatalf("the strata add up to %+v and %+v, the arms are %+v and %+v", rel, stable, rd.Errors.Release.Count, rd.Errors.Stable.Count)
		}
		for i, st := range rd.Latency.Strata {
			if st.Route != rd.Errors.Strata[i].Route {
				t.Fatalf("latency's stratum %d is %q, that of errors %q", i, st.Route, rd.Errors.Strata[i].Route)
			}
		}
	}
	want := map[string][2]release.Count{
		"/":     {{Total: 210}, {Total: 240}},
		"/cart": {{Total: 63, Bad: 21}, {Total: 72, Bad: 24}},
		"":      {{Total: 2, Bad: 2}, {Total: 2, Bad: 2}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRoutesWithoutBoundMakeNoMoreStrataThanAllowed(t *testing.T) {
	s := newStore()
	for i := range 40 {
		s.route(float64(1+i%3), fmt.Sprintf("/item/%d", i), "200")
	}
	res := readAll(t, s, worldSubject())
	for _, rd := range res.Readings {
		if n := len(rd.Errors.Strata); n != maxStrata {
			t.Fatalf("%d strata, want %d", n, maxStrata)
		}
	}
}

func TestWithoutTrafficBeforeTheRolloutRoutesAreNotToldApart(t *testing.T) {
	s := newStore()
	s.scrapes(newPod, 5, "__name__=http_requests_total", "code=200", "handler=/")
	s.scrapes(newPod, 5, "__name__=http_requests_total", "code=200", "handler=/cart")
	for _, rd := range readAll(t, s, worldSubject()).Readings {
		if rd.Errors != nil && rd.Errors.Strata != nil {
			t.Fatalf("strata %+v", rd.Errors.Strata)
		}
	}
}

func TestStrataAreTheSameTickByTickAndInOneGo(t *testing.T) {
	s := newStore()
	s.route(10, "/", "200")
	s.route(3, "/cart", "500")
	r := newTestReader(t, s)
	var steady []Reading
	for at := epoch.Add(testTick); !at.After(epoch.Add(2 * time.Minute)); at = at.Add(testTick) {
		steady = append(steady, r.Read(context.Background(), at, []Subject{worldSubject()})["r1"].Readings...)
	}
	if diff := cmp.Diff(readAll(t, s, worldSubject()).Readings, steady); diff != "" {
		t.Error(diff)
	}
}

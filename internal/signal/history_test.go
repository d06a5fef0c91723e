package signal

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// past puts one counter of a pod, scraped every 5 s in the hour before epoch
// and for a minute after it, that grows by step at each scrape.
func (s *store) past(pod string, born time.Duration, step float64, pairs ...string) {
	v := 0.0
	for at := epoch.Add(born); !at.After(epoch.Add(time.Minute)); at = at.Add(5 * time.Second) {
		v += step
		s.put(at, v, append(pairs, "pod="+pod, "namespace=shop", "instance="+pod, "job=pods")...)
	}
}

func TestHistoryCountsTheWholeWorkloadBeforeTheRollout(t *testing.T) {
	s := newStore()
	requests := []string{"__name__=http_requests_total", "code=200"}
	s.past("web-stable-pod01", -time.Hour, 2, requests...)
	s.past("web-5c7bffbd-x2x4z", -time.Hour, 3, requests...)                   // an older ReplicaSet
	s.past("web-5c7bffbd-n2w4z", -7*time.Minute-3*time.Second, 1, requests...) // born within
	s.past("web-5c7bffbd-n2w4z", -7*time.Minute-3*time.Second, 1, "__name__=http_requests_total", "code=500")
	s.past("web-api-5c7bffbd-x2x4z", -time.Hour, 100, requests...) // another workload
	r := newTestReader(t, s)
	res := r.History(context.Background(), []Subject{worldSubject()}, 10*time.Minute)["r1"]
	if res.Err != nil || len(res.Readings) != 40 || res.Dialect != "prometheus" {
		t.Fatalf("%v, %d readings, dialect %q", res.Err, len(res.Readings), res.Dialect)
	}
	if first, last := res.Readings[0].From, res.Readings[39].To; !first.Equal(epoch.Add(-10*time.Minute)) || !last.Equal(epoch) {
		t.Errorf("of (%s, %s]", first, last)
	}
	rel, stable := totals(res)
	if rel != (release.Count{}) {
		t.Errorf("the release's side holds %+v", rel)
	}
	// 120 scrapes of 5 requests; 85 of the young pod, of 2 with one failed.
	if want := (release.Count{Total: 120*5 + 85*2, Bad: 85}); stable != want {
		t.Errorf("counted %+v, want %+v", stable, want)
	}
	if !strings.Contains(res.Queries[0].Expr, `web-[bcdf`) {
		t.Errorf("queries %v", res.Queries)
	}
}

func TestHistoryOfWorkloadsThatBeganAtDifferentTimesEndsAtEachOnesStart(t *testing.T) {
	s := newStore()
	s.past("web-stable-pod01", -time.Hour, 2, "__name__=http_requests_total", "code=200")
	early, late := worldSubject(), worldSubject()
	early.ID, early.StartedAt = "early", epoch.Add(-2*time.Minute-20*time.Second)
	res := newTestReader(t, s).History(context.Background(), []Subject{early, late}, 5*time.Minute)
	for id, end := range map[release.ID]time.Time{"early": epoch.Add(-150 * time.Second), "r1": epoch} {
		got := res[id].Readings
		if len(got) != 20 || !got[19].To.Equal(end) || !got[0].From.Equal(end.Add(-5*time.Minute)) {
			t.Errorf("%s: %d readings, the last ends %s, want %s", id, len(got), got[len(got)-1].To, end)
		}
		if _, stable := totals(res[id]); stable.Total != 120 {
			t.Errorf("%s: %+v", id, stable)
		}
	}
}

func TestHistoryThatCannotBeReadIsAnErrorAndLeavesNothingBehind(t *testing.T) {
	s := newStore()
	s.past("web-stable-pod01", -time.Hour, 2, "__name__=http_requests_total", "code=200")
	s.fail = func(string, time.Duration) error { return release.E(release.CodeUnavailable, "away", nil) }
	r := newTestReader(t, s)
	res := r.History(context.Background(), []Subject{worldSubject()}, 5*time.Minute)["r1"]
	if release.ErrorCode(res.Err) != release.CodeUnavailable || len(res.Readings) > 0 {
		t.Errorf("%v, %d readings", res.Err, len(res.Readings))
	}
	s.fail = nil
	res = r.History(context.Background(), []Subject{worldSubject()}, 5*time.Minute)["r1"]
	if _, stable := totals(res); res.Err != nil || stable.Total != 120 || len(r.live) != 0 {
		t.Errorf("%v %+v", res.Err, stable)
	}
}

func TestHistoryOfAWorkloadWithoutSamplesIsTicksWithoutCounts(t *testing.T) {
	res := newTestReader(t, newStore()).History(context.Background(), []Subject{worldSubject()}, time.Minute)["r1"]
	if res.Err != nil || len(res.Readings) != 4 || res.Readings[0].Errors != nil || res.Readings[3].Fresh {
		t.Errorf("%+v", res)
	}
}

func TestAnEarlierRolloutIsCountedAsItWasWhenItWasRead(t *testing.T) {
	s := newStore()
	s.past("web-stable-pod01", -time.Hour, 2, "__name__=http_requests_total", "code=200")
	s.past("web-5c7bffbd-x2x4z", -time.Hour, 3, "__name__=http_requests_total", "code=200")
	sub := worldSubject()
	sub.StartedAt, sub.Release, sub.Stable = epoch.Add(-20*time.Minute), "web-5c7bffbd", "web-stable"
	sub.Pods = nil
	r := newTestReader(t, s)
	res := r.Rollouts(context.Background(), []Subject{sub}, 10*time.Minute)[sub.ID]
	if res.Err != nil || len(res.Readings) != 40 {
		t.Fatalf("%v, %d readings", res.Err, len(res.Readings))
	}
	rel, stable := totals(res)
	if rel.Total != 120*3 || stable.Total != 120*2 {
		t.Errorf("counted %+v and %+v", rel, stable)
	}
	read := r.Read(context.Background(), res.Readings[39].To, []Subject{sub})[sub.ID]
	if diff := cmp.Diff(read.Readings, res.Readings); diff != "" {
		t.Errorf("read (-) and asked for later (+) differ:\n%s", diff)
	}
}

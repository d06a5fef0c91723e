package verify

import (
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

func TestSmallHarmIsFoundByTheLastLookWhenTheObservationEnds(t *testing.T) {
	const tick, ticks = 15 * time.Second, 120
	policy := testPolicy()
	policy.Observe = ticks * tick
	next, old := rs("new", 0, "v2"), rs("old", 0, "v1")
	v := newVerification(release.Release{
		ID: "r", Workload: release.Workload{Namespace: "shop", Name: "w", UID: "w"},
		ReplicaSet: next, Previous: &old, StartedAt: replayStart, SeenAt: replayStart, HistoryUntil: replayStart,
	}, policy, tick)
	counted := func(i int, c release.Count) signal.Reading {
		at := replayStart.Add(time.Duration(i) * tick)
		rd := signal.Reading{From: at, To: at.Add(tick), Fresh: true, Scraped: [2]bool{true, true}, Errors: &signal.Pair{}}
		arm := signal.Arm{Count: c, Pods: map[string]release.Count{"a": c}}
		if i < 0 {
			rd.Errors.Stable = arm
		} else {
			rd.Errors.Release = arm
		}
		return rd
	}
	var past []signal.Reading
	for i := range ticks {
		past = append(past, counted(i-ticks, release.Count{Total: 8}))
	}
	v.takeHistory(signal.Result{Readings: past}, replayStart)
	for i := range ticks {
		at := replayStart.Add(time.Duration(i+1) * tick)
		c := release.Count{Total: 8}
		if i%9 == 8 { // thirteen, none of them near another
			c.Bad = 1
		}
		v.take(signal.Result{Readings: []signal.Reading{counted(i, c)}}, at)
		v.last = conclude(v, at)
		if i < ticks-1 && (v.last.Final || v.last.Kind != release.Pending) {
			t.Fatalf("after %d ticks: %+v", i+1, v.last)
		}
	}
	if v.last.Kind != release.Regressed || !v.last.Final || v.last.EValue < v.last.Threshold ||
		v.last.DecidedAt == nil || !v.last.DecidedAt.Equal(replayStart.Add(policy.Observe)) || !strings.Contains(v.last.Reason, "last look") {
		t.Errorf("%+v", v.last)
	}
}

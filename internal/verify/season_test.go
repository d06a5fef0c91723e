package verify

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/judge"
	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestWhatHappensAtThisTimeOfTheDayIsNoReleasesFault(t *testing.T) {
	onset := replayStart.Add(2 * time.Minute)
	alone := func(failing float64) *world { // without stable pods, failing from its second minute on
		w := healthyWorld(5)
		w.historyFor, w.outage, w.outageFrom, w.rollout = time.Hour, failing, onset, time.Second
		return w
	}
	on := func(day int, failing float64) *world {
		w := healthyWorld(uint64(100 + day))
		w.historyFor, w.outage, w.outageFrom = time.Hour, failing, onset.Add(-time.Duration(day)*24*time.Hour)
		return w
	}
	days := func(failing ...float64) map[int]*world {
		out := map[int]*world{}
		for i, f := range failing {
			out[i+1] = on(i+1, f)
		}
		return out
	}
	for _, c := range []struct {
		says    string
		release *world
		days    map[int]*world
		want    release.VerdictKind
		why     string
	}{
		{"nothing is known of other days", alone(.05), nil, release.Regressed, ""},
		{"other days were well", alone(.05), days(0, 0, 0, 0, 0, 0, 0), release.Regressed, ""},
		{"so it was on most days", alone(.05), days(.05, .05, 0, .05, .05, .05, .05), release.InsufficientData, "as the workload does at this time of the day: so it was on 6 of the 7 days before that are known"},
		{"so it was on one day", alone(.05), days(.05, 0, 0, 0, 0, 0, 0), release.Regressed, ""},
		{"only two days are known", alone(.05), days(.05, .05), release.Regressed, ""},
		{"it is far worse than on other days", alone(.5), days(.05, .05, .05, .05, .05, .05, .05), release.Regressed, ""},
	} {
		t.Run(c.says, func(t *testing.T) {
			v := replayWith(t.Context(), c.release, testPolicy(), nil, func(src *simSource) {
				for day, w := range c.days {
					src.put(release.ID(fmt.Sprintf("day:%d:r", day)), w)
				}
			})
			if v.Kind != c.want || !strings.Contains(v.Reason, c.why) {
				t.Fatalf("%s: %s; %s, want %s, %q", v.Kind, v.Summary, v.Reason, c.want, c.why)
			}
			if c.want == release.InsufficientData && v.AffectedBy != release.Unreleased {
				t.Errorf("affected by %q", v.AffectedBy)
			}
		})
	}
}

func TestEarlierDaysAreNotAskedForOnceTheTimeIsUp(t *testing.T) {
	v := newVerification(release.Release{ID: "r", StartedAt: replayStart}, testPolicy(), simTick)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := v.readDays(ctx, replayStart.Add(time.Minute), nil); len(got) > 0 {
		t.Errorf("%d days", len(got))
	}
}

func TestWhatWasUsualStaysSoWhenItIsOverButNotWhenItGrows(t *testing.T) {
	v := newVerification(release.Release{ID: "r", StartedAt: replayStart}, testPolicy(), simTick)
	v.season = season{asked: replayStart, days: 7, worse: 6, most: 3}
	for _, c := range []struct {
		says   string
		e, low float64
		usual  bool
	}{
		{"nothing speaks against it yet", 1, 0.5, false},
		{"as bad as on other days", 2000, 4, true},
		{"it is over", 1, 0.5, true},
		{"far worse than on other days", 5000, 10, false},
	} {
		v.assessment = judge.Assessment{E: c.e, Threshold: 1000, Signals: []judge.SignalResult{{E: c.e, Effect: &release.Effect{Low: c.low}}}}
		if v.compareDays(); v.season.usual != c.usual {
			t.Errorf("%s: usual %v", c.says, v.season.usual)
		}
	}
}

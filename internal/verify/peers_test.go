package verify

import (
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// failing is a workload that does as ever until it fails 5 % from some time on.
func failing(seed uint64, from time.Time) *world {
	w := healthyWorld(seed)
	w.historyFor, w.outage, w.outageFrom = time.Hour, 0.05, from
	return w
}

func sound(seed uint64) *world {
	w := healthyWorld(seed)
	w.historyFor = time.Hour
	return w
}

func silent() *world {
	w := sound(1)
	w.rate = 0
	return w
}

func TestWhatHalfOfTheNamespaceSuffersIsNoReleasesFault(t *testing.T) {
	// The release is alone from the start and fails from its second minute on.
	onset := replayStart.Add(2 * time.Minute)
	alone := func() *world {
		w := failing(5, onset)
		w.rollout = time.Second
		return w
	}
	overlapping := func() *world { // its own pods fail, beside stable pods that do not
		w := healthyWorld(6)
		w.releaseErr, w.rollout = 0.2, 4*time.Minute
		return w
	}
	for _, c := range []struct {
		says    string
		release *world
		peers   map[string]*world
		want    release.VerdictKind
		why     string
	}{
		{"nobody else is there", alone(), nil, release.Regressed, ""},
		{"three others do well", alone(), map[string]*world{"a": sound(1), "b": sound(2), "c": sound(3)}, release.Regressed, ""},
		{"two of three others fail from then on", alone(), map[string]*world{"a": failing(1, onset), "b": failing(2, onset), "c": sound(3)}, release.InsufficientData, "so do 2 of the 3 other workloads of its namespace that were asked: a, b"},
		{"one of three others fails, perhaps because it calls the release", alone(), map[string]*world{"a": failing(1, onset), "b": sound(2), "c": sound(3)}, release.Regressed, ""},
		{"the only other fails", alone(), map[string]*world{"a": failing(1, onset)}, release.Regressed, ""},
		{"two others fail as they always did", alone(), map[string]*world{"a": failing(1, onset.Add(-10*time.Hour)), "b": failing(2, onset.Add(-10*time.Hour))}, release.Regressed, ""},
		{"two fail, and many that nobody calls are there", alone(), map[string]*world{"a": failing(1, onset), "b": failing(2, onset), "c": silent(), "d": silent(), "e": silent()}, release.InsufficientData, "2 of the 2"},
		{"all others fail, but its stable pods do better than its own", overlapping(), map[string]*world{"a": failing(1, onset), "b": failing(2, onset)}, release.Regressed, ""},
	} {
		t.Run(c.says, func(t *testing.T) {
			v := replayBeside(t.Context(), c.release, testPolicy(), c.peers)
			if v.Kind != c.want || !strings.Contains(v.Reason, c.why) {
				t.Fatalf("%s: %s; %s, want %s, %q", v.Kind, v.Summary, v.Reason, c.want, c.why)
			}
			if c.want == release.InsufficientData && v.AffectedBy != release.Unreleased {
				t.Errorf("affected by %q", v.AffectedBy)
			}
		})
	}
}

func TestThoseThatCallAReleaseAreNotAskedHowTheyDo(t *testing.T) {
	v := newVerification(release.Release{Workload: release.Workload{Namespace: "shop", Name: "cart"}, StartedAt: replayStart}, testPolicy(), simTick)
	v.calledBy = []string{"shop/web-6d5f7c", "other/stock-abc"}
	subjects, length := v.peerSubjects([]string{"cart", "mail", "stock", "web"}, replayStart.Add(5*time.Minute))
	var names []string
	for _, s := range subjects {
		names = append(names, s.Workload)
	}
	if got := strings.Join(names, " "); got != "mail stock" {
		t.Errorf("asked: %s", got)
	}
	if want := 5*time.Minute + peersBefore + testPolicy().History; length != want {
		t.Errorf("over %s, want %s", length, want)
	}
}

func TestAPeerThatCannotBeReadExcusesNobody(t *testing.T) {
	v := newVerification(release.Release{Workload: release.Workload{Namespace: "shop", Name: "cart"}, StartedAt: replayStart}, testPolicy(), simTick)
	now := replayStart.Add(5 * time.Minute)
	subjects, _ := v.peerSubjects([]string{"a", "b", "c"}, now)
	v.hearPeers(v.judgePeers(t.Context(), subjects, map[release.ID]signal.Result{
		subjects[0].ID: {Err: release.E(release.CodeUnavailable, "away", nil)},
		subjects[1].ID: {},
	}), now)
	if v.peers.serving != 0 || v.peers.excuse() {
		t.Errorf("%+v", v.peers)
	}
}

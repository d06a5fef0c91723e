package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// desk is everything around signals: one workload, its releases in a list.
type desk struct {
	live     []store.Record
	observed map[release.ID]release.Observation
	standing release.Observation
	rollout  release.Rollout
	policy   release.Policy
	faults   []error
	// err is the answer of what it names: "store", "release", "workload", "survey".
	err map[string]error

	asked  signal.Subject
	length time.Duration
}

func (d *desk) Releases(_ context.Context, f store.Filter) ([]store.Record, error) {
	var out []store.Record
	for _, r := range d.live {
		if r.Release.Workload.Namespace == f.Namespace && r.Release.Workload.Name == f.Workload && f.Live != nil && *f.Live {
			r.Policy, r.Verdict.Evidence = release.Policy{}, nil // Release has them
			out = append(out, r)
		}
	}
	return out, d.err["store"]
}

func (d *desk) Release(_ context.Context, id release.ID) (store.Record, error) {
	for _, r := range d.live {
		if r.Release.ID == id {
			return r, d.err["release"]
		}
	}
	return store.Record{}, release.E(release.CodeNotFound, "release "+string(id)+" is not known", nil)
}

func (d *desk) Observe(id release.ID) (release.Observation, bool) {
	o, ok := d.observed[id]
	return o, ok
}

func (d *desk) Workload(_ context.Context, namespace, name string) (release.Rollout, release.Observation, error) {
	if namespace != "shop" || name != "webapp" {
		return release.Rollout{}, release.Observation{}, release.E(release.CodeNotFound, "there is no such Deployment", nil)
	}
	return d.rollout, d.standing, d.err["workload"]
}

func (d *desk) PolicyFor(string, string, map[string]string) (release.Policy, []error) {
	return d.policy, d.faults
}

func (d *desk) Survey(_ context.Context, s signal.Subject, _ time.Time, length time.Duration) (release.SignalReport, error) {
	d.asked, d.length = s, length
	return release.SignalReport{Notes: []string{"seen"}, Release: s.Release, Stable: s.Stable}, d.err["survey"]
}

var began = time.Date(2026, 3, 2, 10, 15, 0, 0, time.UTC)

func newDesk() *desk {
	w := release.Workload{Cluster: "c", Namespace: "shop", Name: "webapp", UID: "w"}
	current := release.ReplicaSet{Name: "webapp-b", UID: "rs-b", CreatedAt: began}
	previous := release.ReplicaSet{Name: "webapp-a", UID: "rs-a"}
	ready := began.Add(time.Minute)
	d := &desk{
		rollout: release.Rollout{Workload: w, Current: current},
		policy:  release.DefaultPolicy(),
		observed: map[release.ID]release.Observation{"r": {
			Exists: true, Services: []string{"web"},
			Release: release.ArmState{Pods: []release.Pod{{Name: "webapp-b-1", IP: "10.0.0.1", CreatedAt: began, ReadyAt: &ready}}},
			Stable:  release.ArmState{Pods: []release.Pod{{Name: "webapp-a-1"}}},
		}},
		standing: release.Observation{Services: []string{"web"}, Stable: release.ArmState{Pods: []release.Pod{{Name: "webapp-b-1"}}}},
		err:      map[string]error{},
	}
	policy := release.DefaultPolicy()
	policy.Custom = []release.CustomSignal{{Name: "orders", Counter: "orders_total"}}
	d.live = []store.Record{{
		Release: release.Release{ID: "r", Workload: w, ReplicaSet: current, Previous: &previous, StartedAt: began},
		Policy:  policy,
	}}
	return d
}

func (d *desk) signals() *signals {
	return newSignals("c", d, d, d, d)
}

func TestALiveReleaseIsSurveyedByItsArms(t *testing.T) {
	d := newDesk()
	report, err := d.signals().Signals(t.Context(), "shop", "webapp")
	if err != nil {
		t.Fatal(err)
	}
	want := signal.Subject{
		ID: "r", Namespace: "shop", Workload: "webapp", Release: "webapp-b", Stable: "webapp-a", StartedAt: began,
		Custom: d.live[0].Policy.Custom, Services: []string{"web"},
		Pods: []signal.Pod{
			{Name: "webapp-b-1", IP: "10.0.0.1", Arm: release.ArmRelease, CreatedAt: began, ReadyAt: began.Add(time.Minute)},
			{Name: "webapp-a-1", Arm: release.ArmStable},
		},
	}
	if diff := cmp.Diff(want, d.asked); diff != "" {
		t.Errorf("subject (-want +got):\n%s", diff)
	}
	if report.Workload != d.rollout.Workload || d.length <= 0 {
		t.Errorf("report %+v over %s", report, d.length)
	}
}

func TestAWorkloadWithoutALiveReleaseIsSurveyedAsItStands(t *testing.T) {
	tests := map[string]func(*desk){
		"no release was ever seen":               func(d *desk) { d.live = nil },
		"a release that nobody follows any more": func(d *desk) { d.observed = nil },
		"a release of a Deployment made anew":    func(d *desk) { d.observed = map[release.ID]release.Observation{"r": {}} },
		"a release on another cluster":           func(d *desk) { d.live[0].Release.Workload.Cluster = "other" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDesk()
			d.policy.Custom = []release.CustomSignal{{Name: "queue", Gauge: "queue_length"}}
			change(d)
			if _, err := d.signals().Signals(t.Context(), "shop", "webapp"); err != nil {
				t.Fatal(err)
			}
			want := signal.Subject{
				ID: release.NewID("c", "w", "rs-b"), Namespace: "shop", Workload: "webapp", Stable: "webapp-b", StartedAt: began,
				Custom: d.policy.Custom, Services: []string{"web"}, Pods: []signal.Pod{{Name: "webapp-b-1", Arm: release.ArmStable}},
			}
			if diff := cmp.Diff(want, d.asked); diff != "" {
				t.Errorf("subject (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatThePolicySaysIsNoted(t *testing.T) {
	d := newDesk()
	d.live = nil
	d.policy.Ignore, d.policy.Name = true, "batch"
	d.faults = []error{errors.New("watchtower.dev/observe: \"soon\" is no duration")}
	report, err := d.signals().Signals(t.Context(), "shop", "webapp")
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(report.Notes, "\n")
	for _, want := range []string{"seen", `"soon" is no duration`, `Policy "batch" ignores this workload`} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes %q lack %q", notes, want)
		}
	}
}

// queue is a source that answers when it is told to.
type queue struct{ asked, answer chan struct{} }

func (q queue) Survey(context.Context, signal.Subject, time.Time, time.Duration) (release.SignalReport, error) {
	q.asked <- struct{}{}
	<-q.answer
	return release.SignalReport{}, nil
}

func TestTheSourceIsAskedForOneWorkloadAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, q := newDesk(), queue{make(chan struct{}, 3), make(chan struct{})}
		s := newSignals("c", d, d, d, q)
		answers := make(chan error, 3)
		ask := func(ctx context.Context) {
			_, err := s.Signals(ctx, "shop", "webapp")
			answers <- err
		}
		go ask(t.Context())
		synctest.Wait()
		impatient, cancel := context.WithCancel(t.Context())
		go ask(impatient)
		go ask(t.Context())
		synctest.Wait()
		if n := len(q.asked); n != 1 {
			t.Errorf("the source is asked %d times at once", n)
		}
		cancel()
		if err := <-answers; release.ErrorCode(err) != release.CodeUnavailable || len(q.asked) != 1 {
			t.Errorf("whoever stops waiting gets %v after %d questions", err, len(q.asked))
		}
		close(q.answer)
		for range 2 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		if n := len(q.asked); n != 2 {
			t.Errorf("the source was asked %d times for two answers", n)
		}
	})
}

func TestErrorsOfEachPartAreHandedOn(t *testing.T) {
	for _, part := range []string{"store", "release", "workload", "survey"} {
		d := newDesk()
		if part == "workload" {
			d.live = nil // the release that is watched tells
		}
		d.err[part] = release.E(release.CodeUnavailable, part+" is away", nil)
		if _, err := d.signals().Signals(t.Context(), "shop", "webapp"); !errors.Is(err, d.err[part]) {
			t.Errorf("%s: error %v", part, err)
		}
	}
	if _, err := newDesk().signals().Signals(t.Context(), "shop", "none"); release.ErrorCode(err) != release.CodeNotFound {
		t.Errorf("an unknown workload: %v", err)
	}
}

package app

import (
	"context"
	"fmt"
	"time"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// surveyLength is how far back the current values of signals reach: long enough
// for a few scrapes, short enough to be called current.
const surveyLength = 5 * time.Minute

// workloads is the cluster as signals needs it.
type workloads interface {
	// Observe tells how a release stands that is watched, false when it is not.
	Observe(id release.ID) (release.Observation, bool)
	// Workload tells how a workload stands that has no live release; its pods are
	// the Stable arm. Errors are *release.Error.
	Workload(ctx context.Context, namespace, name string) (release.Rollout, release.Observation, error)
}

// releases finds releases, newest first.
type releases interface {
	Releases(ctx context.Context, f store.Filter) ([]store.Record, error)
	Release(ctx context.Context, id release.ID) (store.Record, error)
}

// policyOf gives the policy in force, with what of its annotations cannot be
// read.
type policyOf interface {
	PolicyFor(namespace, workload string, annotations map[string]string) (release.Policy, []error)
}

// surveyor looks at what is measured of a subject. Errors are *release.Error.
type surveyor interface {
	Survey(ctx context.Context, s signal.Subject, at time.Time, length time.Duration) (release.SignalReport, error)
}

// signals tells what is measured of a workload.
type signals struct {
	cluster  string
	watcher  workloads
	store    releases
	policies policyOf
	source   surveyor
	// turn holds whoever asks the source: one at a time, so that people who look
	// leave its share of queries to the releases that are judged.
	turn chan struct{}
}

func newSignals(cluster string, w workloads, st releases, p policyOf, source surveyor) *signals {
	return &signals{cluster: cluster, watcher: w, store: st, policies: p, source: source, turn: make(chan struct{}, 1)}
}

var _ api.Signals = (*signals)(nil)

// Signals looks at a workload's release while one is watched, otherwise at the
// workload as it stands.
func (s *signals) Signals(ctx context.Context, namespace, workload string) (release.SignalReport, error) {
	rec, obs, err := s.live(ctx, namespace, workload)
	if err != nil {
		return release.SignalReport{}, err
	}
	var asked question
	if rec != nil {
		asked = ofRelease(rec.Release, rec.Policy, obs)
	} else if asked, err = s.ofWorkload(ctx, namespace, workload); err != nil {
		return release.SignalReport{}, err
	}
	report, err := s.survey(ctx, asked.subject)
	if err != nil {
		return release.SignalReport{}, err
	}
	report.Workload = asked.workload
	report.Notes = append(report.Notes, asked.notes...)
	return report, nil
}

func (s *signals) survey(ctx context.Context, subject signal.Subject) (release.SignalReport, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return release.SignalReport{}, release.E(release.CodeUnavailable, "others are asking for signals: try again in a moment", ctx.Err())
	}
	return s.source.Survey(ctx, subject, time.Now(), surveyLength)
}

// live is the workload's release that is watched, nil when there is none.
func (s *signals) live(ctx context.Context, namespace, workload string) (*store.Record, release.Observation, error) {
	yes := true
	found, err := s.store.Releases(ctx, store.Filter{Namespace: namespace, Workload: workload, Live: &yes})
	if err != nil {
		return nil, release.Observation{}, err
	}
	for _, listed := range found {
		id := listed.Release.ID
		if listed.Release.Workload.Cluster != s.cluster {
			continue
		}
		// Of a Deployment that was deleted, or made anew, another release is live.
		if obs, ok := s.watcher.Observe(id); ok && obs.Exists {
			rec, err := s.store.Release(ctx, id)
			return &rec, obs, err
		}
	}
	return nil, release.Observation{}, nil
}

// question is what a survey is asked, and what is to be told with its answer.
type question struct {
	workload release.Workload
	subject  signal.Subject
	notes    []string
}

func ofRelease(r release.Release, p release.Policy, obs release.Observation) question {
	s := signal.Subject{
		ID: r.ID, Namespace: r.Workload.Namespace, Workload: r.Workload.Name,
		Release: r.ReplicaSet.Name, StartedAt: r.StartedAt, Custom: p.Custom, Services: obs.Services,
		Pods: append(signal.PodsOf(obs.Release, release.ArmRelease), signal.PodsOf(obs.Stable, release.ArmStable)...),
	}
	if r.Previous != nil {
		s.Stable = r.Previous.Name
	}
	return question{workload: r.Workload, subject: s}
}

func (s *signals) ofWorkload(ctx context.Context, namespace, workload string) (question, error) {
	r, obs, err := s.watcher.Workload(ctx, namespace, workload)
	if err != nil {
		return question{}, err
	}
	policy, faults := s.policies.PolicyFor(namespace, workload, r.Annotations)
	q := question{workload: r.Workload, subject: signal.Subject{
		ID:        release.NewID(s.cluster, r.Workload.UID, r.Current.UID),
		Namespace: namespace, Workload: workload, Stable: r.Current.Name, StartedAt: r.Current.CreatedAt,
		Custom: policy.Custom, Services: obs.Services, Pods: signal.PodsOf(obs.Stable, release.ArmStable),
	}}
	for _, fault := range faults {
		q.notes = append(q.notes, fmt.Sprintf("An annotation cannot be read: %v.", fault))
	}
	if policy.Ignore {
		q.notes = append(q.notes, fmt.Sprintf("Policy %q ignores this workload: its releases are not judged.", policy.Name))
	}
	return q, nil
}

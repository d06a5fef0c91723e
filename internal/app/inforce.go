package app

import (
	"context"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// inForce asks whatever watches the cluster now.
type inForce struct{ app *app }

var errNoCaches = release.E(release.CodeUnavailable, "the caches of the cluster are not filled yet", nil)

func (f inForce) term() (*term, error) {
	if t := f.app.current.Load(); t != nil {
		return t, nil
	}
	return nil, errNoCaches
}

// Observe tells how a release stands that is watched.
func (f inForce) Observe(id release.ID) (release.Observation, bool) {
	t, err := f.term()
	if err != nil {
		return release.Observation{}, false
	}
	return t.watcher.Observe(id)
}

// Workload tells how a workload stands that has no live release.
func (f inForce) Workload(ctx context.Context, namespace, name string) (release.Rollout, release.Observation, error) {
	t, err := f.term()
	if err != nil {
		return release.Rollout{}, release.Observation{}, err
	}
	return t.watcher.Workload(ctx, namespace, name)
}

// Survey looks at what is measured of a subject.
func (f inForce) Survey(ctx context.Context, s signal.Subject, at time.Time, length time.Duration) (release.SignalReport, error) {
	t, err := f.term()
	if err != nil {
		return release.SignalReport{}, err
	}
	return t.source.Survey(ctx, s, at, length)
}

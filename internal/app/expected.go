package app

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/route"
	"github.com/watchtower-verify/watchtower/internal/sink/alertmanager"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// quieter makes and ends silences.
type quieter interface {
	Quieten(ctx context.Context, q alertmanager.Quiet) error
	Lift(ctx context.Context, key string) error
}

// expected silences the alerts that rollouts are expected to raise, for as long
// as they are verified: once a verdict has fallen people hear of them. What is
// silenced when Watchtower dies lapses by itself.
type expected struct {
	matchers labels.Matchers
	lasts    time.Duration
	live     func(ctx context.Context) ([]store.Record, error)
	at       quieter
	log      *slog.Logger

	renewed map[release.ID]time.Time // when the silence was last asked for
}

// lookForRollouts is how often there may be a new rollout.
const lookForRollouts = 5 * time.Second

func newExpected(cfg *config.Expected, at quieter, live func(ctx context.Context) ([]store.Record, error), log *slog.Logger) (*expected, error) {
	e := &expected{lasts: cfg.For, live: live, at: at, log: log, renewed: map[release.ID]time.Time{}}
	for _, text := range cfg.Matchers {
		ms, err := route.ParseMatchers(text)
		if err != nil {
			return nil, release.E(release.CodeInvalid, "alertmanager.expected.matchers", err)
		}
		e.matchers = append(e.matchers, ms...)
	}
	return e, nil
}

// run keeps silences until ctx ends.
func (e *expected) run(ctx context.Context) error { return rounds(ctx, 0, lookForRollouts, e.look) }

// look makes the silences of new rollouts, renews those of others, and ends
// those of rollouts that are verified no more.
func (e *expected) look(ctx context.Context) {
	live, err := e.live(ctx)
	if err != nil {
		return // the store says so itself
	}
	still := map[release.ID]bool{}
	for _, rec := range live {
		id := rec.Release.ID
		still[id] = true
		if time.Since(e.renewed[id]) < e.lasts/4 || rec.Policy.Ignore {
			continue
		}
		if err := e.quieten(ctx, rec.Release); err != nil {
			e.tell(ctx, "alerts that a rollout is expected to raise are not silenced", id, err)
			continue
		}
		e.renewed[id] = time.Now()
	}
	for id := range e.renewed {
		if still[id] {
			continue
		}
		if err := e.at.Lift(ctx, release.MessageKey(id)); err != nil {
			e.tell(ctx, "a silence is not ended; it lapses by itself", id, err)
			if time.Since(e.renewed[id]) < e.lasts {
				continue
			}
		}
		delete(e.renewed, id)
	}
}

func (e *expected) tell(ctx context.Context, what string, id release.ID, err error) {
	if ctx.Err() == nil {
		e.log.Warn(what, "release", id, "err", err)
	}
}

func (e *expected) quieten(ctx context.Context, rel release.Release) error {
	w := rel.Workload
	namespace, err := labels.NewMatcher(labels.MatchEqual, "namespace", w.Namespace)
	if err != nil {
		return err
	}
	q := alertmanager.Quiet{
		Key: release.MessageKey(rel.ID), Matchers: labels.Matchers{namespace}, For: e.lasts,
		Why: "Watchtower verifies the rollout of " + w.String() + " to " + release.Version(rel.ReplicaSet.Images),
	}
	for _, m := range e.matchers {
		name := w.Name
		if m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp {
			name = regexp.QuoteMeta(name)
		}
		one, err := labels.NewMatcher(m.Type, m.Name, strings.ReplaceAll(m.Value, "{workload}", name))
		if err != nil {
			return err
		}
		q.Matchers = append(q.Matchers, one)
	}
	return e.at.Quieten(ctx, q)
}

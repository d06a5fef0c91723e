package alertmanager

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/prometheus/alertmanager/api/v2/models"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	author = "watchtower"
	// silencesFor is how long a list of silences counts.
	silencesFor = 10 * time.Second
	maxQuiet    = 6 * time.Hour
)

// Silence is one of Alertmanager's that matches.
type Silence struct {
	ID, CreatedBy, Comment string
	EndsAt                 time.Time
}

// silences are those that are active, as last seen, and our own.
type silences struct {
	mu     sync.Mutex
	at     time.Time
	active []silence
}

type silence struct {
	Silence
	matchers labels.Matchers
}

// Silenced answers the silence that matches the labels, nil without one. A
// label that is missing is empty, as in Alertmanager. Those of Quieten do not
// count: they are for the alerts of others. What it answers is ten seconds old at
// most.
//
// Its error, a *release.Error, is that no instance could say. Whether somebody
// is told nevertheless is the caller's to decide.
func (s *Sink) Silenced(ctx context.Context, set map[string]string) (*Silence, error) {
	s.silences.mu.Lock()
	defer s.silences.mu.Unlock()
	if s.silences.at.IsZero() || time.Since(s.silences.at) >= silencesFor {
		active, err := s.list(ctx)
		if err != nil {
			return nil, err
		}
		s.silences.active, s.silences.at = active, time.Now()
	}
	for _, each := range s.silences.active {
		if each.CreatedBy != author && each.EndsAt.After(time.Now()) && each.matches(set) {
			return &each.Silence, nil
		}
	}
	return nil, nil
}

func (s silence) matches(set map[string]string) bool {
	return !slices.ContainsFunc(s.matchers, func(m *labels.Matcher) bool { return !m.Matches(set[m.Name]) })
}

// list asks the instances for the active silences, one after another until one
// answers: they tell one another of silences.
func (s *Sink) list(ctx context.Context) (out []silence, err error) {
	var got models.GettableSilences
	if err := s.any(ctx, "list silences", http.MethodGet, "/api/v2/silences", nil, &got); err != nil {
		return nil, err
	}
	for _, g := range got {
		if g.ID == nil || g.EndsAt == nil || g.Status == nil || g.Status.State == nil || *g.Status.State != models.SilenceStatusStateActive {
			continue
		}
		each := silence{Silence: Silence{ID: *g.ID, EndsAt: time.Time(*g.EndsAt)}}
		if g.Comment != nil {
			each.Comment = *g.Comment
		}
		if g.CreatedBy != nil {
			each.CreatedBy = *g.CreatedBy
		}
		if each.matchers, err = matchersOf(g.Matchers); err == nil && len(each.matchers) > 0 {
			out = append(out, each)
		}
	}
	return out, nil
}

func matchersOf(in models.Matchers) (labels.Matchers, error) {
	var out labels.Matchers
	for _, m := range in {
		if m == nil || m.Name == nil || m.Value == nil {
			continue
		}
		regex, equal := m.IsRegex != nil && *m.IsRegex, m.IsEqual == nil || *m.IsEqual
		kind := map[[2]bool]labels.MatchType{
			{false, true}: labels.MatchEqual, {false, false}: labels.MatchNotEqual, {true, true}: labels.MatchRegexp, {true, false}: labels.MatchNotRegexp,
		}[[2]bool{regex, equal}]
		one, err := labels.NewMatcher(kind, *m.Name, *m.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// Quiet is a short silence of the alerts that a rollout is expected to raise.
type Quiet struct {
	// Key is the same for all calls of a rollout; it stands in the silence's
	// comment, by which the silence is found again.
	Key      string
	Matchers labels.Matchers
	// For is how long it lasts without another call; six hours at most.
	For time.Duration
	Why string // for people
}

// Quieten makes the silence of a rollout, or lets it last longer once half its
// time is over. Called again and again while a rollout is verified it holds;
// when the calls end it lapses by itself. Watchtower's own alerts are never
// silenced by it.
func (s *Sink) Quieten(ctx context.Context, q Quiet) error {
	if len(q.Matchers) == 0 || q.For <= 0 || q.For > maxQuiet {
		return release.E(release.CodeInvalid, "a silence needs matchers and lasts up to six hours", nil)
	}
	id, until, err := s.own(ctx, q.Key)
	now := time.Now()
	if err != nil || until.Sub(now) > q.For/2 {
		return err
	}
	comment := strings.TrimSpace(release.OneLine(q.Why, 500)) + " " + marker(q.Key)
	by, starts, ends := author, strfmt.DateTime(now.UTC()), strfmt.DateTime(now.Add(q.For).UTC())
	body := models.PostableSilence{ID: id, Silence: models.Silence{Comment: &comment, CreatedBy: &by, StartsAt: &starts, EndsAt: &ends}}
	ours, err := labels.NewMatcher(labels.MatchNotRegexp, "alertname", "Watchtower.*")
	if err != nil {
		return release.E(release.CodeInternal, "make a silence", err)
	}
	for _, m := range append(slices.Clone(q.Matchers), ours) {
		regex, equal := m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp, m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp
		body.Matchers = append(body.Matchers, &models.Matcher{Name: &m.Name, Value: &m.Value, IsRegex: &regex, IsEqual: &equal})
	}
	return s.any(ctx, "make a silence", http.MethodPost, "/api/v2/silences", body, nil)
}

// Lift ends the silence of a rollout before its time, where there is one.
func (s *Sink) Lift(ctx context.Context, key string) error {
	id, _, err := s.own(ctx, key)
	if err != nil || id == "" {
		return err
	}
	err = s.any(ctx, "end a silence", http.MethodDelete, "/api/v2/silence/"+id, nil, nil)
	if outbound.Status(err) == http.StatusNotFound {
		return nil
	}
	return err
}

// own is the silence of a key, "" without one.
func (s *Sink) own(ctx context.Context, key string) (id string, until time.Time, err error) {
	active, err := s.list(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	for _, each := range active {
		if each.CreatedBy == author && strings.HasSuffix(each.Comment, marker(key)) {
			return each.ID, each.EndsAt, nil
		}
	}
	return "", time.Time{}, nil
}

func marker(key string) string { return "[" + release.OneLine(key, 300) + "]" }

// any asks one instance after another until one answers.
func (s *Sink) any(ctx context.Context, what, method, path string, in, out any) error {
	instances, err := s.found.instances(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, at := range instances {
		err := at.client.Do(ctx, what, method, at.url+path, in, out)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return whole(what+": no Alertmanager did", errs)
}

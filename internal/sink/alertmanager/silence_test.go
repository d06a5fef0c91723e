package alertmanager

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/prometheus/alertmanager/api/v2/models"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// quiet is the part of an Alertmanager that keeps silences. It refuses what the
// real one refuses.
type quiet struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	status int // 0: answer
	lists  int
	next   int
	held   []*models.GettableSilence
}

func newQuiet(t *testing.T) *quiet {
	q := &quiet{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v2/silences", func(w http.ResponseWriter, _ *http.Request) {
		q.lists++
		now := time.Now()
		for _, s := range q.held {
			if state := models.SilenceStatusStateExpired; !time.Time(*s.EndsAt).After(now) {
				s.Status.State = &state
			}
		}
		_ = json.NewEncoder(w).Encode(q.held)
	})
	mux.HandleFunc("POST /api/v2/silences", q.post)
	mux.HandleFunc("DELETE /api/v2/silence/{id}", func(w http.ResponseWriter, r *http.Request) {
		before := len(q.held)
		q.held = slices.DeleteFunc(q.held, func(s *models.GettableSilence) bool { return *s.ID == r.PathValue("id") })
		if len(q.held) == before {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.status != 0 {
			w.WriteHeader(q.status)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	q.url = srv.URL
	return q
}

func (q *quiet) post(w http.ResponseWriter, r *http.Request) {
	var in models.PostableSilence
	dec := json.NewDecoder(r.Body)
	if err := dec.Decode(&in); err != nil || in.Validate(strfmt.Default) != nil || !time.Time(*in.EndsAt).After(time.Time(*in.StartsAt)) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id := in.ID
	if id == "" {
		q.next++
		id = "silence-" + strconv.Itoa(q.next)
	} else if !slices.ContainsFunc(q.held, func(s *models.GettableSilence) bool { return *s.ID == id }) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	q.held = slices.DeleteFunc(q.held, func(s *models.GettableSilence) bool { return *s.ID == id })
	q.hold(id, in.Silence)
	_ = json.NewEncoder(w).Encode(map[string]string{"silenceID": id})
}

func (q *quiet) hold(id string, s models.Silence) {
	state, now := models.SilenceStatusStateActive, strfmt.DateTime(time.Now())
	q.held = append(q.held, &models.GettableSilence{ID: &id, Silence: s, UpdatedAt: &now, Status: &models.SilenceStatus{State: &state}})
}

// person makes a silence as somebody does in Alertmanager's page.
func (q *quiet) person(id string, lasts time.Duration, matchers ...*models.Matcher) {
	q.mu.Lock()
	defer q.mu.Unlock()
	by, comment, from, to := "ada", "we know", strfmt.DateTime(time.Now()), strfmt.DateTime(time.Now().Add(lasts))
	q.hold(id, models.Silence{CreatedBy: &by, Comment: &comment, StartsAt: &from, EndsAt: &to, Matchers: matchers})
}

func (q *quiet) fail(status int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.status = status
}

func matcher(name, value string, regex, equal bool) *models.Matcher {
	return &models.Matcher{Name: &name, Value: &value, IsRegex: &regex, IsEqual: &equal}
}

func equals(t *testing.T, name, value string) *labels.Matcher {
	t.Helper()
	m, err := labels.NewMatcher(labels.MatchEqual, name, value)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestASilenceThatMatchesIsFound(t *testing.T) {
	set := map[string]string{"namespace": "shop", "workload": "webapp", "severity": "critical"}
	for title, c := range map[string]struct {
		matchers []*models.Matcher
		want     bool
	}{
		"all match":                          {[]*models.Matcher{matcher("namespace", "shop", false, true), matcher("workload", "web.*", true, true)}, true},
		"one does not":                       {[]*models.Matcher{matcher("namespace", "shop", false, true), matcher("workload", "other", false, true)}, false},
		"a pattern matches the whole value":  {[]*models.Matcher{matcher("workload", "web", true, true)}, false},
		"unequal":                            {[]*models.Matcher{matcher("workload", "other", false, false), matcher("namespace", "shop", false, true)}, true},
		"not the pattern":                    {[]*models.Matcher{matcher("workload", "web.*", true, false)}, false},
		"a label that is missing is empty":   {[]*models.Matcher{matcher("team", "", false, true)}, true},
		"a label that is missing is no team": {[]*models.Matcher{matcher("team", "shop", false, true)}, false},
		"without matchers it matches none":   {nil, false},
	} {
		t.Run(title, func(t *testing.T) {
			q := newQuiet(t)
			q.person("s1", time.Hour, c.matchers...)
			got, err := newSink(t, Config{URLs: []string{q.url}}).Silenced(t.Context(), set)
			if err != nil || (got != nil) != c.want {
				t.Fatalf("got %+v, %v", got, err)
			}
			if got != nil && (got.ID != "s1" || got.CreatedBy != "ada" || got.Comment != "we know") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestSilencesAreAskedForOnceInAWhile(t *testing.T) {
	q := newQuiet(t)
	s := newSink(t, Config{URLs: []string{q.url}})
	for range 5 {
		if _, err := s.Silenced(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if q.lists != 1 {
		t.Errorf("asked %d times", q.lists)
	}
}

func TestAnotherInstanceSaysWhatOneCannot(t *testing.T) {
	a, b := newQuiet(t), newQuiet(t)
	a.fail(503)
	b.person("s1", time.Hour, matcher("namespace", "shop", false, true))
	s := newSink(t, Config{URLs: []string{a.url, b.url}})
	if got, err := s.Silenced(t.Context(), map[string]string{"namespace": "shop"}); err != nil || got == nil {
		t.Errorf("got %+v, %v", got, err)
	}
	b.fail(503)
	if _, err := newSink(t, Config{URLs: []string{a.url, b.url}}).Silenced(t.Context(), nil); release.ErrorCode(err) != release.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestARolloutsSilenceIsOneIsRenewedAndLapses(t *testing.T) {
	q := newQuiet(t)
	cfg := Config{URLs: []string{q.url}}
	rule := Quiet{
		Key: "watchtower/abc", Matchers: labels.Matchers{equals(t, "namespace", "shop")}, For: 2 * time.Second, Why: "shop/webapp is being rolled out",
	}
	for range 3 { // the second and third as after a crash
		if err := newSink(t, cfg).Quieten(t.Context(), rule); err != nil {
			t.Fatal(err)
		}
	}
	if len(q.held) != 1 || q.next != 1 {
		t.Fatalf("%d silences, %d made", len(q.held), q.next)
	}
	first := *q.held[0]
	if *first.CreatedBy != author || !strings.Contains(*first.Comment, rule.Why) {
		t.Errorf("got %+v", first)
	}
	s := newSink(t, cfg)
	made, err := s.list(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"HighErrorRate": true, "WatchtowerReleaseRegressed": false} {
		if got := made[0].matches(map[string]string{"namespace": "shop", "alertname": name}); got != want {
			t.Errorf("%s is silenced: %v", name, got)
		}
	}
	if got, err := s.Silenced(t.Context(), map[string]string{"namespace": "shop"}); err != nil || got != nil {
		t.Errorf("Watchtower silences itself: %+v, %v", got, err)
	}
	// Once half of it is over it is made longer, under the same id.
	half := time.Now().Add(rule.For/2 - 10*time.Millisecond)
	q.mu.Lock()
	ends := strfmt.DateTime(half)
	q.held[0].EndsAt = &ends
	q.mu.Unlock()
	if err := newSink(t, cfg).Quieten(t.Context(), rule); err != nil || len(q.held) != 1 || q.next != 1 || !time.Time(*q.held[0].EndsAt).After(half) {
		t.Errorf("%d silences, %d made, until %v: %v", len(q.held), q.next, q.held[0].EndsAt, err)
	}
	for range 2 {
		if err := newSink(t, cfg).Lift(t.Context(), rule.Key); err != nil || len(q.held) != 0 {
			t.Errorf("%d silences after the end: %v", len(q.held), err)
		}
	}
}

func TestASilenceOfEverythingOrForLongIsRefused(t *testing.T) {
	q := newQuiet(t)
	s := newSink(t, Config{URLs: []string{q.url}})
	one := labels.Matchers{equals(t, "a", "b")}
	for _, rule := range []Quiet{{Key: "k", For: time.Minute}, {Key: "k", Matchers: one}, {Key: "k", Matchers: one, For: 7 * time.Hour}} {
		if err := s.Quieten(t.Context(), rule); release.ErrorCode(err) != release.CodeInvalid || len(q.held) != 0 {
			t.Errorf("%+v: %v", rule, err)
		}
	}
}

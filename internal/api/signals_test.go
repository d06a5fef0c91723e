package api_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const signalsOfWebapp = "/api/v1/workloads/shop/webapp/signals"

func TestSignalsOfAWorkload(t *testing.T) {
	w := newSite(t).do(t, "GET", signalsOfWebapp)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	want := apitest.SampleReports().Of["shop/webapp"]
	if diff := cmp.Diff(want, decode[release.SignalReport](t, w)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestAReportHoldsNoNullLists(t *testing.T) {
	s := newSite(t)
	s.signals.Of = map[string]release.SignalReport{"shop/webapp": {}}
	body := s.do(t, "GET", signalsOfWebapp).Body.String()
	if !strings.Contains(body, `"signals":[]`) || !strings.Contains(body, `"notes":[]`) {
		t.Error(body)
	}
}

func TestAValueThatJSONCannotWriteIsLeftOut(t *testing.T) {
	for _, value := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
		s := newSite(t)
		s.signals.Of["shop/webapp"].Signals[0].Arms[0].Value = &value
		r := decode[release.SignalReport](t, s.do(t, "GET", signalsOfWebapp))
		if arms := r.Signals[0].Arms; arms[0].Value != nil || arms[1].Value == nil {
			t.Errorf("%v became %v", value, arms[0].Value)
		}
	}
}

func TestWhySignalsCannotBeTold(t *testing.T) {
	tests := map[string]struct {
		target string
		err    error
		status int
		says   string
	}{
		"a workload there is not": {"/api/v1/workloads/shop/none/signals", nil, 404, "there is no Deployment none in namespace shop"},
		"a name that can be none": {"/api/v1/workloads/shop/Web%20App/signals", nil, 422, "path.name"},
		"a metric store that is down": {
			signalsOfWebapp, release.E(release.CodeUnavailable, "ask Prometheus: connection refused", errors.New("inner")),
			503, "ask Prometheus: connection refused",
		},
		"a metric store that is asked too much": {
			signalsOfWebapp, release.E(release.CodeRateLimited, "Prometheus answered 429", nil), 503, "Prometheus answered 429",
		},
		"a query that costs too much": {
			signalsOfWebapp, release.E(release.CodeTooExpensive, "the query would load too many samples", nil), 502, "too many samples",
		},
		"an answer in part": {signalsOfWebapp, release.E(release.CodePartial, "a store did not answer", nil), 502, "a store did not answer"},
		"a query that is refused": {
			signalsOfWebapp, release.E(release.CodeBadQuery, "the store does not know the function", nil), 502, "does not know the function",
		},
		"a cluster that does not let pods be listed": {
			signalsOfWebapp, release.E(release.CodeRefused, "grant the verb list on pods", nil), 502, "grant the verb list on pods",
		},
		"a fault of Watchtower's own": {signalsOfWebapp, errors.New("password=hunter2"), 500, "the log has the reason"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.signals.Err = tt.err
			w := s.do(t, "GET", tt.target)
			body := w.Body.String()
			if w.Code != tt.status || !strings.Contains(body, tt.says) || strings.Contains(body, "inner") || strings.Contains(body, "hunter2") {
				t.Errorf("answer %d %s, want %d with %q", w.Code, body, tt.status, tt.says)
			}
			if wait := w.Header().Get("Retry-After"); wait != "" {
				t.Errorf("Retry-After %q, though the store named none", wait)
			}
		})
	}
}

func TestHowLongTheMetricStoreWantsToBeLeftAloneIsPassedOn(t *testing.T) {
	s := newSite(t)
	s.signals.Err = &release.Error{Code: release.CodeRateLimited, Message: "Prometheus answered 429", RetryAfter: 1500 * time.Millisecond}
	w := s.do(t, "GET", signalsOfWebapp)
	if got := w.Header().Get("Retry-After"); w.Code != 503 || got != "2" {
		t.Errorf("answer %d, Retry-After %q, want 503 and 2 s", w.Code, got)
	}
}

func TestWithoutAMetricStoreTheAnswerSaysSo(t *testing.T) {
	w := newSite(t, func(d *api.Deps) { d.Signals = nil }).do(t, "GET", signalsOfWebapp)
	if w.Code != 503 || !strings.Contains(w.Body.String(), "reads no metric store") {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
}

// slow never answers by itself.
type slow struct{}

func (slow) Signals(ctx context.Context, _, _ string) (release.SignalReport, error) {
	<-ctx.Done()
	return release.SignalReport{}, release.E(release.CodeUnavailable, "ask Prometheus: no answer", ctx.Err())
}

func TestAMetricStoreThatHangsIsWaitedForNoLongerThanTwentySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(d *api.Deps) { d.Signals = slow{} })
		began := time.Now()
		w := s.do(t, "GET", signalsOfWebapp)
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("the answer took %s", took)
		}
		if w.Code != 503 || !strings.Contains(w.Body.String(), "longer than 20s") {
			t.Errorf("answer %d %s", w.Code, w.Body)
		}
	})
}

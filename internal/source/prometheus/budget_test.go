package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestQueriesBeyondTheRateAreToldWhenTheyMayCome(t *testing.T) {
	var asked atomic.Int32
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); fmt.Fprint(w, empty) }, func(c *Config) {
		c.QueriesPerSecond, c.Concurrency, c.Timeout = 1, 2, 200*time.Millisecond
	})
	for n := range 4 {
		_, err := s.Raw(context.Background(), "x", time.Minute, noon)
		switch {
		case n < 2 && err != nil:
			t.Errorf("query %d of a burst of two: %v", n, err)
		case n >= 2 && release.ErrorCode(err) != release.CodeRateLimited:
			t.Errorf("query %d: %v", n, err)
		case n >= 2:
			// One that is refused takes no turn of those that come later.
			if after := release.RetryAfter(err); after <= 200*time.Millisecond || after > time.Second {
				t.Errorf("query %d may come after %s", n, after)
			}
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want twice", n)
	}
	if n := counted(t, s.metrics.queries.WithLabelValues("rate_limited")); n != 2 {
		t.Errorf("%v counted as rate limited, want 2", n)
	}
}

func TestQueriesWaitForTheirTurnWhereItComesInTime(t *testing.T) {
	s := serve(t, answer(200, empty), func(c *Config) { c.QueriesPerSecond, c.Concurrency = 200, 1 })
	begin := time.Now()
	for range 5 {
		if _, err := s.Raw(context.Background(), "x", time.Minute, noon); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took < 18*time.Millisecond {
		t.Errorf("five queries at 200 a second took %s", took)
	}
}

func TestACallerWhoGivesUpWhileWaitingTakesNoTurn(t *testing.T) {
	s := serve(t, answer(200, empty), func(c *Config) { c.QueriesPerSecond, c.Concurrency, c.Timeout = 1, 1, time.Minute })
	if _, err := s.Raw(context.Background(), "x", time.Minute, noon); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 3 {
		if err := s.pace(ctx); err == nil || err.Code != release.CodeUnavailable || !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	if wait := s.rate.Reserve().Delay(); wait > time.Second {
		t.Errorf("the next turn is in %s", wait)
	}
}

func TestQueriesUnderWayAreShown(t *testing.T) {
	var s *Source
	underWay := func() float64 {
		var out dto.Metric
		if err := s.metrics.inFlight.Write(&out); err != nil {
			t.Error(err)
		}
		return out.GetGauge().GetValue()
	}
	s = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n := underWay(); n != 1 {
			t.Errorf("%v under way, want 1", n)
		}
		fmt.Fprint(w, empty)
	}, nil)
	if _, err := s.Raw(context.Background(), "x", time.Minute, noon); err != nil {
		t.Fatal(err)
	}
	if n := underWay(); n != 0 {
		t.Errorf("%v under way at the end", n)
	}
}

package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/lab/fault"
	"github.com/watchtower-verify/watchtower/lab/service"
)

// While the metric source is out of order nothing may be decided, whatever the
// kind of disorder; when it is well again, what happened meanwhile counts.
func TestABrokenSourceDecidesNothingAndRecovers(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		mode fault.Mode
		// verdicts that may be shown while the fault lasts
		broken string
	}{
		{"stopped", fault.Refuse(), "source_broken"},
		{"status 500", fault.Status(http.StatusInternalServerError, nil), "source_broken"},
		{"status 429", fault.Status(http.StatusTooManyRequests, http.Header{"Retry-After": {"1"}}), "source_broken"},
		{"slow", fault.Slow(30 * time.Second), "source_broken"},
		{"partial", fault.Partial(), "source_broken"},
		{"empty", fault.Empty(), ""},
		{"not a number", fault.NaN(), ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			proxy, err := fault.New(theLab.Info().PrometheusURL)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(proxy.Close)
			s := newScene(t, func(c *service.Config) { c.PrometheusURL = proxy.URL })
			s.start()
			s.serve(40, nil)
			proxy.Set(c.mode)
			s.deploy(bad, nil)
			s.wait(bad, 20*time.Second, "sight", always)
			s.never(bad, 30*time.Second, "healthy", "regressed")
			if c.broken != "" {
				s.verdict(bad, 20*time.Second, c.broken)
			}
			s.runs(bad)
			proxy.Reset()
			s.verdict(bad, 2*time.Minute, "regressed")
			s.settled(bad, "rollback", "done", 30*time.Second)
			s.rolled()
			s.runs(good)
		})
	}
}

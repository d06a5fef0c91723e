package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// checkTimeout bounds one look at all checks; the kubelet's own time-out is
// one second unless told otherwise.
const checkTimeout = 900 * time.Millisecond

// readinessAnswer says which parts work.
type readinessAnswer struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"`
}

// readiness runs all checks at once and answers 503 unless every one is nil.
func readiness(checks map[string]func(context.Context) error, log *slog.Logger) gin.HandlerFunc {
	type result struct {
		name string
		err  error
	}
	return func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), checkTimeout)
		defer cancel()
		results := make(chan result, len(checks))
		for name, check := range checks {
			go func() { results <- result{name, check(ctx)} }()
		}
		answer := readinessAnswer{Ready: true, Checks: make(map[string]string, len(checks))}
		for name := range checks {
			answer.Checks[name] = "no answer in time"
		}
	wait:
		for range checks {
			select {
			case r := <-results:
				answer.Checks[r.name] = checkWords(ctx, log, r.name, r.err)
				answer.Ready = answer.Ready && r.err == nil
			case <-ctx.Done():
				answer.Ready = false
				break wait
			}
		}
		status := http.StatusOK
		if !answer.Ready {
			status = http.StatusServiceUnavailable
		}
		c.Header("Cache-Control", "no-store")
		c.JSON(status, answer)
	}
}

// checkWords is what is told of a check. The words of an untyped error may
// hold anything, so they go to the log only.
func checkWords(ctx context.Context, log *slog.Logger, name string, err error) string {
	if err == nil {
		return "ok"
	}
	log.DebugContext(ctx, "not ready", "check", name, "error", err)
	var known *release.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return "not ready"
}

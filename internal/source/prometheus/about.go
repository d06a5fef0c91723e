package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// About is what a source tells of itself.
type About struct {
	Version string    // "" where it does not tell
	Clock   time.Time // its own time as it answered, to the second; zero where it does not tell
}

// About asks the source what it is, with the credentials of a query. A source
// that has no such API tells nothing, which is no fault; one that refuses the
// credentials is.
func (s *Source) About(ctx context.Context) (About, error) {
	q := question{path: "status/buildinfo", get: true}
	x := &exchange{max: maxErrorBytes}
	timed, cancel := context.WithTimeout(context.WithValue(ctx, exchangeKey{}, x), s.timeout)
	defer cancel()
	resp, err := s.send(timed, http.MethodGet, q)
	if err != nil {
		return About{}, s.told(timed, x, q, err)
	}
	defer resp.Body.Close()
	var out About
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		out.Clock = at
	}
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed:
		return out, nil
	case resp.StatusCode/100 != 2:
		return out, s.told(timed, x, q, refusal(resp))
	}
	var answer struct {
		Status string `json:"status"`
		Data   struct {
			Version string `json:"version"`
		} `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxErrorBytes)).Decode(&answer); err != nil || answer.Status != "success" {
		return out, s.told(timed, x, q, &apiError{msg: fmt.Sprintf("status %d, but not as Prometheus answers", resp.StatusCode), strange: true})
	}
	out.Version = release.OneLine(answer.Data.Version, 60)
	return out, nil
}

func (s *Source) told(ctx context.Context, x *exchange, q question, err error) error {
	if fault := s.fault(ctx, x, q, nil, err); fault != nil {
		return fault
	}
	return nil
}

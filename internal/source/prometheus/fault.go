package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const maxWords = 300 // characters of what the other side said

// tooMuch matches what Prometheus, Thanos, Mimir and VictoriaMetrics say of a
// query that would load too much.
var tooMuch = regexp.MustCompile(`(?i)too many (samples|series|chunks|points)|exceed\w*\b.*\b(limit|max\w*)|(limit|max\w*)\b.*\bexceed|maximum number of|err-mimir-max|-search\.max`)

// noParse matches what VictoriaMetrics says, with status 422, of a bad query.
var noParse = regexp.MustCompile(`(?i)(cannot|unable to|failed to) parse|parse error`)

// fault turns what came of a question into a typed error; nil when the answer
// is whole.
func (s *Source) fault(ctx context.Context, x *exchange, warnings v1.Warnings, err error) *release.Error {
	var own *release.Error
	switch {
	case err == nil && len(warnings) == 0:
		return nil
	case err == nil:
		return release.E(release.CodePartial, "the answer of "+s.name+" may not be whole", errors.New(s.words(x, strings.Join(warnings, "; "))))
	case errors.As(err, &own):
		return own
	case errors.Is(err, errTooLong):
		return release.E(release.CodeTooExpensive, fmt.Sprintf("the answer of %s is longer than %d bytes", s.name, x.max), nil)
	}
	code := codeOf(x.status, err)
	e := release.E(code, s.sentence(code, x.status), s.cause(ctx, x, err))
	if code == release.CodeRateLimited {
		e.RetryAfter = x.retryAfter
	}
	return e
}

// codeOf sorts a fault by HTTP status and what the API says.
func codeOf(status int, err error) release.Code {
	var e *v1.Error
	if !errors.As(err, &e) {
		return release.CodeUnavailable // no connection, a time-out, a body cut short
	}
	switch status {
	case http.StatusTooManyRequests:
		return release.CodeRateLimited
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong:
		return release.CodeTooExpensive
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusOK:
		switch {
		case e.Type == v1.ErrBadResponse:
			return release.CodeUnavailable // no JSON, or not the one that was expected
		case tooMuch.MatchString(e.Msg):
			return release.CodeTooExpensive
		case status == http.StatusBadRequest, e.Type == v1.ErrBadData, noParse.MatchString(e.Msg):
			return release.CodeBadQuery
		}
	}
	return release.CodeUnavailable
}

func (s *Source) sentence(code release.Code, status int) string {
	switch {
	case code == release.CodeRateLimited:
		return s.name + " is asked too often"
	case code == release.CodeTooExpensive:
		return "the query is too expensive for " + s.name
	case code == release.CodeBadQuery:
		return s.name + " refuses the query"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return s.name + " refuses the credentials"
	case status == http.StatusNotFound:
		return "there is no Prometheus API at the URL given for " + s.name
	case status/100 == 3:
		return s.name + " redirects elsewhere, which is not followed"
	case status == http.StatusOK:
		return s.name + " answers with something that is not the Prometheus API's"
	}
	return s.name + " cannot be read"
}

// cause is what is behind a fault, without secrets, URLs and pages of HTML.
func (s *Source) cause(ctx context.Context, x *exchange, err error) error {
	var e *v1.Error
	if errors.As(err, &e) {
		if x.status != 0 && x.status != http.StatusOK {
			return fmt.Errorf("status %d: %s", x.status, s.words(x, e.Msg))
		}
		return errors.New(s.words(x, e.Msg))
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s: %w", s.timeout, context.DeadlineExceeded)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // drops the URL
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	return errors.New(s.words(x, err.Error()))
}

// words makes text of the other side fit for an error.
func (s *Source) words(x *exchange, text string) string {
	for _, secret := range x.secrets {
		text = strings.ReplaceAll(text, secret, "[secret]")
	}
	return outbound.OneLine(text, maxWords)
}

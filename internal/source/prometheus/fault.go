package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/source/prometheus/wire"
)

const maxWords = 300 // characters of what the other side said

// tooMuch matches what Prometheus, Thanos, Mimir and VictoriaMetrics say of a
// query that would load too much.
var tooMuch = regexp.MustCompile(`(?i)too many (samples|series|chunks|points)|exceed\w*\b.*\b(limit|max\w*)|(limit|max\w*)\b.*\bexceed|maximum number of|err-mimir-max|-search\.max`)

// noParse matches what VictoriaMetrics says, with status 422, of a bad query.
var noParse = regexp.MustCompile(`(?i)(cannot|unable to|failed to) parse|parse error`)

// apiError is a fault the API states, or an answer that is not the API's.
type apiError struct {
	kind string // errorType of the API
	msg  string
	// strange is an answer that is not the one that was expected, or ends early.
	strange bool
}

func (e *apiError) Error() string { return e.msg }

// fault turns what came of a question into a typed error; nil when the answer
// is whole.
func (s *Source) fault(ctx context.Context, x *exchange, q question, warnings []string, err error) *release.Error {
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
	case errors.Is(err, wire.ErrTooMany):
		return release.E(release.CodeTooExpensive, fmt.Sprintf("the answer of %s holds more than %d samples", s.name, s.limits.Samples), nil)
	case q.optional && noAPI(x.status, err):
		return nil
	}
	code := codeOf(x.status, err)
	e := release.E(code, s.sentence(code, x.status, err), s.cause(ctx, x, err))
	if code == release.CodeRateLimited {
		e.RetryAfter = x.retryAfter
		s.beQuiet(time.Now().Add(e.RetryAfter))
	}
	return e
}

// noAPI tells whether there is no such API here. VictoriaMetrics says so with
// status 400.
func noAPI(status int, err error) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented ||
		status == http.StatusBadRequest && strings.Contains(err.Error(), "unsupported path")
}

// codeOf sorts a fault by HTTP status and what the API says.
func codeOf(status int, err error) release.Code {
	var e *apiError
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
		case e.strange:
			return release.CodeUnavailable // no JSON, or not the one that was expected
		case tooMuch.MatchString(e.msg):
			return release.CodeTooExpensive
		case status == http.StatusBadRequest, e.kind == "bad_data", noParse.MatchString(e.msg):
			return release.CodeBadQuery
		}
	}
	return release.CodeUnavailable
}

func (s *Source) sentence(code release.Code, status int, err error) string {
	var e *apiError
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
	case errors.As(err, &e) && e.strange:
		return s.name + " answers with something that is not the Prometheus API's"
	case untrusted(err):
		return s.name + " shows a certificate that is not trusted: check ca_file and server_name of its tls"
	}
	return s.name + " cannot be read"
}

// cause is what is behind a fault, without secrets, URLs and pages of HTML.
func (s *Source) cause(ctx context.Context, x *exchange, err error) error {
	var e *apiError
	if errors.As(err, &e) {
		if x.status != 0 && x.status != http.StatusOK {
			return fmt.Errorf("status %d: %s", x.status, s.words(x, e.msg))
		}
		return errors.New(s.words(x, e.msg))
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
		text = withoutEnd(strings.ReplaceAll(text, secret, "[secret]"), secret)
	}
	return outbound.OneLine(text, maxWords)
}

// withoutEnd drops the beginning of a secret that text ends with, where a long
// text was cut.
func withoutEnd(text, secret string) string {
	for n := min(len(secret)-1, len(text)); n >= shortestSecret; n-- {
		if head, ok := strings.CutSuffix(text, secret[:n]); ok {
			return head + "[secret]"
		}
	}
	return text
}

package prometheus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/watchtower-verify/watchtower/internal/source/prometheus/wire"
)

const (
	maxErrorBytes = 64 << 10 // that are read of an answer that is a fault
	maxURLBytes   = 8 << 10  // of a query by GET, which servers bound
)

// question is what is put to the API.
type question struct {
	path     string // below /api/v1/
	form     url.Values
	get      bool      // by GET alone
	optional bool      // a source that has no such API knows nothing, which is no fault
	data     wire.Data // takes the answer's
	// check looks at the data of a whole answer; may be nil.
	check func() error
}

// put sends a question and reads the answer.
func (s *Source) put(ctx context.Context, q question) (warnings []string, err error) {
	method := http.MethodPost
	if q.get {
		method = http.MethodGet
	}
	resp, err := s.send(ctx, method, q)
	if err == nil && method == http.MethodPost && onlyGet(resp.StatusCode) && len(q.form.Encode()) <= maxURLBytes {
		resp.Body.Close()
		resp, err = s.send(ctx, http.MethodGet, q)
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return nil, refusal(resp)
	}
	e, err := wire.Decode(resp.Body, q.data)
	var syntax *wire.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return nil, &apiError{msg: err.Error(), strange: true}
	case err != nil:
		return nil, err
	case e.Status == "error":
		return nil, &apiError{kind: e.ErrorType, msg: e.Error}
	case e.Status != "success":
		return nil, &apiError{msg: "the answer has no status", strange: true}
	}
	if len(e.Warnings) == 0 && q.check != nil {
		err = q.check()
	}
	return e.Warnings, err
}

// onlyGet tells whether a status may mean that only GET is allowed, as proxies
// do that know POST for writing.
func onlyGet(status int) bool {
	return status == http.StatusForbidden || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented
}

func (s *Source) send(ctx context.Context, method string, q question) (*http.Response, error) {
	u := s.base.JoinPath("api/v1", q.path)
	form := q.form.Encode()
	var body io.Reader
	if method == http.MethodGet {
		u.RawQuery = form
	} else {
		body = strings.NewReader(form)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		// A query may be sent again when an idle connection turns out to be
		// closed; without values the header says so to the transport only.
		req.Header["Idempotency-Key"] = nil
	}
	return s.http.Do(req)
}

// refusal is what the API says in an answer that is no success.
func refusal(resp *http.Response) error {
	e, err := wire.Decode(io.LimitReader(resp.Body, maxErrorBytes), nil)
	switch {
	case err == nil && e.Status == "success":
		return &apiError{msg: "the answer says success", strange: true}
	case err == nil && e.Error != "":
		return &apiError{kind: e.ErrorType, msg: e.Error}
	}
	return &apiError{msg: fmt.Sprintf("no reason is given: %s", http.StatusText(resp.StatusCode))}
}

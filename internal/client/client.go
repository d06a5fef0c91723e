// Package client reads Watchtower's HTTP API for the command line.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/doctor"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// maxAnswerBytes bounds what is read of an answer.
const maxAnswerBytes = 64 << 20

// howToReach ends every error about a server that does not answer.
const howToReach = "is `watchtower serve` running there? Set --server or WATCHTOWER_SERVER to its address"

// Filter selects releases; empty fields select all.
type Filter struct {
	Namespace string
	Workload  string
	Verdict   release.VerdictKind
	Live      *bool
	Limit     int       // the server's default when 0, at most wire.MaxLimit
	Before    time.Time // the NextBefore of the page before
}

// Client asks one server. Its errors are *release.Error and say what to do.
type Client struct {
	base  string
	token string // "" where none is given
	http  *http.Client
}

// New returns a client of the server at an address such as
// "http://localhost:9477", or CodeInvalid when it is none.
func New(server string) (*Client, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" {
		return nil, release.E(release.CodeInvalid, fmt.Sprintf("the server %q is no address: write it as http://host:port", server), nil)
	}
	return &Client{
		base: strings.TrimRight(server, "/"),
		http: &http.Client{Timeout: 30 * time.Second},
	}, nil
}

// Releases returns one page of the releases that match, newest first.
func (c *Client) Releases(ctx context.Context, f Filter) (wire.List, error) {
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("namespace", f.Namespace)
	set("workload", f.Workload)
	set("verdict", string(f.Verdict))
	if f.Live != nil {
		q.Set("live", strconv.FormatBool(*f.Live))
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	if !f.Before.IsZero() {
		q.Set("before", f.Before.UTC().Format(time.RFC3339Nano))
	}
	path := wire.ReleasesPath
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	var l wire.List
	return l, c.get(ctx, path, &l)
}

// Release returns all that is known of a release, CodeNotFound for an unknown
// one.
func (c *Client) Release(ctx context.Context, id release.ID) (wire.Detail, error) {
	var d wire.Detail
	return d, c.get(ctx, wire.ReleasesPath+"/"+url.PathEscape(string(id)), &d)
}

// Signals returns what is measured of a workload now, CodeNotFound for one
// there is not, CodeUnavailable when the metric store cannot tell.
func (c *Client) Signals(ctx context.Context, namespace, workload string) (release.SignalReport, error) {
	var r release.SignalReport
	path := wire.WorkloadsPath + "/" + url.PathEscape(namespace) + "/" + url.PathEscape(workload) + wire.SignalsSuffix
	return r, c.get(ctx, path, &r)
}

// Audit returns the rows of the cluster's audit after one, at most
// wire.MaxLimit of them; with after < 0 the last ones, of a release where one
// is named.
func (c *Client) Audit(ctx context.Context, id release.ID, after int64, limit int) (wire.AuditPage, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if after >= 0 {
		q.Set("after", strconv.FormatInt(after, 10))
	}
	if id != "" {
		q.Set("release", string(id))
	}
	var p wire.AuditPage
	return p, c.get(ctx, wire.AuditPath+"?"+q.Encode(), &p)
}

// Doctor returns what the server's last look at its parts found, CodeUnavailable
// before there was one.
func (c *Client) Doctor(ctx context.Context) (doctor.Report, error) {
	var r doctor.Report
	return r, c.get(ctx, wire.DoctorPath, &r)
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	return c.ask(ctx, http.MethodGet, path, nil, into)
}

func (c *Client) ask(ctx context.Context, method, path string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return release.E(release.CodeInvalid, "the address "+c.base+" cannot be asked", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return release.E(release.CodeUnavailable, fmt.Sprintf("cannot reach %s (%s): %s", c.base, reason(err), howToReach), nil)
	}
	defer resp.Body.Close()
	answer := io.LimitReader(resp.Body, maxAnswerBytes)
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case kind != "application/json" && kind != "application/problem+json":
		return release.E(release.CodeUnavailable, fmt.Sprintf("%s answered, but not as Watchtower does (%s): %s", c.base, resp.Status, howToReach), nil)
	case resp.StatusCode != http.StatusOK:
		return answered(c.base, resp.Status, resp.StatusCode, answer)
	}
	if err := json.NewDecoder(answer).Decode(into); err != nil {
		return release.E(release.CodeUnavailable, "the answer of "+c.base+" broke off or is not of this version; compare `watchtower version` on both sides", err)
	}
	return nil
}

// reason leaves out the request, which the message names already.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// problem is an RFC 9457 error.
type problem struct {
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`
}

func answered(base, status string, code int, body io.Reader) error {
	var p problem
	if err := json.NewDecoder(body).Decode(&p); err != nil || p.Detail == "" {
		return release.E(codeOf(code), base+" answered "+status, nil)
	}
	message := p.Detail
	for _, e := range p.Errors {
		message += "; " + strings.TrimPrefix(strings.TrimPrefix(e.Location, "query."), "body.") + ": " + e.Message
	}
	return release.E(codeOf(code), message, nil)
}

func codeOf(status int) release.Code {
	switch status {
	case http.StatusNotFound:
		return release.CodeNotFound
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return release.CodeInvalid
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict:
		return release.CodeRefused
	case http.StatusTooManyRequests:
		return release.CodeRateLimited
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return release.CodeUnavailable
	}
	return release.CodeInternal
}

// Package grafana marks each release on dashboards: one region annotation from
// the start of the rollout to the verdict, changed in place. Grafana knows no
// key of ours, so that each annotation carries one among its tags, by which it
// is found again.
package grafana

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	defaultTimeout = 10 * time.Second
	// What is remembered of a release must stay below a kilobyte.
	maxPlaces = 20
)

// Config says where annotations go.
type Config struct {
	// Name is what the receiver is called in the configuration; errors name it.
	Name string
	// URL is where Grafana is, with its path where it has one.
	URL string
	// TokenFile holds the token of a service account that may read and write
	// annotations. It is read for each request.
	TokenFile string
	// Organisation is the id of the organisation; 0: that of the token.
	Organisation int64
	// Others are further organisations, each with a token of its own: a service
	// account belongs to one.
	Others []Organisation
	// Places are the dashboards, and panels of them, that show the annotation;
	// none: it belongs to the organisation, and every dashboard may ask for it by
	// its tags.
	Places   []Place
	CAFile   string
	ProxyURL string
	// Timeout bounds one request; 0: ten seconds.
	Timeout time.Duration
}

// Organisation is one of Grafana's with a token for it.
type Organisation struct {
	ID        int64
	TokenFile string
	Places    []Place
}

// Place is a dashboard or one of its panels.
type Place struct {
	Dashboard string // uid
	Panel     int64  // 0: the whole dashboard
}

// Sink writes annotations. It is safe for concurrent use.
type Sink struct {
	cfg   Config
	spots []spot
}

// spot is one place in one organisation.
type spot struct {
	client *outbound.Client
	id     string // by which a ref knows it
	place  Place
}

// New returns a sink that does not connect before its first annotation.
func New(cfg Config) (*Sink, error) {
	invalid := func(text string) error {
		return release.E(release.CodeInvalid, "grafana receiver "+cfg.Name+": "+text, nil)
	}
	cfg.URL = strings.TrimRight(cfg.URL, "/")
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil {
		return nil, invalid("url must be http(s)://host without user and password")
	}
	s := &Sink{cfg: cfg}
	for _, o := range append([]Organisation{{cfg.Organisation, cfg.TokenFile, cfg.Places}}, cfg.Others...) {
		if o.TokenFile == "" {
			return nil, invalid("token_file is missing")
		}
		s.add(o)
	}
	if len(s.spots) > maxPlaces {
		return nil, invalid(fmt.Sprintf("more than %d dashboards: let them ask for the annotation by its tags instead", maxPlaces))
	}
	return s, nil
}

func service(name string) string { return "Grafana (receiver " + name + ")" }

func (s *Sink) add(o Organisation) {
	headers := map[string]string{}
	if o.ID != 0 {
		headers["X-Grafana-Org-Id"] = strconv.FormatInt(o.ID, 10)
	}
	client := outbound.New(outbound.Config{
		Service: service(s.cfg.Name), Scheme: "Bearer", SecretFile: o.TokenFile, Headers: headers,
		CAFile: s.cfg.CAFile, ProxyURL: s.cfg.ProxyURL, Timeout: cmp.Or(s.cfg.Timeout, defaultTimeout),
	})
	for _, p := range orAll(o.Places) {
		// A ref is short, and a dashboard's uid need not be.
		sum := sha256.Sum256(fmt.Appendf(nil, "%d/%s/%d", o.ID, p.Dashboard, p.Panel))
		s.spots = append(s.spots, spot{client, hex.EncodeToString(sum[:4]), p})
	}
}

// orAll is the places, or the organisation as a whole.
func orAll(places []Place) []Place {
	if len(places) == 0 {
		return []Place{{}}
	}
	return places
}

// Close drops idle connections.
func (s *Sink) Close() {
	for _, at := range s.spots {
		at.client.Close()
	}
}

// memory is what a ref holds.
type memory struct {
	Sequence int              `json:"sequence,omitempty"`
	IDs      map[string]int64 `json:"ids,omitempty"` // of the annotation, by place
}

// Deliver writes or changes the annotation of a release in every place. The ref
// is what the delivery before answered, nil at the first; without one the
// annotation is looked for by its tags. A message that is not later than the
// last one told is dropped. A test is written and taken away again.
//
// Errors are *release.Error: CodeUnavailable and CodeRateLimited, with
// RetryAfter where Grafana gave one, may pass; CodeInvalid will not. After an
// error some places may have it already; they keep it.
func (s *Sink) Deliver(ctx context.Context, m release.Message, ref []byte) ([]byte, error) {
	at := memory{}
	if ref != nil {
		if err := json.Unmarshal(ref, &at); err != nil {
			return ref, release.E(release.CodeInvalid, service(s.cfg.Name)+": what was remembered of the message is not a ref of Grafana's", err)
		}
	}
	if m.Sequence > 0 && m.Sequence <= at.Sequence {
		return ref, nil
	}
	next := memory{Sequence: m.Sequence, IDs: map[string]int64{}}
	var errs []error
	for _, where := range s.spots {
		id, err := s.write(ctx, where, m, at.IDs[where.id])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next.IDs[where.id] = id
	}
	if len(errs) > 0 {
		return ref, worst(errs)
	}
	if m.Test {
		next.IDs = nil
	}
	return json.Marshal(next)
}

// worst is the error that may pass before those that will not, so that the
// message is tried again.
func worst(errs []error) error {
	for _, err := range errs {
		if code := release.ErrorCode(err); code == release.CodeUnavailable || code == release.CodeRateLimited {
			return err
		}
	}
	return errs[0]
}

// write brings one place to what the message says, and answers the
// annotation's id.
func (s *Sink) write(ctx context.Context, where spot, m release.Message, id int64) (int64, error) {
	note := noteOf(m, where.place)
	var err error
	if id == 0 {
		if id, err = s.find(ctx, where, m); err != nil {
			return 0, err
		}
	}
	if id != 0 {
		err = s.ask(ctx, where, "change annotation", http.MethodPatch, "/api/annotations/"+strconv.FormatInt(id, 10), note.change(), nil)
		if outbound.Status(err) != http.StatusNotFound { // a person deleted it
			return id, err
		}
	}
	var made struct {
		ID int64 `json:"id"`
	}
	if err := s.ask(ctx, where, "write annotation", http.MethodPost, "/api/annotations", note, &made); err != nil {
		return 0, err
	}
	if made.ID == 0 {
		return 0, release.E(release.CodeUnavailable, "write annotation at "+service(s.cfg.Name)+": the answer is not Grafana's: see url of the receiver", nil)
	}
	if m.Test {
		return 0, s.ask(ctx, where, "take away the annotation of a test", http.MethodDelete, "/api/annotations/"+strconv.FormatInt(made.ID, 10), nil, nil)
	}
	return made.ID, nil
}

// find looks for the annotation of a message by its tags, 0 without one.
func (s *Sink) find(ctx context.Context, where spot, m release.Message) (int64, error) {
	q := url.Values{"type": {"annotation"}, "limit": {"100"}, "tags": {tagAll, keyTag(m)}}
	if where.place.Dashboard != "" {
		q.Set("dashboardUID", where.place.Dashboard)
	}
	if where.place.Panel != 0 {
		q.Set("panelId", strconv.FormatInt(where.place.Panel, 10))
	}
	var found []struct {
		ID        int64  `json:"id"`
		Dashboard string `json:"dashboardUID"`
		Panel     int64  `json:"panelId"`
	}
	if err := s.ask(ctx, where, "look for an annotation", http.MethodGet, "/api/annotations?"+q.Encode(), nil, &found); err != nil {
		return 0, err
	}
	for _, f := range found {
		if f.Dashboard == where.place.Dashboard && f.Panel == where.place.Panel {
			return f.ID, nil
		}
	}
	return 0, nil
}

func (s *Sink) ask(ctx context.Context, where spot, what, method, path string, in, out any) error {
	err := where.client.Do(ctx, what, method, s.cfg.URL+path, in, out)
	var e *release.Error
	if !errors.As(err, &e) || e.Code != release.CodeInvalid {
		return err
	}
	next := "see url of the receiver"
	switch outbound.Status(err) {
	case http.StatusUnauthorized:
		next = "token_file must hold the token of a service account, which is neither revoked nor expired"
	case http.StatusForbidden:
		next = "the service account of token_file must have the role Editor, or annotations:read, annotations:write and annotations:delete, in the organisation"
	case http.StatusNotFound:
		if where.place.Dashboard != "" {
			next = "see dashboard and url of the receiver: the dashboard's uid stands in its address after /d/"
		}
	}
	return release.E(e.Code, e.Message+"; "+next, e.Err)
}

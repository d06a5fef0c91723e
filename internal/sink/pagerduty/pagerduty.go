// Package pagerduty tells PagerDuty of releases: a change event for each, and
// for one that needs somebody an incident that is triggered, acknowledged and
// resolved under the message's key, so that telling it twice tells it once.
package pagerduty

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	pd "github.com/PagerDuty/go-pagerduty"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	defaultURL     = "https://events.pagerduty.com"
	defaultTimeout = 10 * time.Second
)

// Config says where events go.
type Config struct {
	// Name is what the receiver is called in the configuration; errors name it.
	Name string
	// RoutingKeyFile holds the integration key of a service. It is read for each
	// event.
	RoutingKeyFile string
	// URL is where the Events API is; empty: PagerDuty's own.
	URL string
	// Changes has a change event sent for each release that is told of.
	Changes bool
	// AcknowledgeRollback acknowledges the incident while Watchtower puts the last
	// good version back, which keeps PagerDuty from waking the next person.
	AcknowledgeRollback bool
	// ImageURL is the address of a picture of a message's curve, served over
	// https; nil, or an empty answer: none.
	ImageURL func(release.Message) string
	CAFile   string
	ProxyURL string
	// Timeout bounds one request; 0: ten seconds.
	Timeout time.Duration
}

// Sink sends events. It is safe for concurrent use.
type Sink struct {
	cfg    Config
	client *outbound.Client
}

// New returns a sink that does not connect before its first event.
func New(cfg Config) (*Sink, error) {
	cfg.URL = strings.TrimRight(cmp.Or(cfg.URL, defaultURL), "/")
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil:
		return nil, release.E(release.CodeInvalid, "pagerduty receiver "+cfg.Name+": url must be http(s)://host without user and password", nil)
	case cfg.RoutingKeyFile == "":
		return nil, release.E(release.CodeInvalid, "pagerduty receiver "+cfg.Name+": routing_key_file is missing", nil)
	}
	return &Sink{cfg: cfg, client: outbound.New(outbound.Config{
		Service: "PagerDuty (receiver " + cfg.Name + ")", CAFile: cfg.CAFile, ProxyURL: cfg.ProxyURL, Timeout: cmp.Or(cfg.Timeout, defaultTimeout),
	})}, nil
}

// Close drops idle connections.
func (s *Sink) Close() { s.client.Close() }

// memory is what a ref holds. PagerDuty shows twice what it is told twice, but
// for the incident itself.
type memory struct {
	Sequence int  `json:"sequence,omitempty"` // of the last message
	Change   bool `json:"change,omitempty"`   // the change event was taken
	// Changed are those of the releases of a group, shortened.
	Changed []string `json:"changed,omitempty"`
}

// maxChanged is how many change events are remembered of a group, and sent.
const maxChanged = 90

// short is a release's id as a ref remembers it.
func short(id release.ID) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return strconv.FormatUint(uint64(h.Sum32()), 36)
}

func (m memory) ref() []byte {
	text, _ := json.Marshal(m)
	return text
}

func unmarshal(ref []byte, m *memory) error {
	if ref == nil {
		return nil
	}
	return json.Unmarshal(ref, m)
}

// Deliver tells PagerDuty of a message: an open state triggers the incident of
// the key or adds to it, one that is over resolves it, and each release is a
// change event once where they are asked for. A test is a change event alone,
// which wakes nobody.
//
// A message that is not later than the last one told is dropped.
//
// The ref is what the delivery before answered, nil at the first. Incidents are
// known by their key, so that a delivery whose answer was lost may be made
// again without one; its change event may then be there twice, since PagerDuty
// gives change events no key.
//
// Errors are *release.Error: CodeUnavailable and CodeRateLimited, with
// RetryAfter where PagerDuty gave one, may pass; CodeInvalid will not.
func (s *Sink) Deliver(ctx context.Context, m release.Message, ref []byte) ([]byte, error) {
	if len(m.Key) > maxDedupKey {
		return ref, release.E(release.CodeInvalid, fmt.Sprintf("PagerDuty (receiver %s): the key of the message is longer than %d characters", s.cfg.Name, maxDedupKey), nil)
	}
	var told memory
	if err := unmarshal(ref, &told); err != nil {
		return ref, release.E(release.CodeInvalid, "PagerDuty (receiver "+s.cfg.Name+"): what was remembered of the message is not a ref of PagerDuty's", err)
	}
	if m.Sequence > 0 && m.Sequence <= told.Sequence {
		return ref, nil
	}
	if err := s.incident(ctx, m); err != nil {
		return ref, err
	}
	if err := s.changes(ctx, m, &told); err != nil {
		return ref, err
	}
	told.Sequence = m.Sequence
	return told.ref(), nil
}

// changes sends the change events that were not sent yet: that of the release, or
// those of the releases of a group.
func (s *Sink) changes(ctx context.Context, m release.Message, told *memory) error {
	if m.Test || (s.cfg.Changes && !told.Change && m.Release != "" && len(m.Members) == 0) {
		told.Change = true
		return s.change(ctx, m)
	}
	if !s.cfg.Changes {
		return nil
	}
	for _, one := range m.Members {
		if one.Message == nil || len(told.Changed) == maxChanged || slices.Contains(told.Changed, short(one.Message.Release)) {
			continue
		}
		if err := s.change(ctx, *one.Message); err != nil {
			return err
		}
		told.Changed = append(told.Changed, short(one.Message.Release))
	}
	return nil
}

func (s *Sink) incident(ctx context.Context, m release.Message) error {
	switch {
	case m.Test:
		return nil
	case m.State.Over():
		return s.event(ctx, "resolve incident", s.resolution(m))
	case !m.State.Open():
		return nil
	}
	if err := s.event(ctx, "trigger incident", s.trigger(m)); err != nil {
		return err
	}
	if m.State == release.SaysRollingBack && s.cfg.AcknowledgeRollback {
		return s.Acknowledge(ctx, m.Key)
	}
	return nil
}

// Acknowledge says that somebody looks after the incident of a key. PagerDuty
// takes it, and does nothing, where there is no such incident.
func (s *Sink) Acknowledge(ctx context.Context, key string) error {
	return s.event(ctx, "acknowledge incident", &pd.V2Event{Action: "acknowledge", DedupKey: key})
}

func (s *Sink) event(ctx context.Context, what string, e *pd.V2Event) error {
	return s.call(what, func(c *pd.Client, key string) (string, error) {
		e.RoutingKey = key
		answer, err := c.ManageEventWithContext(ctx, e)
		if err != nil {
			return "", err
		}
		return answer.Status, nil
	})
}

func (s *Sink) change(ctx context.Context, m release.Message) error {
	e := changeEvent(m)
	return s.call("send change event", func(c *pd.Client, key string) (string, error) {
		e.RoutingKey = key
		answer, err := c.CreateChangeEventWithContext(ctx, e)
		if err != nil {
			return "", err
		}
		return answer.Status, nil
	})
}

// call makes one request through PagerDuty's client. The client drops the chain
// of an error of the connection, so that the door keeps it.
func (s *Sink) call(what string, do func(c *pd.Client, key string) (status string, err error)) error {
	key, err := outbound.ReadSecret(s.cfg.RoutingKeyFile)
	if err != nil {
		return release.E(release.CodeUnavailable, what+" at PagerDuty (receiver "+s.cfg.Name+")", err)
	}
	d := &door{client: s.client, what: what, secret: key}
	c := pd.NewClient("", pd.WithV2EventsAPIEndpoint(s.cfg.URL))
	c.HTTPClient = d
	status, err := do(c, key)
	switch {
	case d.err != nil:
		return s.advise(d.err)
	case err != nil:
		return release.E(release.CodeUnavailable, what+" at PagerDuty (receiver "+s.cfg.Name+"): the answer is not what was expected", err)
	case status != "success":
		return release.E(release.CodeUnavailable, what+" at PagerDuty (receiver "+s.cfg.Name+"): the answer is not PagerDuty's: see url", nil)
	}
	return nil
}

// door is the HTTP client that PagerDuty's client goes out by.
type door struct {
	client *outbound.Client
	what   string
	secret string
	err    error
}

// Do sends a request and keeps its error.
func (d *door) Do(req *http.Request) (*http.Response, error) {
	resp, err := d.client.Send(d.what, req, d.secret)
	d.err = err
	return resp, err
}

// advise adds what to do about a refusal.
func (s *Sink) advise(err error) error {
	var e *release.Error
	if !errors.As(err, &e) || e.Code != release.CodeInvalid {
		return err
	}
	next := "see url of the receiver"
	switch outbound.Status(err) {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		next = "if it is the routing key that is refused, put that of an Events API v2 integration of the service into routing_key_file"
	case http.StatusRequestEntityTooLarge:
		next = "the event is too large"
	}
	return release.E(e.Code, e.Message+"; "+next, e.Err)
}

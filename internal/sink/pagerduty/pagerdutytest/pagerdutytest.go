// Package pagerdutytest stands in for PagerDuty: Events API v2 with change
// events, as strict as its documentation
// (https://developer.pagerduty.com/docs/events-api-v2-overview), and the
// webhooks v3 that PagerDuty sends.
package pagerdutytest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

// The limits of the Events API.
const (
	MaxSummary  = 1024 // characters
	MaxDedupKey = 255  // characters
	MaxBody     = 512 << 10
	keyLength   = 32 // of a routing key
)

// Event is an event as it came, without its routing key.
type Event struct {
	Action    string   `json:"event_action"`
	DedupKey  string   `json:"dedup_key,omitempty"`
	Payload   *Payload `json:"payload,omitempty"`
	Images    []Image  `json:"images,omitempty"`
	Links     []Link   `json:"links,omitempty"`
	Client    string   `json:"client,omitempty"`
	ClientURL string   `json:"client_url,omitempty"`
	// At is when it was taken.
	At time.Time `json:"-"`
}

// Payload is what an event tells.
type Payload struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source"`
	Severity  string         `json:"severity"`
	Timestamp string         `json:"timestamp,omitempty"`
	Component string         `json:"component,omitempty"`
	Group     string         `json:"group,omitempty"`
	Class     string         `json:"class,omitempty"`
	Details   map[string]any `json:"custom_details,omitempty"`
}

// Image is a picture of an event.
type Image struct {
	Src  string `json:"src"`
	Href string `json:"href,omitempty"`
	Alt  string `json:"alt,omitempty"`
}

// Link is a link of an event.
type Link struct {
	Href string `json:"href"`
	Text string `json:"text,omitempty"`
}

// Change is a change event as it came, without its routing key.
type Change struct {
	Payload ChangePayload `json:"payload"`
	Links   []Link        `json:"links,omitempty"`
	Images  []Image       `json:"images,omitempty"`
}

// ChangePayload is what a change event tells.
type ChangePayload struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source,omitempty"`
	Timestamp string         `json:"timestamp,omitempty"`
	Details   map[string]any `json:"custom_details,omitempty"`
}

// Incident is what the events of one dedup key of one service became.
type Incident struct {
	RoutingKey string  `json:"service"` // the name of its key, not the key
	DedupKey   string  `json:"dedup_key"`
	Status     string  `json:"status"` // triggered, acknowledged, resolved
	Last       Event   `json:"-"`      // that triggered it last
	Events     []Event `json:"events"`
}

// Server is a PagerDuty.
type Server struct {
	standin.Door

	mu        sync.Mutex
	keys      map[string]string // routing key → name of the service
	incidents map[string]*Incident
	order     []string
	changes   []Change
}

// New makes a PagerDuty with services: routing key → name.
func New(services map[string]string) *Server {
	return &Server{keys: maps.Clone(services), incidents: map[string]*Incident{}}
}

// NewKey makes a routing key of the right form.
func NewKey() string {
	b := make([]byte, keyLength/2)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// Handler serves the API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v2/enqueue", s.enqueue)
	mux.HandleFunc("POST /v2/change/enqueue", s.change)
	return s.Wrap(mux)
}

// Incidents are all, in the order of their first event.
func (s *Server) Incidents() []Incident {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Incident, 0, len(s.order))
	for _, key := range s.order {
		in := *s.incidents[key]
		in.Events = slices.Clone(in.Events)
		out = append(out, in)
	}
	return out
}

// Changes are all change events in the order they came.
func (s *Server) Changes() []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.changes)
}

// Revoke takes a routing key away.
func (s *Server) Revoke(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, key)
}

func (s *Server) enqueue(w http.ResponseWriter, r *http.Request) {
	var in struct {
		RoutingKey string `json:"routing_key"`
		Event
	}
	if !read(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	service, reasons := s.service(in.RoutingKey)
	reasons = append(reasons, in.problems()...)
	if refuse(w, reasons) {
		return
	}
	if in.DedupKey == "" {
		in.DedupKey = NewKey()
	}
	s.apply(service, in.Event)
	standin.JSON(w, http.StatusAccepted, map[string]string{"status": "success", "message": "Event processed", "dedup_key": in.DedupKey})
}

func (s *Server) apply(service string, e Event) {
	id := service + "\x00" + e.DedupKey
	inc := s.incidents[id]
	if inc == nil {
		// To resolve or acknowledge what is not there is accepted and does nothing.
		if e.Action != "trigger" {
			return
		}
		inc = &Incident{RoutingKey: service, DedupKey: e.DedupKey}
		s.incidents[id], s.order = inc, append(s.order, id)
	}
	e.At = time.Now()
	inc.Events = append(inc.Events, e)
	switch {
	case e.Action == "resolve":
		inc.Status = "resolved"
	case e.Action == "acknowledge" && inc.Status == "triggered":
		inc.Status = "acknowledged"
	case e.Action == "trigger":
		inc.Last = e
		// A trigger of an open alert is added to it; one that is acknowledged stays so.
		if inc.Status != "acknowledged" {
			inc.Status = "triggered"
		}
	}
}

func (s *Server) change(w http.ResponseWriter, r *http.Request) {
	var in struct {
		RoutingKey string `json:"routing_key"`
		Change
	}
	if !read(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, reasons := s.service(in.RoutingKey)
	p := in.Payload
	reasons = append(reasons, text("payload.summary", p.Summary, 1, MaxSummary)...)
	reasons = append(reasons, timestamp(p.Timestamp)...)
	reasons = append(reasons, media(in.Links, in.Images)...)
	if refuse(w, reasons) {
		return
	}
	s.changes = append(s.changes, in.Change)
	standin.JSON(w, http.StatusAccepted, map[string]string{"status": "success", "message": "Change event processed"})
}

func (s *Server) service(key string) (name string, reasons []string) {
	if len(key) != keyLength {
		return "", []string{"Length of 'routing_key' is incorrect (should be 32 characters)"}
	}
	name, ok := s.keys[key]
	if !ok {
		return "", []string{"Invalid routing key"}
	}
	return name, nil
}

func (e Event) problems() (out []string) {
	out = append(out, text("dedup_key", e.DedupKey, 0, MaxDedupKey)...)
	switch e.Action {
	case "acknowledge", "resolve":
		out = append(out, text("dedup_key", e.DedupKey, 1, MaxDedupKey)...)
	case "trigger":
		if e.Payload == nil {
			return append(out, "'payload' is missing or blank")
		}
	default:
		out = append(out, "'event_action' must be one of 'trigger', 'acknowledge', 'resolve'")
	}
	if p := e.Payload; p != nil {
		out = append(out, text("payload.summary", p.Summary, 1, MaxSummary)...)
		out = append(out, text("payload.source", p.Source, 1, MaxBody)...)
		if !slices.Contains([]string{"critical", "error", "warning", "info"}, p.Severity) {
			out = append(out, "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')")
		}
		out = append(out, timestamp(p.Timestamp)...)
	}
	return append(out, media(e.Links, e.Images)...)
}

func media(links []Link, images []Image) (out []string) {
	for _, l := range links {
		if !absolute(l.Href, "http", "https") {
			out = append(out, "'links.href' is no URL")
		}
	}
	for _, im := range images {
		if !absolute(im.Src, "https") || (im.Href != "" && !absolute(im.Href, "http", "https")) {
			out = append(out, "'images.src' must be served over HTTPS")
		}
	}
	return out
}

func absolute(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme)
}

func text(field, value string, low, high int) []string {
	switch n := utf8.RuneCountInString(value); {
	case n < low:
		return []string{fmt.Sprintf("'%s' is missing or blank", field)}
	case n > high:
		return []string{fmt.Sprintf("'%s' is too long (maximum is %d characters)", field, high)}
	}
	return nil
}

func timestamp(value string) []string {
	if _, err := time.Parse(time.RFC3339Nano, value); value != "" && err != nil {
		return []string{"'payload.timestamp' is invalid (must be an ISO 8601 time)"}
	}
	return nil
}

func read(w http.ResponseWriter, r *http.Request, out any) bool {
	body, _ := io.ReadAll(r.Body)
	switch err := standin.Strict(body, out); {
	case len(body) > MaxBody:
		standin.JSON(w, http.StatusRequestEntityTooLarge, map[string]string{"status": "invalid event", "message": "Event object exceeds the size limit of 512 KB"})
		return false
	case err != nil:
		return !refuse(w, []string{err.Error()})
	}
	return true
}

func refuse(w http.ResponseWriter, reasons []string) bool {
	if len(reasons) == 0 {
		return false
	}
	standin.JSON(w, http.StatusBadRequest, map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": reasons})
	return true
}

// Webhook makes the request by which PagerDuty tells of an incident, as in
// https://developer.pagerduty.com/docs/webhooks-overview: event is such as
// "incident.acknowledged", who the person that did it.
func Webhook(ctx context.Context, target, secret, event, dedupKey, who string, at time.Time) (*http.Request, error) {
	status := map[string]string{"incident.acknowledged": "acknowledged", "incident.resolved": "resolved"}[event]
	if status == "" {
		status = "triggered"
	}
	reference := func(kind, id, summary string) map[string]string {
		return map[string]string{"type": kind + "_reference", "id": id, "summary": summary, "html_url": "https://acme.pagerduty.example/" + kind + "s/" + id, "self": "https://api.pagerduty.example/" + kind + "s/" + id}
	}
	id := hex.EncodeToString([]byte(event + dedupKey + at.String()))
	body, err := json.Marshal(map[string]any{"event": map[string]any{
		"id": id[:min(len(id), 26)] + NewKey()[:6], "event_type": event, "resource_type": "incident", "occurred_at": at.UTC().Format("2006-01-02T15:04:05.000Z"),
		"agent": reference("user", "PUSER01", who), "client": nil,
		"data": map[string]any{
			"type": "incident", "id": "Q1INCIDENT", "self": "https://api.pagerduty.example/incidents/Q1INCIDENT", "html_url": "https://acme.pagerduty.example/incidents/Q1INCIDENT",
			"number": 2, "status": status, "incident_key": dedupKey, "created_at": at.UTC().Format(time.RFC3339), "title": "a release made things worse",
			"service": reference("service", "PSERVICE", "webapp"), "assignees": []any{reference("user", "PUSER01", who)},
			"escalation_policy": reference("escalation_policy", "PESCALA", "Default"), "teams": []any{}, "priority": nil, "urgency": "high",
			"conference_bridge": nil, "resolve_reason": nil,
		},
	}})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-PagerDuty-Signature", "v1="+Sign(body, secret))
	return req, nil
}

// Sign is the signature of a webhook's body.
func Sign(body []byte, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Package webhooktest stands in for a service that takes Watchtower's events:
// it checks the signature and its time, refuses what is no CloudEvent 1.0, and
// knows an event it has seen by its id.
package webhooktest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

const (
	signedFor = 5 * time.Minute
	maxBody   = 512 << 10
)

// Event is an event as it came.
type Event struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject,omitempty"`
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Data            json.RawMessage `json:"data"`
	// At is when it was taken.
	At time.Time `json:"-"`
}

// Server is such a service.
type Server struct {
	standin.Door

	mu     sync.Mutex
	secret string
	events []Event
	again  int
}

// New makes a service that knows one secret.
func New(secret string) *Server { return &Server{secret: secret} }

// Handler takes events at any path.
func (s *Server) Handler() http.Handler { return s.Wrap(http.HandlerFunc(s.take)) }

// Change gives the service another secret.
func (s *Server) Change(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret = secret
}

// Events are those that came, each once.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// Again is how many came that were there already.
func (s *Server) Again() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.again
}

func (s *Server) take(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if problem := signature(r.Header.Get("Watchtower-Signature"), body, s.secret); problem != "" {
		http.Error(w, problem, http.StatusUnauthorized)
		return
	}
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/cloudevents+json") {
		http.Error(w, "only CloudEvents in JSON are taken", http.StatusUnsupportedMediaType)
		return
	}
	if len(body) > maxBody {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	var e Event
	if err := standin.Strict(body, &e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if e.SpecVersion != "1.0" || e.ID == "" || e.Source == "" || e.Type == "" || e.Time.IsZero() || len(e.Data) == 0 {
		http.Error(w, "a required attribute is missing", http.StatusBadRequest)
		return
	}
	if slices.ContainsFunc(s.events, func(old Event) bool { return old.ID == e.ID && old.Source == e.Source }) {
		s.again++
	} else {
		e.At = time.Now()
		s.events = append(s.events, e)
	}
	w.WriteHeader(http.StatusAccepted)
}

func signature(header string, body []byte, secret string) string {
	parts := strings.Split(header, ",")
	stamp, ok := strings.CutPrefix(parts[0], "t=")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if !ok || err != nil {
		return "not signed"
	}
	if time.Since(time.Unix(seconds, 0)).Abs() > signedFor {
		return "signed too long ago"
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(append([]byte(stamp+"."), body...))
	if want := "v1=" + hex.EncodeToString(mac.Sum(nil)); !slices.Contains(parts[1:], want) {
		return "wrong signature"
	}
	return ""
}

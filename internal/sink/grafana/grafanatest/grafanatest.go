// Package grafanatest stands in for Grafana's annotations
// (https://grafana.com/docs/grafana/latest/developers/http_api/annotations/):
// organisations with their dashboards and service accounts, its limits, and no
// unknown field.
package grafanatest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

const (
	maxTags = 500     // characters of the JSON of all tags
	maxText = 1 << 16 // bytes
)

// Annotation is an annotation as it stands.
type Annotation struct {
	ID        int64    `json:"id"`
	Org       int64    `json:"-"`
	Dashboard string   `json:"dashboardUID,omitempty"`
	Panel     int64    `json:"panelId"`
	Time      int64    `json:"time"`
	TimeEnd   int64    `json:"timeEnd"`
	Tags      []string `json:"tags"`
	Text      string   `json:"text"`
	Changes   int      `json:"-"`
	// At is when it was made.
	At time.Time `json:"-"`
}

// Server is a Grafana.
type Server struct {
	standin.Door

	mu         sync.Mutex
	tokens     map[string]int64 // token → organisation
	readers    map[string]bool  // tokens that may not write
	dashboards map[string]int64 // uid → organisation
	notes      []*Annotation
	last       int64
}

// New makes a Grafana with service accounts: token → organisation.
func New(tokens map[string]int64) *Server {
	return &Server{tokens: tokens, readers: map[string]bool{}, dashboards: map[string]int64{}}
}

// Dashboard adds a dashboard to an organisation.
func (s *Server) Dashboard(uid string, org int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dashboards[uid] = org
}

// Revoke takes a token away.
func (s *Server) Revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, token)
}

// ReadOnly lets a token write no more.
func (s *Server) ReadOnly(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers[token] = true
}

// Annotations are all there are, in the order they were made.
func (s *Server) Annotations() []Annotation {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Annotation, len(s.notes))
	for i, n := range s.notes {
		out[i] = *n
	}
	return out
}

// Delete removes an annotation, as a person may.
func (s *Server) Delete(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = slices.DeleteFunc(s.notes, func(n *Annotation) bool { return n.ID == id })
}

// Handler serves the API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request, int64){
		"GET /api/annotations": s.find, "POST /api/annotations": s.make, "PATCH /api/annotations/{id}": s.change, "DELETE /api/annotations/{id}": s.remove,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if org, ok := s.allowed(w, r); ok {
				h(w, r, org)
			}
		})
	}
	mux.HandleFunc("GET /api/health", func(w http.ResponseWriter, _ *http.Request) {
		standin.JSON(w, http.StatusOK, map[string]string{"database": "ok", "version": "12.2.0"})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusNotFound, "Not found") })
	return s.Wrap(mux)
}

func say(w http.ResponseWriter, status int, message string) {
	standin.JSON(w, status, map[string]string{"message": message})
}

func (s *Server) allowed(w http.ResponseWriter, r *http.Request) (org int64, ok bool) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	org, ok = s.tokens[token]
	asked := r.Header.Get("X-Grafana-Org-Id")
	switch {
	case !ok:
		say(w, http.StatusUnauthorized, "Invalid API key")
	case asked != "" && asked != strconv.FormatInt(org, 10):
		say(w, http.StatusForbidden, "The service account is of another organization")
		ok = false
	case r.Method != http.MethodGet && s.readers[token]:
		say(w, http.StatusForbidden, "You'll need additional permissions to perform this action. Permissions needed: annotations:write")
		ok = false
	}
	return org, ok
}

func (s *Server) make(w http.ResponseWriter, r *http.Request, org int64) {
	var in struct {
		Dashboard string   `json:"dashboardUID"`
		Panel     int64    `json:"panelId"`
		Time      int64    `json:"time"`
		TimeEnd   int64    `json:"timeEnd"`
		Tags      []string `json:"tags"`
		Text      string   `json:"text"`
	}
	if !read(w, r, &in) {
		return
	}
	if in.Dashboard != "" && s.dashboards[in.Dashboard] != org {
		say(w, http.StatusNotFound, "Dashboard not found")
		return
	}
	n := &Annotation{At: time.Now(), Org: org, Dashboard: in.Dashboard, Panel: in.Panel, Time: in.Time, TimeEnd: in.TimeEnd, Tags: in.Tags, Text: in.Text}
	if problem := n.problem(); problem != "" {
		say(w, http.StatusBadRequest, problem)
		return
	}
	s.last++
	n.ID = s.last
	s.notes = append(s.notes, n)
	standin.JSON(w, http.StatusOK, map[string]any{"message": "Annotation added", "id": n.ID})
}

func (n *Annotation) problem() string {
	tags, _ := json.Marshal(n.Tags)
	switch {
	case n.Text == "":
		return "Failed to save annotation: text field should not be empty"
	case len([]rune(string(tags))) > maxTags:
		return "annotation tags length exceeds the maximum allowed: modify the configuration to increase it"
	case len(n.Text) >= maxText:
		return "Data too long for column 'text'"
	case n.Time <= 0 || n.TimeEnd < n.Time:
		return "bad time range"
	case n.Panel != 0 && n.Dashboard == "":
		return "a panel without a dashboard"
	}
	return ""
}

func (s *Server) byID(w http.ResponseWriter, r *http.Request, org int64) *Annotation {
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
	for _, n := range s.notes {
		if n.ID == id && n.Org == org {
			return n
		}
	}
	say(w, http.StatusNotFound, "Annotation not found")
	return nil
}

func (s *Server) change(w http.ResponseWriter, r *http.Request, org int64) {
	n := s.byID(w, r, org)
	var in struct {
		Time    *int64   `json:"time"`
		TimeEnd *int64   `json:"timeEnd"`
		Tags    []string `json:"tags"`
		Text    *string  `json:"text"`
	}
	if n == nil || !read(w, r, &in) {
		return
	}
	next := *n
	if in.Time != nil {
		next.Time = *in.Time
	}
	if in.TimeEnd != nil {
		next.TimeEnd = *in.TimeEnd
	}
	if in.Tags != nil {
		next.Tags = in.Tags
	}
	if in.Text != nil {
		next.Text = *in.Text
	}
	if problem := next.problem(); problem != "" {
		say(w, http.StatusBadRequest, problem)
		return
	}
	next.Changes++
	*n = next
	say(w, http.StatusOK, "Annotation patched")
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request, org int64) {
	if n := s.byID(w, r, org); n != nil {
		s.notes = slices.DeleteFunc(s.notes, func(other *Annotation) bool { return other == n })
		say(w, http.StatusOK, "Annotation deleted")
	}
}

func (s *Server) find(w http.ResponseWriter, r *http.Request, org int64) {
	q := r.URL.Query()
	for name := range q {
		if !slices.Contains([]string{"from", "to", "tags", "matchAny", "type", "limit", "dashboardUID", "panelId"}, name) {
			say(w, http.StatusBadRequest, "unknown parameter "+name)
			return
		}
	}
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 1 {
		limit = 100
	}
	out := []Annotation{}
	for _, n := range slices.Backward(s.notes) { // the newest first
		if n.Org == org && n.matches(q) && len(out) < limit {
			out = append(out, *n)
		}
	}
	standin.JSON(w, http.StatusOK, out)
}

func (n *Annotation) matches(q url.Values) bool {
	for _, tag := range q["tags"] {
		if !slices.Contains(n.Tags, tag) {
			return false
		}
	}
	panel := q.Get("panelId")
	return (q.Get("dashboardUID") == "" || q.Get("dashboardUID") == n.Dashboard) && (panel == "" || panel == strconv.FormatInt(n.Panel, 10))
}

func read(w http.ResponseWriter, r *http.Request, out any) bool {
	body, _ := io.ReadAll(r.Body)
	if err := standin.Strict(body, out); err != nil {
		say(w, http.StatusBadRequest, "bad request data: "+err.Error())
		return false
	}
	return true
}

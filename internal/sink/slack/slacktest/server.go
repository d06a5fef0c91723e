// Package slacktest stands in for Slack: the methods of the Web API that
// Watchtower calls, interactions by signed HTTP and Socket Mode, as strict as
// their documentation (https://docs.slack.dev/reference/methods,
// https://docs.slack.dev/reference/block-kit).
package slacktest

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

// Channel is a channel of the workspace.
type Channel struct {
	ID, Name string
	Archived bool
	Member   bool // the app was invited
}

// Message is a message as it stands.
type Message struct {
	Channel  string    `json:"channel"`
	TS       string    `json:"ts"`
	ThreadTS string    `json:"thread_ts,omitempty"`
	Text     string    `json:"text"`
	Blocks   []Block   `json:"blocks,omitempty"`
	Metadata *Metadata `json:"metadata,omitempty"`
	Files    []File    `json:"files,omitempty"`
	// Edits is how often it was updated.
	Edits int `json:"edits,omitempty"`
	// To is who alone sees it; empty: everybody.
	To string `json:"to,omitempty"`
}

// Metadata is what an app attaches to its message.
type Metadata struct {
	EventType    string         `json:"event_type"`
	EventPayload map[string]any `json:"event_payload"`
}

// File is an uploaded file.
type File struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Title   string `json:"title"`
	AltText string `json:"alt_txt,omitempty"`
	Content []byte `json:"-"`
	size    int
}

// Server is a workspace with one app.
type Server struct {
	standin.Door

	// Token is the app's bot token; "" once it is revoked.
	token, appToken string
	base            string // where it is reached; "" until the first request

	mu       sync.Mutex
	scopes   map[string]bool
	channels map[string]Channel
	messages []*Message
	files    map[string]*File
	clock    int64            // of the last timestamp, microseconds
	rates    map[string]*rate // by channel
	limited  time.Duration
	burst    int
	sockets  sockets
}

// AllScopes are what the app asks for.
var AllScopes = []string{"chat:write", "channels:history", "groups:history", "files:write"}

// New makes a workspace whose app has a bot token, an app token for Socket Mode
// and channels.
func New(token, appToken string, channels ...Channel) *Server {
	s := &Server{
		token: token, appToken: appToken, channels: map[string]Channel{}, files: map[string]*File{}, scopes: map[string]bool{},
		rates: map[string]*rate{},
	}
	for _, c := range channels {
		s.channels[c.ID] = c
	}
	for _, scope := range AllScopes {
		s.scopes[scope] = true
	}
	return s
}

// Handler serves the API under /api/, uploads and Socket Mode.
func (s *Server) Handler() http.Handler {
	api := http.NewServeMux()
	for name, m := range s.methods() {
		api.HandleFunc("POST /api/"+name, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, m) })
	}
	api.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil, fault{code: "unknown_method"}) })
	api.HandleFunc("POST /upload/{id}", s.upload)
	mux := http.NewServeMux()
	mux.Handle("/", s.Wrap(api))
	mux.HandleFunc("GET /socket", s.sockets.serve)
	return mux
}

// Revoke takes the tokens away.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.appToken = "", ""
}

// Forbid takes a scope away.
func (s *Server) Forbid(scope string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.scopes, scope)
}

// Put changes or adds a channel.
func (s *Server) Put(c Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels[c.ID] = c
}

// Limit has one message per channel taken in that time, as Slack does with one
// in a second, after a burst; the others are told to come again.
func (s *Server) Limit(every time.Duration, burst int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limited, s.burst = every, burst
}

// rate is what was posted in a channel.
type rate struct {
	next  time.Time // when a message would be taken without bursts
	taken []time.Time
	over  int
}

// Posted is when each message of a channel was taken, and how many were told to
// come again.
func (s *Server) Posted(channel string) (taken []time.Time, over int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rates[channel]; r != nil {
		return slices.Clone(r.taken), r.over
	}
	return nil, 0
}

// pass takes a message, or says when to come again.
func (s *Server) pass(channel string, now time.Time) (after time.Duration) {
	r := s.rates[channel]
	if r == nil {
		r = &rate{}
		s.rates[channel] = r
	}
	if r.next.Before(now) {
		r.next = now
	}
	if wait := r.next.Sub(now) - time.Duration(max(s.burst-1, 0))*s.limited; wait > 0 {
		r.over++
		return max(wait, time.Second)
	}
	r.next = r.next.Add(s.limited)
	r.taken = append(r.taken, now)
	return 0
}

// Delete removes a message, as a person may.
func (s *Server) Delete(ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = slices.DeleteFunc(s.messages, func(m *Message) bool { return m.TS == ts })
}

// Parents are the messages of a channel that everybody sees and that stand in
// no thread.
func (s *Server) Parents(channel string) []Message {
	return s.find(func(m *Message) bool { return m.Channel == channel && m.ThreadTS == "" && m.To == "" })
}

// Thread are the answers to a message.
func (s *Server) Thread(ts string) []Message {
	return s.find(func(m *Message) bool { return m.ThreadTS == ts && m.To == "" })
}

// Ephemeral are the messages that one person alone sees.
func (s *Server) Ephemeral() []Message { return s.find(func(m *Message) bool { return m.To != "" }) }

func (s *Server) find(keep func(*Message) bool) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	for _, m := range s.messages {
		if keep(m) {
			out = append(out, *m)
		}
	}
	return out
}

// fault is an error of the API: its code and, where there is more to say, what.
type fault struct {
	code     string
	messages []string
	needed   string
	after    time.Duration // with ratelimited
}

var none fault

// method is one of the API.
type method struct {
	scope    string
	app      bool     // it takes the app token
	required []string // parameters it must have
	optional []string
	do       func(s *Server, p url.Values) (map[string]any, fault)
}

// serve checks token, scope and parameters, which are a form as the clients
// send it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, m method) {
	body, _ := io.ReadAll(r.Body)
	p, err := url.ParseQuery(string(body))
	if kind := r.Header.Get("Content-Type"); err != nil || (len(body) > 0 && !strings.HasPrefix(kind, "application/x-www-form-urlencoded")) {
		answer(w, nil, fault{code: "invalid_form_data"})
		return
	}
	token := p.Get("token")
	p.Del("token")
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && token == "" {
		token = bearer
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base = "http://" + r.Host
	if r.TLS != nil {
		s.base = "https://" + r.Host
	}
	if f := s.allowed(token, m); f.code != "" {
		answer(w, nil, f)
		return
	}
	known := append(slices.Clone(m.required), m.optional...)
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if !slices.Contains(known, name) || len(p[name]) != 1 {
			answer(w, nil, fault{code: "invalid_arguments", messages: []string{"[ERROR] unknown or doubled argument: " + name}})
			return
		}
	}
	for _, name := range m.required {
		if p.Get(name) == "" {
			answer(w, nil, fault{code: "invalid_arguments", messages: []string{"[ERROR] missing required argument: " + name}})
			return
		}
	}
	out, f := m.do(s, p)
	answer(w, out, f)
}

func (s *Server) allowed(token string, m method) fault {
	want := s.token
	if m.app {
		want = s.appToken
	}
	switch {
	case token == "":
		return fault{code: "not_authed"}
	case want == "":
		return fault{code: "token_revoked"}
	case token != want:
		return fault{code: "invalid_auth"}
	case m.scope != "" && !s.scopes[m.scope]:
		return fault{code: "missing_scope", needed: m.scope}
	}
	return none
}

func answer(w http.ResponseWriter, out map[string]any, f fault) {
	if f.code == "" {
		out["ok"] = true
		standin.JSON(w, http.StatusOK, out)
		return
	}
	out = map[string]any{"ok": false, "error": f.code}
	if len(f.messages) > 0 {
		out["response_metadata"] = map[string]any{"messages": f.messages}
	}
	if f.needed != "" {
		out["needed"], out["provided"] = f.needed, "none"
	}
	status := http.StatusOK
	if f.code == "ratelimited" {
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", fmt.Sprint(int64(f.after/time.Second)))
	}
	standin.JSON(w, status, out)
}

// stamp is a timestamp that no other message has.
func (s *Server) stamp() string {
	s.clock = max(s.clock+1, time.Now().UnixMicro())
	return fmt.Sprintf("%d.%06d", s.clock/1e6, s.clock%1e6)
}

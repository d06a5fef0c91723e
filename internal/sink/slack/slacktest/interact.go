package slacktest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Click is what Slack tells an app of a person who pressed a button.
func Click(m Message, b Button, user string) map[string]any {
	return map[string]any{
		"type": "block_actions", "api_app_id": "A1", "team": map[string]any{"id": "T1", "domain": "acme"},
		"user":       map[string]any{"id": user, "username": "name-of-" + user, "name": "name-of-" + user, "team_id": "T1"},
		"container":  map[string]any{"type": "message", "message_ts": m.TS, "channel_id": m.Channel, "is_ephemeral": false},
		"trigger_id": "1.2.3", "channel": map[string]any{"id": m.Channel, "name": "deploys"},
		"message":      map[string]any{"type": "message", "ts": m.TS, "text": m.Text, "metadata": m.Metadata},
		"response_url": "https://hooks.slack.example/actions/1", "state": map[string]any{"values": map[string]any{}},
		"actions": []any{map[string]any{
			"type": "button", "action_id": b.ActionID, "block_id": "b1", "value": b.Value, "action_ts": strconv.FormatInt(time.Now().UnixNano(), 10),
			"text": map[string]any{"type": "plain_text", "text": b.Text.Text},
		}},
	}
}

// Signed makes the request by which Slack tells of an interaction over HTTP.
func Signed(ctx context.Context, target, secret string, at time.Time, payload any) (*http.Request, error) {
	text, err := json.Marshal(payload)
	if err != nil {
		return nil, err
	}
	body := url.Values{"payload": {string(text)}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + stamp + ":" + body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Slack-Request-Timestamp", stamp)
	r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	return r, nil
}

// sockets are the connections of apps in Socket Mode.
type sockets struct {
	mu   sync.Mutex
	open []*websocket.Conn
	acks map[string]chan struct{}
	next int
}

func (s *sockets) serve(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	s.mu.Lock()
	if s.acks == nil {
		s.acks = map[string]chan struct{}{}
	}
	err = conn.WriteJSON(map[string]any{"type": "hello", "num_connections": 1, "connection_info": map[string]any{"app_id": "A1"}, "debug_info": map[string]any{"host": "standin"}})
	s.open = append(s.open, conn)
	s.mu.Unlock()
	for err == nil {
		var ack struct {
			EnvelopeID string `json:"envelope_id"`
		}
		if err = conn.ReadJSON(&ack); err != nil {
			break
		}
		s.mu.Lock()
		if got := s.acks[ack.EnvelopeID]; got != nil {
			close(got)
			delete(s.acks, ack.EnvelopeID)
		}
		s.mu.Unlock()
	}
}

// Connected is how many apps are connected in Socket Mode.
func (s *Server) Connected() int {
	s.sockets.mu.Lock()
	defer s.sockets.mu.Unlock()
	return len(s.sockets.open)
}

// Push tells the app of an interaction over its last connection and waits for
// the app to say that it got it.
func (s *Server) Push(ctx context.Context, payload any) error {
	s.sockets.mu.Lock()
	if len(s.sockets.open) == 0 {
		s.sockets.mu.Unlock()
		return errors.New("no app is connected")
	}
	s.sockets.next++
	id := "envelope-" + strconv.Itoa(s.sockets.next)
	got := make(chan struct{})
	s.sockets.acks[id] = got
	err := s.sockets.open[len(s.sockets.open)-1].WriteJSON(map[string]any{
		"type": "interactive", "envelope_id": id, "payload": payload, "accepts_response_payload": true,
	})
	s.sockets.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-got:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Hangup ends the connections of Socket Mode.
func (s *Server) Hangup() {
	s.sockets.mu.Lock()
	defer s.sockets.mu.Unlock()
	for _, c := range s.sockets.open {
		_ = c.Close()
	}
	s.sockets.open = nil
}

package slacktest

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

const (
	maxText     = 40_000 // characters; Slack cuts what is longer
	maxMetadata = 16 << 10
)

var look = []string{"text", "blocks", "metadata", "mrkdwn", "parse", "link_names", "unfurl_links", "unfurl_media"}

func (s *Server) methods() map[string]method {
	return map[string]method{
		"auth.test": {do: func(*Server, url.Values) (map[string]any, fault) {
			return map[string]any{"url": "https://acme.slack.example/", "team": "Acme", "user": "watchtower", "team_id": "T1", "user_id": "UBOT", "bot_id": "B1"}, none
		}},
		"chat.postMessage": {
			scope: "chat:write", required: []string{"channel"}, optional: append([]string{"thread_ts", "reply_broadcast"}, look...), do: (*Server).post,
		},
		"chat.update":        {scope: "chat:write", required: []string{"channel", "ts"}, optional: look, do: (*Server).update},
		"chat.postEphemeral": {scope: "chat:write", required: []string{"channel", "user"}, optional: append([]string{"thread_ts"}, look...), do: (*Server).ephemeral},
		"conversations.history": {
			scope: "channels:history", required: []string{"channel"}, optional: []string{"cursor", "inclusive", "latest", "oldest", "limit", "include_all_metadata"},
			do: (*Server).history,
		},
		"conversations.replies": {
			scope: "channels:history", required: []string{"channel", "ts"}, optional: []string{"cursor", "inclusive", "latest", "oldest", "limit", "include_all_metadata"},
			do: (*Server).replies,
		},
		"files.getUploadURLExternal": {scope: "files:write", required: []string{"filename", "length"}, optional: []string{"alt_txt"}, do: (*Server).uploadURL},
		"files.completeUploadExternal": {
			scope: "files:write", required: []string{"files"}, optional: []string{"channel_id", "initial_comment", "thread_ts"}, do: (*Server).complete,
		},
		"apps.connections.open": {app: true, do: func(s *Server, _ url.Values) (map[string]any, fault) {
			return map[string]any{"url": "ws" + strings.TrimPrefix(s.base, "http") + "/socket"}, none
		}},
	}
}

// channel is one that the app may write in.
func (s *Server) channel(id string) fault {
	c, ok := s.channels[id]
	switch {
	case !ok:
		return fault{code: "channel_not_found"}
	case c.Archived:
		return fault{code: "is_archived"}
	case !c.Member:
		return fault{code: "not_in_channel"}
	}
	return none
}

// fill reads what a message says.
func fill(m *Message, p url.Values) fault {
	m.Text = p.Get("text")
	if utf8.RuneCountInString(m.Text) > maxText {
		return fault{code: "msg_too_long"}
	}
	m.Blocks = nil
	if text := p.Get("blocks"); text != "" {
		if err := standin.Strict([]byte(text), &m.Blocks); err != nil {
			return fault{code: "invalid_blocks_format", messages: []string{"[ERROR] " + err.Error()}}
		}
	}
	if problems := check(m.Blocks); len(problems) > 0 {
		return fault{code: "invalid_blocks", messages: problems}
	}
	if m.Text == "" && len(m.Blocks) == 0 {
		return fault{code: "no_text"}
	}
	if text := p.Get("metadata"); text != "" {
		m.Metadata = &Metadata{}
		if err := standin.Strict([]byte(text), m.Metadata); err != nil || m.Metadata.EventType == "" || m.Metadata.EventPayload == nil {
			return fault{code: "invalid_metadata_format"}
		}
		if len(text) > maxMetadata {
			return fault{code: "metadata_too_large"}
		}
	}
	return none
}

func (s *Server) post(p url.Values) (map[string]any, fault) {
	m := &Message{Channel: p.Get("channel"), ThreadTS: p.Get("thread_ts")}
	if f := s.channel(m.Channel); f.code != "" {
		return nil, f
	}
	if m.ThreadTS != "" && s.message(m.Channel, m.ThreadTS) == nil {
		return nil, fault{code: "thread_not_found"}
	}
	if f := fill(m, p); f.code != "" {
		return nil, f
	}
	if after := s.pass(m.Channel, time.Now()); after > 0 {
		return nil, fault{code: "ratelimited", after: after.Round(time.Second)}
	}
	m.TS = s.stamp()
	s.messages = append(s.messages, m)
	return map[string]any{"channel": m.Channel, "ts": m.TS, "message": map[string]any{"text": m.Text, "ts": m.TS}}, none
}

func (s *Server) message(channel, ts string) *Message {
	for _, m := range s.messages {
		if m.Channel == channel && m.TS == ts && m.To == "" {
			return m
		}
	}
	return nil
}

func (s *Server) update(p url.Values) (map[string]any, fault) {
	if f := s.channel(p.Get("channel")); f.code != "" {
		return nil, f
	}
	m := s.message(p.Get("channel"), p.Get("ts"))
	if m == nil {
		return nil, fault{code: "message_not_found"}
	}
	next := *m
	if f := fill(&next, p); f.code != "" {
		return nil, f
	}
	next.Edits++
	*m = next
	return map[string]any{"channel": m.Channel, "ts": m.TS, "text": m.Text}, none
}

func (s *Server) ephemeral(p url.Values) (map[string]any, fault) {
	m := &Message{Channel: p.Get("channel"), ThreadTS: p.Get("thread_ts"), To: p.Get("user")}
	if f := s.channel(m.Channel); f.code != "" {
		return nil, f
	}
	if f := fill(m, p); f.code != "" {
		return nil, f
	}
	m.TS = s.stamp()
	s.messages = append(s.messages, m)
	return map[string]any{"message_ts": m.TS}, none
}

func (s *Server) history(p url.Values) (map[string]any, fault) {
	return s.list(p, func(m *Message) bool { return m.ThreadTS == "" }, true)
}

func (s *Server) replies(p url.Values) (map[string]any, fault) {
	ts := p.Get("ts")
	if s.message(p.Get("channel"), ts) == nil {
		return nil, fault{code: "thread_not_found"}
	}
	return s.list(p, func(m *Message) bool { return m.ThreadTS == ts || m.TS == ts }, false)
}

// list answers a page of messages; metadata are in it only where asked for.
func (s *Server) list(p url.Values, keep func(*Message) bool, newestFirst bool) (map[string]any, fault) {
	if f := s.channel(p.Get("channel")); f.code != "" && f.code != "is_archived" {
		return nil, f
	}
	limit, err := strconv.Atoi(p.Get("limit"))
	if p.Get("limit") == "" {
		limit, err = 100, nil
	}
	start := 0
	if cursor := p.Get("cursor"); cursor != "" && err == nil {
		start, err = strconv.Atoi(cursor)
	}
	if err != nil || limit < 1 || limit > 999 || start < 0 {
		return nil, fault{code: "invalid_arguments"}
	}
	found := []map[string]any{}
	for _, m := range s.messages {
		if m.Channel != p.Get("channel") || m.To != "" || !keep(m) || m.TS <= p.Get("oldest") {
			continue
		}
		item := map[string]any{"type": "message", "ts": m.TS, "text": m.Text, "bot_id": "B1", "files": fileList(m.Files)}
		if m.ThreadTS != "" {
			item["thread_ts"] = m.ThreadTS
		}
		if m.Metadata != nil && p.Get("include_all_metadata") == "1" {
			item["metadata"] = m.Metadata
		}
		found = append(found, item)
	}
	if newestFirst {
		slices.Reverse(found)
	}
	next := ""
	end := min(start+limit, len(found))
	if end < len(found) {
		next = strconv.Itoa(end)
	}
	return map[string]any{
		"messages": found[min(start, end):end], "has_more": next != "", "response_metadata": map[string]any{"next_cursor": next},
	}, none
}

func fileList(files []File) []map[string]any {
	out := []map[string]any{}
	for _, f := range files {
		out = append(out, map[string]any{"id": f.ID, "name": f.Name, "title": f.Title})
	}
	return out
}

func (s *Server) uploadURL(p url.Values) (map[string]any, fault) {
	size, err := strconv.Atoi(p.Get("length"))
	if err != nil || size <= 0 || size > 1<<30 {
		return nil, fault{code: "invalid_arguments"}
	}
	if utf8.RuneCountInString(p.Get("alt_txt")) > 1000 {
		return nil, fault{code: "alt_txt_too_large"}
	}
	f := &File{ID: "F" + strconv.Itoa(len(s.files)+1), Name: p.Get("filename"), AltText: p.Get("alt_txt"), size: size}
	s.files[f.ID] = f
	return map[string]any{"upload_url": s.base + "/upload/" + f.ID, "file_id": f.ID}, none
}

// upload takes the bytes of a file, in a multipart form or as they are.
func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "multipart/form-data" {
		part, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).NextPart()
		if err != nil {
			http.Error(w, "no part", http.StatusBadRequest)
			return
		}
		body, _ = io.ReadAll(part)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[r.PathValue("id")]
	if f == nil || len(body) != f.size {
		http.Error(w, "the size is not that announced", http.StatusBadRequest)
		return
	}
	f.Content = body
	_, _ = io.WriteString(w, "OK - "+strconv.Itoa(len(body)))
}

func (s *Server) complete(p url.Values) (map[string]any, fault) {
	var list []struct {
		ID    string `json:"id"`
		Title string `json:"title"`
	}
	if err := json.Unmarshal([]byte(p.Get("files")), &list); err != nil || len(list) == 0 {
		return nil, fault{code: "invalid_arguments"}
	}
	m := &Message{Channel: p.Get("channel_id"), ThreadTS: p.Get("thread_ts"), Text: p.Get("initial_comment")}
	out := []map[string]any{}
	for _, in := range list {
		f := s.files[in.ID]
		if f == nil || f.Content == nil {
			return nil, fault{code: "file_not_found"}
		}
		f.Title = in.Title
		m.Files = append(m.Files, *f)
		out = append(out, map[string]any{"id": f.ID, "title": f.Title})
	}
	if m.Channel != "" {
		if f := s.channel(m.Channel); f.code != "" {
			return nil, f
		}
		m.TS = s.stamp()
		s.messages = append(s.messages, m)
	}
	return map[string]any{"files": out}, none
}

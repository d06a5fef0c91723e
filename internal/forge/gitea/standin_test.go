package gitea

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

const token = "0f1e2d3c4b5a69788796a5b4c3d2e1f001234567"

// standIn is a forge that refuses what the real one refuses and keeps what it
// was given.
type standIn struct {
	t      *testing.T
	url    string
	client *Client

	mu       sync.Mutex
	issues   []storedIssue // oldest first
	labels   []label
	perPage  int // the server's own limit
	fail     func(w http.ResponseWriter, r *http.Request) bool
	requests []string
	compare  string // body of the answer
}

type storedIssue struct {
	Title  string  `json:"title"`
	Body   string  `json:"body"`
	State  string  `json:"state"`
	URL    string  `json:"html_url"`
	Labels []int64 `json:"-"`
}

func newStandIn(t *testing.T) *standIn {
	s := &standIn{t: t, perPage: 50}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{URL: s.url + "/", TokenFile: file, Repository: "shop/webapp"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s.client = c
	return s
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	if s.fail != nil && s.fail(w, r) {
		return
	}
	if r.Header.Get("Authorization") != "token "+token {
		s.refuse(w, http.StatusUnauthorized, "user does not exist [uid: 0, name: ]")
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v1/repos/shop/webapp/")
	if !ok {
		s.refuse(w, http.StatusNotFound, "The target couldn't be found.")
		return
	}
	switch operation := r.Method + " " + path; {
	case operation == "GET issues":
		s.listIssues(w, r)
	case operation == "POST issues":
		s.openIssue(w, r)
	case operation == "GET labels":
		from, to := s.page(r, len(s.labels))
		s.answer(w, http.StatusOK, s.labels[from:to])
	case operation == "POST labels":
		s.createLabel(w, r)
	case strings.HasPrefix(operation, "GET compare/"):
		if !strings.Contains(operation, "...") || s.compare == "" {
			s.refuse(w, http.StatusNotFound, "The target couldn't be found.")
			return
		}
		_, _ = io.WriteString(w, s.compare)
	default:
		s.refuse(w, http.StatusMethodNotAllowed, "no such operation")
	}
}

func (s *standIn) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Error(err)
	}
}

func (s *standIn) refuse(w http.ResponseWriter, status int, message string) {
	s.answer(w, status, map[string]string{"message": message, "url": s.url + "/api/swagger"})
}

func (s *standIn) page(r *http.Request, n int) (from, to int) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil {
		s.t.Errorf("no limit in %s", r.URL)
	}
	page, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil {
		s.t.Errorf("no page in %s", r.URL)
	}
	limit = min(limit, s.perPage)
	return min((page-1)*limit, n), min(page*limit, n)
}

func (s *standIn) listIssues(w http.ResponseWriter, r *http.Request) {
	newest := slices.Clone(s.issues)
	slices.Reverse(newest)
	if state := r.URL.Query().Get("state"); state != "all" { // open is the API's default
		newest = slices.DeleteFunc(newest, func(i storedIssue) bool { return i.State != "open" })
	}
	from, to := s.page(r, len(newest))
	s.answer(w, http.StatusOK, newest[from:to])
}

func (s *standIn) decode(w http.ResponseWriter, r *http.Request, v any) bool {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil || r.Header.Get("Content-Type") != "application/json" {
		s.refuse(w, http.StatusUnprocessableEntity, fmt.Sprint("bad body: ", err))
		return false
	}
	return true
}

func (s *standIn) openIssue(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Title  string  `json:"title"`
		Body   string  `json:"body"`
		Labels []int64 `json:"labels"`
	}
	if !s.decode(w, r, &in) {
		return
	}
	if in.Title == "" || utf8.RuneCountInString(in.Title) > 255 || len(in.Body) > 65535 {
		s.refuse(w, http.StatusUnprocessableEntity, "[Title]: Required or too long")
		return
	}
	for _, id := range in.Labels {
		if !slices.ContainsFunc(s.labels, func(l label) bool { return l.ID == id }) {
			s.refuse(w, http.StatusInternalServerError, "GetLabelsByIDs")
			return
		}
	}
	is := storedIssue{in.Title, in.Body, "open", fmt.Sprintf("%s/shop/webapp/issues/%d", s.url, len(s.issues)+1), in.Labels}
	s.issues = append(s.issues, is)
	s.answer(w, http.StatusCreated, is)
}

func (s *standIn) createLabel(w http.ResponseWriter, r *http.Request) {
	var in label
	if !s.decode(w, r, &in) {
		return
	}
	if in.Name == "" || len(in.Name) > 50 || !strings.HasPrefix(in.Color, "#") || in.ID != 0 {
		s.refuse(w, http.StatusUnprocessableEntity, "invalid label")
		return
	}
	in.ID = int64(len(s.labels) + 10)
	s.labels = append(s.labels, in)
	s.answer(w, http.StatusCreated, in)
}

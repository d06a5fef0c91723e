package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// line is what the log says of one request.
type line struct {
	Msg, Route, Method string
	Status             int
	Failed             bool
}

// served are the requests that the log has a line of.
func (r *running) served(t *testing.T) []line {
	t.Helper()
	var out []line
	for text := range strings.Lines(r.logs.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if l.Msg == requestLine {
			out = append(out, l)
		}
	}
	return out
}

// stopped ends the service and waits for it.
func (r *running) stopped(t *testing.T) {
	t.Helper()
	r.stop()
	err := <-r.done
	r.done <- err
	if err != nil {
		t.Fatal(err)
	}
}

func TestEachRequestHasOneLine(t *testing.T) {
	r := start(t, map[string]string{"ERROR_RATE": "1", "ERROR_ROUTE": checkoutPath})
	for _, path := range []string{"/api/cart", "/api/checkout", "/readyz", "/nothing"} {
		r.get(t, path)
	}
	r.get(t, "/metrics") // which counts nothing and has no line
	r.stopped(t)
	want := []line{
		{requestLine, "/api/cart", "GET", 200, false},
		{requestLine, "/api/checkout", "GET", 500, true},
		{requestLine, "/readyz", "GET", 200, false},
		{requestLine, "unknown", "GET", 404, false},
	}
	got := r.served(t)
	if len(got) != len(want) {
		t.Fatalf("%d lines: %v", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestAClientThatLeavesHasItsLine(t *testing.T) {
	set, err := readSettings(map[string]string{"LATENCY_MS": "60000"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMetrics(set)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{logs: &syncBuffer{}}
	s := &shop{set: set, log: newLogger(set, r.logs), metrics: m}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	s.handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/cart", nil))
	if got := r.served(t); len(got) != 1 || got[0] != (line{requestLine, "/api/cart", "GET", statusClientGone, false}) {
		t.Fatalf("the log has %v", got)
	}
}

func TestDroppedRequestsAreNeitherAnsweredNorCounted(t *testing.T) {
	r := start(t, map[string]string{"DROP_RATE": "0.5"})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	answered := 0
	for range 100 {
		resp, err := client.Get(r.url + "/api/cart")
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatalf("not a closed connection: %v", err)
			}
			continue
		}
		_ = resp.Body.Close()
		answered++
	}
	if answered < 25 || answered > 75 { // 5 standard deviations
		t.Fatalf("%d of 100 were answered", answered)
	}
	if code, _ := r.get(t, readyPath); code != http.StatusOK {
		t.Errorf("the probe was answered %d: only the shop's requests are dropped", code)
	}
	r.stopped(t)
	if got := len(r.served(t)) - 1; got != answered {
		t.Errorf("%d were answered and %d are in the log", answered, got)
	}
}

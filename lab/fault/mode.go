package fault

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"time"
)

// Mode is what happens to a request.
type Mode struct {
	// before may answer in the target's stead: false ends the request.
	before func(w http.ResponseWriter, req *http.Request, t *pass) bool
	// rewrite changes the JSON the target answered with.
	rewrite func(answer map[string]any)
	// header changes the header the target answered with.
	header func(http.Header)
	// after holds up the target's answer; an error drops it.
	after func(ctx context.Context) error
}

// Pass lets the request through.
func Pass() Mode { return Mode{} }

// Refuse closes the connection without an answer.
func Refuse() Mode {
	return Mode{before: func(w http.ResponseWriter, _ *http.Request, _ *pass) bool {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		conn = raw(conn)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, as from a machine that is gone
		}
		_ = conn.Close()
		return false
	}}
}

// Status answers with a code and headers such as Retry-After; the target is
// not asked.
func Status(code int, header http.Header) Mode {
	return Mode{before: func(w http.ResponseWriter, _ *http.Request, t *pass) bool {
		maps.Copy(w.Header(), header)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(`{"status":"error","errorType":"fault","error":"this answer was put in place of the real one"}`))
		t.proxy.change(t.record, func(r *Record) { r.Status = code })
		return false
	}}
}

// Slow waits before the request is passed on.
func Slow(d time.Duration) Mode {
	return Mode{before: func(_ http.ResponseWriter, req *http.Request, _ *pass) bool {
		buffer(req)
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return true
		case <-req.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}}
}

// Lost passes the request on and drops the answer: the target has acted and
// the client does not know.
func Lost() Mode {
	return Mode{after: func(context.Context) error { return http.ErrAbortHandler }}
}

// Clock has the target's clock be off: its answers say they are of another time.
func Clock(off time.Duration) Mode {
	return Mode{header: func(h http.Header) { h.Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat)) }}
}

// Hold is a point at which requests wait.
type Hold struct {
	reached chan struct{}
	release chan struct{}
}

// NewHold returns a Hold nobody waits at.
func NewHold() *Hold {
	return &Hold{reached: make(chan struct{}, 1024), release: make(chan struct{})}
}

// Wait blocks until one more request has reached the point.
func (h *Hold) Wait(ctx context.Context) error {
	select {
	case <-h.reached:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Release lets go of those who wait, and of all who come later. It may be
// called once.
func (h *Hold) Release() { close(h.release) }

func (h *Hold) stay(ctx context.Context) error {
	select {
	case h.reached <- struct{}{}:
	default: // nobody counts that many
	}
	select {
	case <-h.release:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// HoldRequest holds a request before the target sees it. A client that goes
// away meanwhile takes its request with it.
func HoldRequest(h *Hold) Mode {
	return Mode{before: func(_ http.ResponseWriter, req *http.Request, _ *pass) bool {
		buffer(req)
		if h.stay(req.Context()) != nil {
			panic(http.ErrAbortHandler)
		}
		return true
	}}
}

// HoldAnswer holds the answer: the target has acted, the client does not know
// yet.
func HoldAnswer(h *Hold) Mode { return Mode{after: h.stay} }

// buffer reads the whole body: only then does the server notice a client that
// goes away.
func buffer(req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
}

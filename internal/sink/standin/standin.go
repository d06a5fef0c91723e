// Package standin is what the stand-ins of receivers have in common: they keep
// what they were sent for whoever asks, refuse what they do not know, and fail
// on demand. Tests start them, and tools/standins serves them to look at.
package standin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is what goes wrong with a request. The zero Fault is none.
type Fault struct {
	// Status is answered without a look at the request.
	Status int `json:"status,omitempty"`
	// RetryAfter goes with Status, in seconds.
	RetryAfter int `json:"retry_after,omitempty"`
	// HTML answers with a page of HTML, with Status or 200.
	HTML bool `json:"html,omitempty"`
	// Echo answers with what was sent, as an error that tells secrets would.
	Echo bool `json:"echo,omitempty"`
	// Hang gives no answer until the other side gives up.
	Hang bool `json:"hang,omitempty"`
	// Cut breaks the connection before the request is looked at.
	Cut bool `json:"cut,omitempty"`
	// Lose does what was asked and then breaks the connection, so that nobody is
	// told.
	Lose bool `json:"lose,omitempty"`
	// On is a part of the method and path of the requests that fail, as in
	// "POST /api/annotations"; empty: all do.
	On string `json:"on,omitempty"`
	// Skip is how many requests pass before the first one fails.
	Skip int `json:"skip,omitempty"`
	// Times is how many requests fail; 0: all until the fault is mended.
	Times int `json:"times,omitempty"`
}

func (f Fault) any() bool { return f.Status != 0 || f.HTML || f.Echo || f.Hang || f.Cut || f.Lose }

// Request is one that came in, without its secrets.
type Request struct {
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Status int       `json:"status"` // as answered; 0: it was not
	Size   int       `json:"size"`   // of the body, bytes
}

// Door stands before a stand-in: it counts what comes in and makes it fail. The
// zero Door is open.
type Door struct {
	mu       sync.Mutex
	fault    Fault
	requests []Request
}

// Fail makes requests fail from now on.
func (d *Door) Fail(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

// Mend ends a fault.
func (d *Door) Mend() { d.Fail(Fault{}) }

// Requests are those that came in, in their order.
func (d *Door) Requests() []Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.requests)
}

// Next is the fault of a request, such as "POST /api/annotations". It counts as
// one.
func (d *Door) Next(request string) Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.fault
	if !f.any() || !strings.Contains(request, f.On) {
		return Fault{}
	}
	if f.Skip > 0 {
		d.fault.Skip--
		return Fault{}
	}
	if f.Times > 0 {
		if d.fault.Times--; d.fault.Times == 0 {
			d.fault = Fault{}
		}
	}
	return f
}

// Note keeps a request.
func (d *Door) Note(r Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests = append(d.requests, r)
}

// maxBody is more than any receiver takes.
const maxBody = 64 << 20

// Wrap puts the door before a handler.
func (d *Door) Wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		seen := Request{At: time.Now(), Method: r.Method, Path: r.URL.Path, Size: len(body)}
		defer func() { d.Note(seen) }()
		f := d.Next(r.Method + " " + r.URL.Path)
		switch {
		case f.Cut:
			panic(http.ErrAbortHandler)
		case f.Hang:
			<-r.Context().Done()
			return
		case f.Status != 0 || f.HTML || f.Echo:
			seen.Status = f.answer(w, r, body)
			return
		}
		answer := &kept{header: http.Header{}, status: http.StatusOK}
		h.ServeHTTP(answer, r)
		seen.Status = answer.status
		if f.Lose {
			seen.Status = 0
			panic(http.ErrAbortHandler)
		}
		for k, v := range answer.header {
			w.Header()[k] = v
		}
		w.WriteHeader(answer.status)
		_, _ = w.Write(answer.body.Bytes())
	})
}

func (f Fault) answer(w http.ResponseWriter, r *http.Request, body []byte) int {
	status := f.Status
	if status == 0 {
		status = http.StatusOK
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	switch {
	case f.HTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<!doctype html><title>Log in</title>")
	case f.Echo:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": fmt.Sprintf("cannot take %s with %v", body, r.Header)})
	default:
		w.WriteHeader(status)
	}
	return status
}

// kept is an answer that is not sent yet.
type kept struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (k *kept) Header() http.Header { return k.header }

func (k *kept) WriteHeader(status int) {
	if !k.wrote {
		k.status, k.wrote = status, true
	}
}

func (k *kept) Write(p []byte) (int, error) {
	k.wrote = true
	return k.body.Write(p)
}

// Strict decodes one JSON value without unknown fields and with nothing after it.
func Strict(text []byte, out any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(out); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more follows the JSON value")
	}
	return nil
}

// JSON answers with a value.
func JSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

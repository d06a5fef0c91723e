package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a service under test.
type running struct {
	url  string
	stop context.CancelFunc
	done chan error
	logs *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func start(t *testing.T, env map[string]string) *running {
	t.Helper()
	all := map[string]string{"PORT": "0", "LATENCY_MS": "1", "BASE_ERROR_RATE": "0", "SEED": "1"}
	for k, v := range env {
		all[k] = v
	}
	set, err := readSettings(all)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{stop: cancel, done: make(chan error, 1), logs: &syncBuffer{}}
	go func() { r.done <- serve(ctx, set, newLogger(set, r.logs)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.done; err != nil && !errors.Is(err, errCrash) {
			t.Error(err)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	for !strings.Contains(r.logs.String(), "webapp serves") {
		select {
		case err := <-r.done:
			r.done <- err
			return r
		case <-time.After(time.Millisecond):
		}
	}
	for line := range strings.Lines(r.logs.String()) {
		if _, rest, ok := strings.Cut(line, `"addr":"`); ok {
			addr, _, _ := strings.Cut(rest, `"`)
			r.url = "http://" + addr
		} else if _, rest, ok := strings.Cut(line, "addr "); ok {
			addr, _, _ := strings.Cut(rest, ",")
			r.url = "http://" + addr
		}
	}
	return r
}

func (r *running) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get(r.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestRoutesAnswer(t *testing.T) {
	r := start(t, nil)
	for path, want := range map[string]int{
		"/": 200, "/api/products": 200, "/api/cart": 200, "/api/checkout": 200,
		"/healthz": 200, "/readyz": 200, "/metrics": 200, "/nothing": 404,
	} {
		if code, body := r.get(t, path); code != want {
			t.Errorf("%s answers %d %s", path, code, body)
		}
	}
}

func TestLatencyIsMeasuredInTheUnitOfTheDialect(t *testing.T) {
	for dialect, sum := range map[string]string{
		"otel":     `http_server_request_duration_seconds_sum{error_type="",http_request_method="GET",http_response_status_code="200",http_route="/",url_scheme="http"} 0.`,
		"otel-old": `http_server_duration_milliseconds_sum{http_method="GET",http_route="/",http_scheme="http",http_status_code="200"} `,
	} {
		t.Run(dialect, func(t *testing.T) {
			r := start(t, map[string]string{"METRICS_DIALECT": dialect, "LATENCY_MS": "30"})
			r.get(t, "/")
			_, body := r.get(t, "/metrics")
			_, rest, ok := strings.Cut(body, sum)
			if !ok || dialect == "otel-old" && strings.HasPrefix(rest, "0.") {
				t.Errorf("got %s", body)
			}
		})
	}
}

func TestNeverReadyIsAliveAndServes(t *testing.T) {
	r := start(t, map[string]string{"NEVER_READY": "true"})
	for path, want := range map[string]int{"/readyz": 503, "/healthz": 200, "/": 200} {
		if code, _ := r.get(t, path); code != want {
			t.Errorf("%s answers %d, want %d", path, code, want)
		}
	}
}

func TestDownstreamOutageFailsCheckoutOnly(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"its own payment service": {"DOWNSTREAM_OUTAGE": "true"},
		"a named one":             {"DOWNSTREAM_OUTAGE": "true", "DOWNSTREAM_URL": "http://127.0.0.1:9"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, env)
			for path, want := range map[string]int{"/api/checkout": 502, "/api/cart": 200} {
				if code, body := r.get(t, path); code != want {
					t.Errorf("%s answers %d %s", path, code, body)
				}
			}
			if !strings.Contains(r.logs.String(), "payment failed") {
				t.Errorf("the log does not say so: %s", r.logs)
			}
		})
	}
}

// payAt runs a payment service that answers as handle does.
func payAt(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handle}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String() + "/charge"
}

func TestANamedDownstreamIsCalled(t *testing.T) {
	calls := make(chan string, 1)
	r := start(t, map[string]string{"DOWNSTREAM_URL": payAt(t, func(w http.ResponseWriter, req *http.Request) {
		calls <- req.Method + " " + req.URL.Path
		w.WriteHeader(http.StatusInternalServerError)
	})})
	if code, _ := r.get(t, "/api/checkout"); code != http.StatusBadGateway {
		t.Errorf("answers %d", code)
	}
	if got := <-calls; got != "POST /charge" {
		t.Errorf("called with %s", got)
	}
}

func TestHangAcceptsAndNeverAnswers(t *testing.T) {
	r := start(t, map[string]string{"HANG": "true"})
	client := &http.Client{Timeout: 200 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/", "/readyz", "/metrics"} {
		resp, err := client.Get(r.url + path)
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s answers %s", path, resp.Status)
		}
		var opError *net.OpError
		if errors.As(err, &opError) && opError.Op == "dial" {
			t.Errorf("%s: no connection: %v", path, err)
		}
	}
}

func TestCrashEndsWithAnError(t *testing.T) {
	r := start(t, map[string]string{"CRASH_AFTER": "20ms"})
	err := <-r.done
	r.done <- err
	if !errors.Is(err, errCrash) {
		t.Fatalf("got %v", err)
	}
	var stderr bytes.Buffer
	if code := run(context.Background(), map[string]string{"PORT": "0", "CRASH_AFTER": "0s"}, &bytes.Buffer{}, &stderr); code != 1 {
		t.Fatalf("exit code %d", code)
	}
}

func TestARequestUnderWayIsAnsweredBeforeTheEnd(t *testing.T) {
	paying, release := make(chan struct{}), make(chan struct{})
	r := start(t, map[string]string{"DOWNSTREAM_URL": payAt(t, func(http.ResponseWriter, *http.Request) {
		close(paying)
		<-release
	})})
	answered := make(chan int, 1)
	go func() {
		resp, err := http.Get(r.url + "/api/checkout")
		if err != nil {
			answered <- 0
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	<-paying
	r.stop()
	for { // until no new connection is taken
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	close(release)
	if code := <-answered; code != 200 {
		t.Fatalf("answered %d", code)
	}
	err := <-r.done
	r.done <- err
	if err != nil {
		t.Fatal(err)
	}
}

func TestStartDelayHoldsBackTheListener(t *testing.T) {
	began := time.Now()
	start(t, map[string]string{"START_DELAY": "150ms"})
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Fatalf("it served after %s", took)
	}
}

func TestLogError(t *testing.T) {
	r := start(t, map[string]string{"LOG_ERROR": "cache poisoned"})
	for range 100 {
		if code, _ := r.get(t, "/api/cart"); code != 200 {
			t.Fatalf("answers %d", code)
		}
	}
	if n := strings.Count(r.logs.String(), "cache poisoned"); n < 1 || n > 15 {
		t.Fatalf("it is logged %d times in 100", n)
	}
}

func TestLogFormats(t *testing.T) {
	t.Run("json lines are JSON", func(t *testing.T) {
		r := start(t, map[string]string{"ERROR_RATE": "1"})
		r.get(t, "/api/checkout")
		for line := range strings.Lines(r.logs.String()) {
			var entry struct{ Level, Msg, Version string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Version != "dev" {
				t.Fatalf("%s: %v", line, err)
			}
		}
		if !strings.Contains(r.logs.String(), `"msg":"checkout failed"`) {
			t.Fatalf("got %s", r.logs)
		}
	})
	t.Run("plain lines are text", func(t *testing.T) {
		var out bytes.Buffer
		log := newLogger(settings{logFormat: "plain", version: "v1"}, &out)
		log.Error("checkout failed", slog.Int("status", 500))
		if !strings.HasSuffix(out.String(), " ERROR webapp - checkout failed: status 500, version v1\n") {
			t.Fatalf("got %q", out.String())
		}
	})
}

package outbound

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "s3cr3t-7f3a"

func secretFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func newClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	cfg.Service = "test service"
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	c := New(cfg)
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestStatusesBecomeCodes(t *testing.T) {
	for status, want := range map[int]release.Code{
		200: "", 201: "", 202: "", 204: "",
		300: release.CodeInvalid, 304: release.CodeInvalid,
		400: release.CodeInvalid, 401: release.CodeInvalid, 403: release.CodeInvalid, 404: release.CodeInvalid, 405: release.CodeInvalid,
		408: release.CodeUnavailable, 409: release.CodeInvalid, 410: release.CodeInvalid, 413: release.CodeInvalid, 422: release.CodeInvalid,
		425: release.CodeUnavailable, 429: release.CodeRateLimited,
		500: release.CodeUnavailable, 501: release.CodeUnavailable, 502: release.CodeUnavailable, 503: release.CodeUnavailable, 504: release.CodeUnavailable, 599: release.CodeUnavailable,
	} {
		target := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		err := newClient(t, Config{}).Do(t.Context(), "ask", http.MethodGet, target, nil, nil)
		if got := release.ErrorCode(err); got != want {
			t.Errorf("status %d: code %q of %v, want %q", status, got, err, want)
		}
		if want != "" && Status(err) != status {
			t.Errorf("status %d: the error says %d", status, Status(err))
		}
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	for value, want := range map[string]struct{ low, high time.Duration }{
		"": {0, 0}, "7": {7 * time.Second, 7 * time.Second}, "soon": {0, 0}, "-3": {0, 0}, "99999999": {time.Hour, time.Hour},
		time.Now().Add(time.Minute).UTC().Format(http.TimeFormat):     {50 * time.Second, time.Minute},
		time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat):    {0, 0},
		time.Now().Add(100 * time.Hour).UTC().Format(http.TimeFormat): {time.Hour, time.Hour},
	} {
		for _, status := range []int{429, 503} {
			target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", value)
				w.WriteHeader(status)
			})
			err := newClient(t, Config{}).Do(t.Context(), "ask", http.MethodGet, target, nil, nil)
			if got := release.RetryAfter(err); got < want.low || got > want.high {
				t.Errorf("%d %q: got %s, want %s to %s", status, value, got, want.low, want.high)
			}
		}
	}
}

func TestWhatIsSent(t *testing.T) {
	type thing struct {
		Name string `json:"name"`
	}
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || string(body) != `{"name":"a"}` || r.Header.Get("Content-Type") != "application/json" ||
			r.Header.Get("Authorization") != "Bearer "+secret || r.Header.Get("Accept") != "application/json" {
			t.Errorf("got %s %s %v", r.Method, body, r.Header)
		}
		_ = json.NewEncoder(w).Encode(thing{"b"})
	})
	var out thing
	c := newClient(t, Config{Scheme: "Bearer", SecretFile: secretFile(t, secret+"\n")})
	if err := c.Do(t.Context(), "ask", http.MethodPost, target, thing{"a"}, &out); err != nil || out.Name != "b" {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestARenewedSecretCountsAtOnce(t *testing.T) {
	var seen string
	target := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Get("Authorization") })
	file := secretFile(t, "one")
	c := newClient(t, Config{Scheme: "token", SecretFile: file})
	for _, s := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.Do(t.Context(), "ask", http.MethodGet, target, nil, nil); err != nil || seen != "token "+s {
			t.Errorf("sent %q, %v", seen, err)
		}
	}
}

func TestASecretThatCannotBeUsedIsNamedByItsFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for title, file := range map[string]string{
		"missing": missing, "empty": secretFile(t, " \n"), "two lines": secretFile(t, secret+"\n"+secret), "huge": secretFile(t, strings.Repeat("a", maxSecretBytes+1)),
		"a folder": t.TempDir(), "a line break within": secretFile(t, "a\r\nX-Evil: b"),
	} {
		asked := false
		target := serve(t, func(http.ResponseWriter, *http.Request) { asked = true })
		err := newClient(t, Config{Scheme: "Bearer", SecretFile: file}).Do(t.Context(), "ask", http.MethodGet, target, nil, nil)
		if release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", title, err)
		}
		if asked {
			t.Errorf("%s: the request was sent nevertheless", title)
		}
	}
}

func TestNoErrorHoldsTheSecret(t *testing.T) {
	for title, h := range map[string]http.HandlerFunc{
		"echoed as text": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "bad token "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		},
		"echoed as JSON": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			_, _ = io.WriteString(w, `{"message":"no: `+secret+`"}`)
		},
		"echoed in a string": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = io.WriteString(w, `"`+secret+`"`)
		},
		"in a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://other.invalid/x?token="+secret, http.StatusFound)
		},
		"in bad JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{"+secret) },
		"in a page":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>"+secret) },
	} {
		target := serve(t, h)
		var out struct{}
		err := newClient(t, Config{Scheme: "Bearer", SecretFile: secretFile(t, secret)}).Do(t.Context(), "ask", http.MethodGet, target, nil, &out)
		if err == nil {
			t.Errorf("%s: no error", title)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", title, err)
		}
	}
}

func TestAnErrorSaysWhatWasAskedAndWhatTheAnswerWas(t *testing.T) {
	for body, want := range map[string]string{
		`{"message":"token is\n required"}`: "open issue at test service: status 401 Unauthorized: token is required",
		`{"error":"no such user"}`:          "open issue at test service: status 401 Unauthorized: no such user",
		`"plain"`:                           "open issue at test service: status 401 Unauthorized: plain",
		"\x1b[31mtext\x00":                  "open issue at test service: status 401 Unauthorized: [31mtext",
		"<html>log in</html>":               "open issue at test service: status 401 Unauthorized",
		"":                                  "open issue at test service: status 401 Unauthorized",
	} {
		target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(401)
			_, _ = io.WriteString(w, body)
		})
		err := newClient(t, Config{}).Do(t.Context(), "open issue", http.MethodPost, target, nil, nil)
		if err == nil || err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func TestAnswersThatAreNoAnswer(t *testing.T) {
	for title, c := range map[string]struct {
		h    http.HandlerFunc
		code release.Code
	}{
		"a page by its type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, "{}")
		}, release.CodeUnavailable},
		"a page by its looks": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "\n <!DOCTYPE html><p>")
		}, release.CodeUnavailable},
		"no JSON":               {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }, release.CodeUnavailable},
		"nothing":               {func(http.ResponseWriter, *http.Request) {}, release.CodeUnavailable},
		"JSON of another shape": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[1]") }, release.CodeUnavailable},
		"too much": {func(w http.ResponseWriter, _ *http.Request) {
			for range 17 {
				_, _ = io.WriteString(w, strings.Repeat(" ", 1<<20))
			}
		}, release.CodePartial},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}, release.CodeUnavailable},
		"none at all": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, release.CodeUnavailable},
	} {
		t.Run(title, func(t *testing.T) {
			var out struct{}
			err := newClient(t, Config{}).Do(t.Context(), "ask", http.MethodGet, serve(t, c.h), nil, &out)
			if release.ErrorCode(err) != c.code {
				t.Errorf("got %v, want %s", err, c.code)
			}
		})
	}
	t.Run("a page is none even where the answer is not looked at", func(t *testing.T) {
		target := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
		if err := newClient(t, Config{}).Do(t.Context(), "ask", http.MethodPost, target, nil, nil); release.ErrorCode(err) != release.CodeUnavailable {
			t.Errorf("got %v", err)
		}
	})
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := "http://" + l.Addr().String() + "/path?x=1"
	l.Close()
	err = newClient(t, Config{}).Do(t.Context(), "ask", http.MethodGet, target, nil, nil)
	if release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

func TestASlowAnswerEndsWithTheTimeOut(t *testing.T) {
	target := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	err := newClient(t, Config{Timeout: 50 * time.Millisecond}).Do(t.Context(), "ask", http.MethodGet, target, nil, nil)
	if release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("got %v", err)
	}
}

func TestACancelledRequestEndsAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	target := serve(t, func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	err := newClient(t, Config{Timeout: time.Hour}).Do(ctx, "ask", http.MethodGet, target, nil, nil)
	if release.ErrorCode(err) != release.CodeUnavailable || ctx.Err() == nil {
		t.Errorf("got %v", err)
	}
}

func TestRedirectsStayOnTheHostAndKeepTheMethod(t *testing.T) {
	elsewhere := false
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere = true })
	mux := http.NewServeMux()
	mux.HandleFunc("/other", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusTemporaryRedirect) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/here", http.StatusMovedPermanently)
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/loop", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(r.Method + r.Header.Get("Authorization"))
	})
	target := serve(t, mux.ServeHTTP)
	c := newClient(t, Config{Scheme: "Bearer", SecretFile: secretFile(t, secret)})
	var out string
	if err := c.Do(t.Context(), "ask", http.MethodGet, target+"/moved", nil, &out); err != nil || out != "GETBearer "+secret {
		t.Errorf("GET to the same host: %q, %v", out, err)
	}
	for _, path := range []string{"/other", "/moved", "/loop"} {
		err := c.Do(t.Context(), "ask", http.MethodPost, target+path, struct{}{}, nil)
		if release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), "redirects to http://127.0.0.1") {
			t.Errorf("POST %s: %v", path, err)
		}
	}
	if elsewhere {
		t.Error("a redirect to another host was followed")
	}
}

func TestOneLineIsOneShortLineOfText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		limit := rapid.IntRange(1, 40).Draw(t, "limit")
		got := OneLine(text, limit)
		if utf8.RuneCountInString(got) > limit || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) || strings.Contains(got, "  ") {
			t.Fatalf("%q became %q", text, got)
		}
	})
	for in, want := range map[string]string{" a\n\n b\t": "a b", "abcdef": "abcdef", "abcdefg": "abcde…", "a\u202eb": "a b", "": ""} {
		if got := OneLine(in, 6); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

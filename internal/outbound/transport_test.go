package outbound

import (
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func serveTLS(t *testing.T, h http.HandlerFunc) (url, ca string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL, secretFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
}

func TestCertificates(t *testing.T) {
	target, ca := serveTLS(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for title, c := range map[string]struct {
		cfg  Config
		want string // in the error; "": there is none
	}{
		"an authority that is not known names the setting": {Config{}, "ca_file"},
		"one that is named is trusted":                     {Config{CAFile: ca}, ""},
		"a name that the certificate is for":               {Config{CAFile: ca, ServerName: "example.com"}, ""},
		"a name that it is not for":                        {Config{CAFile: ca, ServerName: "other.example"}, "for another name"},
		"a file that is missing":                           {Config{CAFile: "/no/such/file"}, "read ca_file: open /no/such/file"},
		"a file that holds none":                           {Config{CAFile: secretFile(t, "x")}, "holds no certificate"},
	} {
		t.Run(title, func(t *testing.T) {
			err := newClient(t, c.cfg).Do(t.Context(), "ask", http.MethodGet, target, nil, nil)
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || release.ErrorCode(err) != release.CodeUnavailable) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAFileThatComesLaterIsFound(t *testing.T) {
	target, ca := serveTLS(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	later := secretFile(t, "") + "-later"
	c := newClient(t, Config{CAFile: later})
	if err := c.Do(t.Context(), "ask", http.MethodGet, target, nil, nil); err == nil {
		t.Error("the certificate was trusted without its authority")
	}
	if err := os.Rename(ca, later); err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), "ask", http.MethodGet, target, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestProxies(t *testing.T) {
	var asked string
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		w.WriteHeader(http.StatusNoContent)
	})
	if err := newClient(t, Config{ProxyURL: proxy}).Do(t.Context(), "ask", http.MethodGet, "http://service.example/x", nil, nil); err != nil || asked != "http://service.example/x" {
		t.Errorf("the proxy was asked for %q: %v", asked, err)
	}
	for url, want := range map[string]string{"http://127.0.0.1:1": "see proxy_url", "proxy:3128": "proxy_url is no URL"} {
		err := newClient(t, Config{ProxyURL: url}).Do(t.Context(), "ask", http.MethodGet, "http://service.example/x", nil, nil)
		if release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestSendIsForRequestsOfOthersMaking(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("X-Org") != "7" || r.Header.Get("X-Own") != "yes" || string(body) != "form=1" {
			t.Errorf("got %s %v", body, r.Header)
		}
		if r.URL.Path == "/fail" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"message":"key `+secret+` is refused","errors":["one","two"]}`)
			return
		}
		_, _ = io.WriteString(w, "plain words")
	})
	c := newClient(t, Config{Headers: map[string]string{"X-Org": "7"}})
	send := func(path string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target+path, strings.NewReader("form=1"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Own", "yes")
		return c.Send("ask", req, secret)
	}
	resp, err := send("/")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "plain words" {
		t.Errorf("got %q, %v", text, err)
	}
	_, err = send("/fail")
	if Status(err) != http.StatusForbidden || !strings.Contains(err.Error(), "is refused: one; two") {
		t.Errorf("got %v", err)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), secret) {
			t.Errorf("the secret is told: %v", e)
		}
	}
}

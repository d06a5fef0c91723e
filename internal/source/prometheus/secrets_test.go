package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func writeSecret(t *testing.T, path, secret string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCredentialsComeFromFilesAndARenewedOneCountsAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	writeSecret(t, file, "first-secret\n")
	var got, tenant string
	handler := func(w http.ResponseWriter, r *http.Request) {
		got, tenant = r.Header.Get("Authorization"), r.Header.Get("X-Scope-Orgid")
		fmt.Fprint(w, empty)
	}
	ask := func(s *Source) {
		t.Helper()
		if _, err := s.Raw(context.Background(), "x", time.Minute, noon); err != nil {
			t.Fatal(err)
		}
	}
	bearer := serve(t, handler, func(c *Config) {
		c.BearerTokenFile = file
		c.Headers = map[string]string{"X-Scope-OrgID": "shop"}
	})
	if ask(bearer); got != "Bearer first-secret" || tenant != "shop" {
		t.Errorf("Authorization %q, tenant %q", got, tenant)
	}
	writeSecret(t, file, "second-secret")
	if ask(bearer); got != "Bearer second-secret" {
		t.Errorf("Authorization %q after the token was renewed", got)
	}
	var gateway string
	header := serve(t, func(w http.ResponseWriter, r *http.Request) { gateway = r.Header.Get("X-Gateway-Key"); handler(w, r) }, func(c *Config) {
		c.HeaderFiles = map[string]string{"X-Gateway-Key": file}
	})
	if ask(header); gateway != "second-secret" || got != "" {
		t.Errorf("X-Gateway-Key %q, Authorization %q", gateway, got)
	}
	writeSecret(t, file, "third-secret\n")
	if ask(header); gateway != "third-secret" {
		t.Errorf("X-Gateway-Key %q after it was renewed", gateway)
	}
	writeSecret(t, file, "second-secret")
	basic := serve(t, handler, func(c *Config) { c.BasicUser, c.BasicPasswordFile = "reader", file })
	if ask(basic); got != "Basic cmVhZGVyOnNlY29uZC1zZWNyZXQ=" {
		t.Errorf("Authorization %q", got)
	}
}

func TestNoSecretStandsInAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	writeSecret(t, file, "hunter2hunter2")
	for name, h := range map[string]http.HandlerFunc{
		"the other side repeats it": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"status":"error","errorType":"bad_data","error":%q}`, "you sent "+r.Header.Get("Authorization")+r.Header.Get("X-Key")+" hunter2hunter2")
		},
		"the other side warns with it": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[]},"warnings":[%q]}`, r.Header.Get("Authorization")+r.Header.Get("X-Key"))
		},
		"the other side answers with it as a type": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"status":"success","data":{"resultType":%q,"result":[]}}`, "hunter2hunter2")
		},
		"the other side writes it where a label is twice": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"hunter2hunter2":"a","hunter2hunter2":"b"}}]}}`)
		},
		"the connection breaks": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a page of HTML":        answer(502, "<html>hunter2hunter2</html>"),
	} {
		for _, kind := range []string{"bearer", "basic", "header"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				s := serve(t, h, func(c *Config) {
					switch kind {
					case "bearer":
						c.BearerTokenFile = file
					case "basic":
						c.BasicUser, c.BasicPasswordFile = "reader", file
					case "header":
						c.HeaderFiles = map[string]string{"X-Key": file}
					}
				})
				_, err := s.Raw(context.Background(), "x", time.Minute, noon)
				if err == nil {
					t.Fatal("no error")
				}
				for e := err; e != nil; e = errors.Unwrap(e) {
					if text := fmt.Sprintf("%v %+v", e, e); strings.Contains(text, "hunter2") || strings.Contains(text, "aHVudGVy") || strings.Contains(text, "cmVhZGVyOmh1") {
						t.Errorf("the secret stands in %q", text)
					}
				}
			})
		}
	}
}

func TestALongAnswerThatIsCutWithinASecretHoldsNoneOfIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	secret := strings.Repeat("hunter2-", 50)
	writeSecret(t, file, secret)
	s := serve(t, answer(400, fmt.Sprintf(`{"status":"error","errorType":"bad_data","error":%q}`, strings.Repeat(secret, 3))), func(c *Config) { c.BearerTokenFile = file })
	_, err := s.Raw(context.Background(), "x", time.Minute, noon)
	if release.ErrorCode(err) != release.CodeBadQuery || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

func TestARedirectToAnotherHostIsNotFollowed(t *testing.T) {
	var leaked atomic.Bool
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked.Store(true)
	}))
	defer thief.Close()
	file := filepath.Join(t.TempDir(), "secret")
	writeSecret(t, file, "hunter2hunter2")
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
	}, func(c *Config) { c.BearerTokenFile = file })
	_, err := s.Raw(context.Background(), "x", time.Minute, noon)
	if release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("%v", err)
	}
	if leaked.Load() {
		t.Error("the request went to another host")
	}
}

func TestAnUnreadableSecretIsUnavailableAndNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	writeSecret(t, filepath.Join(dir, "empty"), " \n")
	writeSecret(t, filepath.Join(dir, "lines"), "a-secret\nanother")
	for name, want := range map[string]string{"missing": "no such file", "empty": "is empty", "lines": "more than one line"} {
		s := serve(t, answer(200, empty), func(c *Config) { c.BearerTokenFile = filepath.Join(dir, name) })
		_, err := s.Raw(context.Background(), "x", time.Minute, noon)
		if release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "a-secret") {
			t.Errorf("the secret stands in %v", err)
		}
	}
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no URL":                       {},
		"no scheme":                    {URL: "prometheus:9090"},
		"another scheme":               {URL: "ftp://prometheus"},
		"a password in the URL":        {URL: "http://user:hunter2@prometheus"},
		"a URL that does not parse":    {URL: "http://hunter2\x00"},
		"a query in the URL":           {URL: "http://prometheus/?token=hunter2"},
		"two kinds of credentials":     {URL: "http://p", BearerTokenFile: "a", BasicUser: "b", BasicPasswordFile: "c"},
		"a user without password file": {URL: "http://p", BasicUser: "b"},
		"an unknown kind":              {URL: "http://p", Kind: "influx"},
		"a tenant of Prometheus":       {URL: "http://p", Tenant: "shop"},
		"TLS without https":            {URL: "http://p", TLS: TLS{CAFile: "a"}},
		"a certificate without key":    {URL: "https://p", TLS: TLS{CertFile: "a"}},
		"a key without certificate":    {URL: "https://p", TLS: TLS{KeyFile: "a"}},
		"checking and not checking":    {URL: "https://p", TLS: TLS{CAFile: "a", InsecureSkipVerify: true}},
	} {
		_, err := New(cfg, nil)
		if release.ErrorCode(err) != release.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the secret stands in %v", name, err)
		}
	}
	reg := prometheus.NewRegistry()
	if _, err := New(Config{URL: "http://p"}, reg); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{URL: "http://p"}, reg); release.ErrorCode(err) != release.CodeInvalid {
		t.Errorf("metrics registered twice: %v", err)
	}
}

package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/outbound/outboundtest"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// greeter is a server that speaks first, as mail servers do.
func greeter(t *testing.T) (address string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "220 hello\r\n")
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestDialThroughAProxy(t *testing.T) {
	target := greeter(t)
	overTLS := func(t *testing.T) (url, ca string) {
		return serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil || r.Method != http.MethodConnect {
				t.Errorf("%s: %v", r.Method, err)
				return
			}
			// What the server says comes in one piece with the answer.
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n220 hello\r\n")
			_ = conn.Close()
		})
	}
	proxyTLS, ca := overTLS(t)
	for name, test := range map[string]struct {
		url, ca string
		asked   func() []string
		want    string // of the error; "": it connects
	}{
		"directly":                      {"", "", nil, ""},
		"of HTTP":                       {"http://" + outboundtest.HTTP(t, target).Address(), "", nil, ""},
		"of HTTP over TLS":              {proxyTLS, ca, nil, ""},
		"of HTTP over TLS, not trusted": {proxyTLS, "", nil, "name the file of the authority that signed its certificate in ca_file"},
		"of SOCKS5":                     {"socks5://" + outboundtest.SOCKS5(t, target).Address(), "", nil, ""},
		"of SOCKS5 by its other name":   {"socks5h://" + outboundtest.SOCKS5(t, target).Address(), "", nil, ""},
		"that is away":                  {"http://127.0.0.1:1", "", nil, "the proxy does not answer: see proxy_url"},
		"of SOCKS5 that is away":        {"socks5://127.0.0.1:1", "", nil, "the proxy does not answer: see proxy_url"},
		"that refuses":                  {"http://" + outboundtest.HTTP(t, "").Address(), "", nil, "the proxy refuses to connect: status 403; let the proxy pass this host and port, or see proxy_url"},
		"of SOCKS5 that refuses":        {"socks5://" + outboundtest.SOCKS5(t, "").Address(), "", nil, "the proxy refuses to connect: "},
		"of SOCKS5 that is one of HTTP": {"socks5://" + outboundtest.HTTP(t, target).Address(), "", nil, "see proxy_url"},
		"of HTTP that is one of SOCKS5": {"http://" + outboundtest.SOCKS5(t, target).Address(), "", nil, "is it a proxy?"},
		"of another kind":               {"ftp://proxy.example", "", nil, "proxy_url is no URL such as"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			address := "mail.example:25"
			if test.url == "" {
				address = target
			}
			conn, err := Dial(ctx, test.url, test.ca, address)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error()+"; "+Advice(err), test.want) {
					t.Errorf("got %v; %s", err, Advice(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if text, err := io.ReadAll(conn); err != nil || string(text) != "220 hello\r\n" {
				t.Errorf("got %q, %v", text, err)
			}
		})
	}
}

func TestAProxyLooksNamesUp(t *testing.T) {
	target := greeter(t)
	for scheme, p := range map[string]*outboundtest.Proxy{"http": outboundtest.HTTP(t, target), "socks5": outboundtest.SOCKS5(t, target)} {
		conn, err := Dial(t.Context(), scheme+"://"+p.Address(), "", "mail.example:587")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if got := p.Asked(); len(got) != 1 || got[0] != "mail.example:587" {
			t.Errorf("%s: asked for %v", scheme, got)
		}
	}
}

func TestStrangeAnswersOfAProxy(t *testing.T) {
	for name, test := range map[string]struct{ answer, want string }{
		"who asks":       {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "status 407: it asks who wants to"},
		"a redirect":     {"HTTP/1.1 302 Found\r\nLocation: http://x\r\nContent-Length: 0\r\n\r\n", "status 302"},
		"no HTTP":        {"220 mail.example\r\n", "its answer is none of HTTP"},
		"without end":    {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxConnectAnswer) + "\r\n\r\n", "its answer is none of HTTP"},
		"half an answer": {"HTTP/1.1 2", "its answer is none of HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			p := outboundtest.HTTP(t, "")
			p.Answer = test.answer
			_, err := Dial(t.Context(), "http://"+p.Address(), "", "mail.example:25")
			if !errors.As(err, new(Refusal)) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAProxyThatHangsEndsWithTheContext(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, scheme := range []string{"http", "https", "socks5"} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := Dial(ctx, scheme+"://"+l.Addr().String(), "", "mail.example:25")
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

func TestARequestThatAProxyRefusesSaysSo(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	defer srv.Close()
	for proxy, want := range map[string]string{
		"http://" + outboundtest.HTTP(t, "").Address():     "the proxy refuses to connect: status 403; let the proxy pass",
		"socks5://" + outboundtest.SOCKS5(t, "").Address(): "refuses to connect: see proxy_url",
		"socks5://127.0.0.1:1":                             "the proxy does not answer",
	} {
		err := newClient(t, Config{ProxyURL: proxy}).Do(t.Context(), "ask", http.MethodGet, srv.URL, nil, nil)
		if release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v", err)
		}
	}
}

package outbound

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"golang.org/x/net/proxy"
)

// ProxySchemes are the ways of a proxy: CONNECT, or SOCKS5, which looks names up
// itself.
var ProxySchemes = []string{"http", "https", "socks5", "socks5h"}

// maxConnectAnswer bounds in bytes what a proxy may answer before it is a line.
const maxConnectAnswer = 64 << 10

// Refusal is a proxy that answers, and does not connect.
type Refusal struct{ Why string }

func (r Refusal) Error() string { return "the proxy refuses to connect: " + r.Why }

func proxyURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || !slices.Contains(ProxySchemes, u.Scheme) {
		return nil, errors.New("proxy_url is no URL such as http://proxy.example:3128 or socks5://proxy.example:1080")
	}
	return u, nil
}

// Dial connects to an address, host:port, through the proxy of a URL, or directly
// for "". It is for what is not HTTP, whose clients know proxies themselves. caFile
// names who else is believed to sign the certificate of a proxy of https; "" for
// none. Errors are those that Advice knows.
func Dial(ctx context.Context, proxyAt, caFile, address string) (net.Conn, error) {
	var direct net.Dialer
	if proxyAt == "" {
		return direct.DialContext(ctx, "tcp", address)
	}
	u, err := proxyURL(proxyAt)
	if err != nil {
		return nil, err
	}
	conn, err := direct.DialContext(ctx, "tcp", hostPort(u))
	if err != nil {
		return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	through, err := negotiate(ctx, conn, u, caFile, address)
	switch ended := !stop(); {
	case ended && err == nil:
		err = ctx.Err()
	case ended && ctx.Err() != nil: // what failed may have done so for that
		err = &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.Join(ctx.Err(), err)}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return through, nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if port == "" {
		port = "1080"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func negotiate(ctx context.Context, conn net.Conn, u *url.URL, caFile, address string) (net.Conn, error) {
	if u.Scheme == "socks5" || u.Scheme == "socks5h" {
		return socks(ctx, conn, hostPort(u), address)
	}
	if u.Scheme == "https" {
		trust := &tls.Config{MinVersion: tls.VersionTLS12}
		if caFile != "" {
			var err error
			if trust, err = TLS(caFile); err != nil {
				return nil, err
			}
		}
		trust.ServerName = u.Hostname()
		secured := tls.Client(conn, trust)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err}
		}
		conn = secured
	}
	return connect(ctx, conn, address)
}

// dialed hands out a connection that is there already.
type dialed struct{ net.Conn }

func (d dialed) Dial(string, string) (net.Conn, error) { return d.Conn, nil }

func (d dialed) DialContext(context.Context, string, string) (net.Conn, error) { return d.Conn, nil }

func socks(ctx context.Context, conn net.Conn, at, address string) (net.Conn, error) {
	d, err := proxy.SOCKS5("tcp", at, nil, dialed{conn})
	if err != nil {
		return nil, err
	}
	through, err := d.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
	if errors.Is(err, os.ErrDeadlineExceeded) { // that of ctx, whose own may come a moment later
		return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.Join(context.DeadlineExceeded, err)}
	}
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) { // without its words of "socks connect"
			err = op.Err
		}
		return nil, errors.Join(ctx.Err(), Refusal{err.Error()})
	}
	return through, nil
}

// connect asks a proxy of HTTP for a way through.
func connect(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{"User-Agent": {userAgent}}}
	if err := req.Write(conn); err != nil {
		return nil, errors.Join(ctx.Err(), &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err})
	}
	bound := &io.LimitedReader{R: conn, N: maxConnectAnswer}
	answer := bufio.NewReader(bound)
	resp, err := http.ReadResponse(answer, req) //nolint:bodyclose // what comes after it is the tunnel, which its owner closes
	if err != nil {
		return nil, errors.Join(ctx.Err(), Refusal{"its answer is none of HTTP: is it a proxy?"})
	}
	if err := refusal(resp); err != nil {
		return nil, err
	}
	bound.N = math.MaxInt64
	return tunnel{conn, answer}, nil
}

// refusal is why a proxy that answered CONNECT does not connect, nil where it does.
func refusal(resp *http.Response) error {
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return Refusal{"status 407: it asks who wants to, and Watchtower has no user for it"}
	}
	return Refusal{fmt.Sprintf("status %d", resp.StatusCode)}
}

// tunnel is a connection of which a part was read with the proxy's answer.
type tunnel struct {
	net.Conn
	rest *bufio.Reader
}

func (t tunnel) Read(p []byte) (int, error) { return t.rest.Read(p) }

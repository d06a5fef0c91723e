package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// client makes the HTTP client at the first request, so that a file that is
// missing today is found tomorrow.
func (c *Client) client() (*http.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http != nil {
		return c.http, nil
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: c.cfg.Timeout, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   c.cfg.Timeout,
		ExpectContinueTimeout: time.Second,
	}
	if c.cfg.ProxyURL != "" {
		proxy, err := proxyURL(c.cfg.ProxyURL)
		if err != nil {
			return nil, err
		}
		transport.Proxy = http.ProxyURL(proxy)
	}
	transport.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error { return refusal(resp) }
	if c.cfg.CAFile != "" {
		trusted, err := TLS(c.cfg.CAFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = trusted
	}
	if c.cfg.ServerName != "" {
		if transport.TLSClientConfig == nil {
			transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		transport.TLSClientConfig.ServerName = c.cfg.ServerName
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: sameHost}
	return c.http, nil
}

// TLS trusts the system's certificate authorities and those of a file in PEM.
// Its errors name the file.
func TLS(file string) (*tls.Config, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca_file %s holds no certificate in PEM", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// connection makes the error of a time-out say so, drops the method and URL
// that the HTTP client puts before it, and adds what to do about it.
func connection(ctx context.Context, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = fmt.Errorf("%s: %w", origin(ue.URL), ue.Err)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	if next := Advice(err); next != "" {
		err = fmt.Errorf("%w; %s", err, next)
	}
	return err
}

// Advice says what to do about an error of a connection, naming the setting;
// "" where there is no more to say.
func Advice(err error) string {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		op        *net.OpError
		dns       *net.DNSError
		refused   Refusal
	)
	switch {
	case errors.As(err, &authority):
		return "name the file of the authority that signed its certificate in ca_file"
	case errors.As(err, &host):
		return "its certificate is for another name: use that name in the URL"
	case errors.As(err, &invalid):
		return "its certificate must be renewed, or the clock here is wrong"
	case errors.As(err, &refused):
		return "let the proxy pass this host and port, or see proxy_url, or HTTPS_PROXY and NO_PROXY in the environment"
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return "the proxy does not answer: see proxy_url, or HTTPS_PROXY and NO_PROXY in the environment"
	case errors.As(err, &op) && strings.HasPrefix(op.Op, "socks"):
		return "the proxy does not answer, or refuses to connect: see proxy_url"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host: see the URL, or the cluster's DNS"
	}
	return ""
}

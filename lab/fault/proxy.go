// Package fault is a reverse proxy that tests put before a real service, to
// make it unreachable, slow or wrong at will, to hold a request at an exact
// point, and to count what really came through.
package fault

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// Proxy passes requests on to a target until told otherwise. It is safe for
// concurrent use.
type Proxy struct {
	// URL is where the proxy listens, on a loopback address.
	URL string

	reverse *httputil.ReverseProxy
	server  *http.Server
	done    chan struct{} // closed by Close
	served  chan struct{} // closed once the listener has ended

	mu      sync.Mutex
	rules   []*rule // the newest last
	records []*Record
	conns   map[net.Conn]bool
	down    bool
	closed  bool
}

type rule struct {
	match Match
	mode  Mode
	times int // how often still; -1: always
}

// New puts a proxy before target, an http or https URL such as
// "http://127.0.0.1:9090". The proxy itself speaks plain HTTP.
func New(target string) (*Proxy, error) { return listen(target, nil, nil) }

// listen starts a proxy: upstream is how to reach an https target, own the
// certificate to show to clients, nil for plain HTTP.
func listen(target string, upstream *tls.Config, own *tls.Certificate) (*Proxy, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("fault proxy: target %q is no http or https URL", target)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("fault proxy: %w", err)
	}
	p := &Proxy{
		URL:    "http://" + listener.Addr().String(),
		done:   make(chan struct{}),
		served: make(chan struct{}),
		conns:  map[net.Conn]bool{},
	}
	if own != nil {
		p.URL = "https://" + listener.Addr().String()
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*own}, MinVersion: tls.VersionTLS12})
	}
	p.reverse = &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(u); passOf(r.Out).prepare(r.Out) },
		Transport:      &http.Transport{TLSClientConfig: upstream, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute},
		FlushInterval:  -1, // a watch is a stream
		ModifyResponse: func(resp *http.Response) error { return passOf(resp.Request).answered(resp) },
		// A target that cannot be reached looks from outside as if it had been
		// asked directly: no answer.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	p.server = &http.Server{
		Handler:           p,
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnState:         p.track,
	}
	go func() {
		defer close(p.served)
		_ = p.server.Serve(listener) // ends with Close
	}()
	return p, nil
}

// Close ends the proxy and every request under way.
func (p *Proxy) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.done)
	}
	p.mu.Unlock()
	_ = p.server.Close()
	<-p.served
	if t, ok := p.reverse.Transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// On puts the requests that match into a mode, over what was said before, and
// returns how to take that back.
func (p *Proxy) On(match Match, mode Mode) (remove func()) { return p.on(match, mode, -1) }

// Times is On for the next n requests that match.
func (p *Proxy) Times(n int, match Match, mode Mode) (remove func()) { return p.on(match, mode, n) }

// Set puts all requests into a mode, in place of all that was said before.
func (p *Proxy) Set(mode Mode) {
	p.Reset()
	p.On(Match{}, mode)
}

// Reset passes everything again, and is up.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules, p.down = nil, false
}

// Down makes the service unreachable: connections end, streams included, and
// new ones are closed at once, until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for conn := range p.conns {
		_ = raw(conn).Close()
	}
}

// raw is the connection without TLS: closing it says no goodbye.
func raw(conn net.Conn) net.Conn {
	if c, ok := conn.(*tls.Conn); ok {
		return c.NetConn()
	}
	return conn
}

// Up ends what Down began.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

func (p *Proxy) on(match Match, mode Mode, times int) (remove func()) {
	r := &rule{match: match.compile(), mode: mode, times: times}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, r)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		r.times = 0
	}
}

// modeOf is the mode the newest rule that matches has for a request.
func (p *Proxy) modeOf(req *http.Request) Mode {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.rules) - 1; i >= 0; i-- {
		r := p.rules[i]
		if r.times == 0 || !r.match.matches(req) {
			continue
		}
		if r.times > 0 {
			r.times--
		}
		return r.mode
	}
	return Pass()
}

func (p *Proxy) track(conn net.Conn, state http.ConnState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch state {
	case http.StateNew:
		p.conns[conn] = true
		if p.down {
			_ = raw(conn).Close()
		}
	case http.StateHijacked, http.StateClosed:
		delete(p.conns, conn)
	}
}

// pass is one request on its way through the proxy.
type pass struct {
	proxy  *Proxy
	mode   Mode
	record *Record // guarded by proxy.mu
}

type passKey struct{}

func passOf(req *http.Request) *pass {
	t, _ := req.Context().Value(passKey{}).(*pass) // every request that is passed on has one
	return t
}

// ServeHTTP treats a request as its mode says.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // whoever is held is let go when the proxy ends
		select {
		case <-p.done:
			cancel()
		case <-stop:
		}
	}()
	t := &pass{proxy: p, mode: p.modeOf(req), record: p.begin(req)}
	req = req.WithContext(context.WithValue(ctx, passKey{}, t))
	if t.mode.before != nil && !t.mode.before(w, req, t) {
		return
	}
	p.change(t.record, func(r *Record) { r.Forwarded = true })
	p.reverse.ServeHTTP(w, req)
}

// prepare makes a request such that its answer can be changed.
func (t *pass) prepare(out *http.Request) {
	if t.mode.rewrite != nil {
		out.Header.Del("Accept-Encoding") // the transport then decompresses
	}
}

// answered is called with the target's answer, before any of it is returned.
func (t *pass) answered(resp *http.Response) error {
	t.proxy.change(t.record, func(r *Record) { r.TargetStatus = resp.StatusCode })
	if t.mode.rewrite != nil {
		if err := rewriteBody(resp, t.mode.rewrite); err != nil {
			return err
		}
	}
	if t.mode.header != nil {
		t.mode.header(resp.Header)
	}
	if t.mode.after != nil {
		if err := t.mode.after(resp.Request.Context()); err != nil {
			return err
		}
	}
	t.proxy.change(t.record, func(r *Record) { r.Status = resp.StatusCode })
	return nil
}

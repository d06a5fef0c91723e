// Package outboundtest has proxies on loopback for tests: of HTTP's CONNECT and of
// SOCKS5 (RFC 1928), strict in what they take.
package outboundtest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// Proxy connects whoever asks to one place, whatever address is asked for.
type Proxy struct {
	// Target is where all are connected to; "": all are refused.
	Target string
	// Answer is what a proxy of HTTP writes in place of its own answer; "": its own.
	Answer string

	listener net.Listener
	all      sync.WaitGroup

	mu    sync.Mutex
	asked []string
	conns []net.Conn
}

// HTTP starts a proxy of CONNECT, SOCKS5 one of SOCKS5, until the test ends.
func HTTP(t testing.TB, target string) *Proxy { return start(t, target, (*Proxy).connect) }

// SOCKS5 starts a proxy of SOCKS5 without authentication.
func SOCKS5(t testing.TB, target string) *Proxy { return start(t, target, (*Proxy).socks) }

func start(t testing.TB, target string, greet func(p *Proxy, conn net.Conn) (net.Conn, error)) *Proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Target: target, listener: l}
	p.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.keep(conn)
			p.all.Go(func() {
				defer conn.Close()
				to, err := greet(p, conn)
				if err != nil {
					return // whoever asked is told
				}
				defer to.Close()
				var both sync.WaitGroup
				both.Go(func() { _, _ = io.Copy(to, conn); _ = to.Close() })
				both.Go(func() { _, _ = io.Copy(conn, to); _ = conn.Close() })
				both.Wait()
			})
		}
	})
	t.Cleanup(p.stop)
	return p
}

func (p *Proxy) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.all.Wait()
}

func (p *Proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
}

// Address is host:port of the proxy.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Asked are the addresses that somebody wanted to be connected to.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

var errRefused = errors.New("refused")

// dial connects to the target for who asks for an address.
func (p *Proxy) dial(address string) (net.Conn, error) {
	p.mu.Lock()
	p.asked = append(p.asked, address)
	p.mu.Unlock()
	if p.Target == "" {
		return nil, errRefused
	}
	conn, err := net.Dial("tcp", p.Target) //nolint:noctx // it ends with the test
	if err == nil {
		p.keep(conn)
	}
	return conn, err
}

func (p *Proxy) connect(conn net.Conn) (net.Conn, error) {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return nil, err
	}
	say := func(text string) { _, _ = io.WriteString(conn, text) }
	if p.Answer != "" {
		say(p.Answer)
		return nil, errRefused
	}
	if req.Method != http.MethodConnect || req.Host != req.RequestURI {
		say("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		return nil, fmt.Errorf("%s %s of %s", req.Method, req.RequestURI, req.Host)
	}
	to, err := p.dial(req.Host)
	if err != nil {
		say("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return nil, err
	}
	say("HTTP/1.1 200 Connection established\r\n\r\n")
	return to, nil
}

func (p *Proxy) socks(conn net.Conn) (net.Conn, error) {
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:2]); err != nil || head[0] != 5 {
		return nil, fmt.Errorf("no SOCKS5: %v %w", head[:2], err)
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(conn, methods); err != nil || !slices.Contains(methods, 0) {
		return nil, fmt.Errorf("no method without authentication: %v %w", methods, err)
	}
	if _, err := conn.Write([]byte{5, 0}); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, head[:]); err != nil || head[1] != 1 {
		return nil, fmt.Errorf("no CONNECT: %v %w", head, err)
	}
	host, err := socksHost(conn, head[3])
	if err != nil {
		return nil, err
	}
	var port [2]byte
	if _, err := io.ReadFull(conn, port[:]); err != nil {
		return nil, err
	}
	to, err := p.dial(net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port[:])))))
	answer := []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	if err != nil {
		answer[1] = 2 // not allowed by the ruleset
	}
	if _, err := conn.Write(answer); err != nil {
		return nil, err
	}
	return to, err
}

func socksHost(conn net.Conn, kind byte) (string, error) {
	length := map[byte]int{1: net.IPv4len, 4: net.IPv6len}[kind]
	if kind == 3 {
		var n [1]byte
		if _, err := io.ReadFull(conn, n[:]); err != nil {
			return "", err
		}
		length = int(n[0])
	}
	host := make([]byte, length)
	if _, err := io.ReadFull(conn, host); err != nil || length == 0 {
		return "", fmt.Errorf("no address of kind %d: %w", kind, err)
	}
	if kind == 3 {
		return string(host), nil
	}
	return net.IP(host).String(), nil
}

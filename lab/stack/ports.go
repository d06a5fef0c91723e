package stack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
)

// Ports are taken from below the range the kernel gives to outgoing
// connections, so that none of those takes the port of a part that is stopped
// for a while.
const (
	firstPort = 20000
	lastPort  = 31999
)

// ports are the ports of one lab. Each is held by a listener until its part
// starts, so that two labs that start at the same moment never get the same.
type ports struct {
	mu   sync.Mutex
	num  map[string]int
	held map[string]net.Listener
}

func newPorts() *ports {
	return &ports{num: map[string]int{}, held: map[string]net.Listener{}}
}

// reserve takes the wanted port, or a free one if that is 0.
func (p *ports) reserve(name string, wanted int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wanted != 0 {
		l, err := listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(wanted)))
		if err != nil {
			return fmt.Errorf("port %d for %s: %w", wanted, name, err)
		}
		p.num[name], p.held[name] = wanted, l
		return nil
	}
	var last error
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		l, err := listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		p.num[name], p.held[name] = port, l
		return nil
	}
	return fmt.Errorf("find a free port for %s: %w", name, last)
}

// listen takes an address at once or not at all: it needs no context.
func listen(addr string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(context.Background(), "tcp4", addr)
}

// release lets the part have its port; the number stays the part's.
func (p *ports) release(names ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// A child that is being started has its parent's sockets until it becomes
	// another program: none may be, or the port stays taken a little longer.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for _, name := range names {
		if l := p.held[name]; l != nil {
			_ = l.Close()
			delete(p.held, name)
		}
	}
}

func (p *ports) releaseAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, l := range p.held {
		_ = l.Close()
		delete(p.held, name)
	}
}

// addr is "127.0.0.1:port" of a reserved port.
func (p *ports) addr(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.num[name]))
}

func (p *ports) port(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strconv.Itoa(p.num[name])
}

// Pods of a lab get addresses of 127.n.0.0/16, n from firstRange to lastRange.
// A range is taken by listening on one of its addresses: the kernel gives it
// back when the lab ends, however it ends, and every user and every container
// of the machine's network sees it.
const (
	firstRange = 17
	lastRange  = 254
	rangePort  = 20999
)

func claimPodRange() (netip.Prefix, net.Listener, error) {
	var errs []error
	for n := firstRange; n <= lastRange; n++ {
		host := netip.AddrFrom4([4]byte{127, byte(n), 255, 254})
		l, err := listen(netip.AddrPortFrom(host, rangePort).String())
		if err != nil {
			if len(errs) < 2 {
				errs = append(errs, err)
			}
			continue
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{127, byte(n), 0, 0}), 16), l, nil
	}
	return netip.Prefix{}, nil, fmt.Errorf("find a free part of 127.0.0.0/8 for the pods: all of 127.%d to 127.%d are taken: %w", firstRange, lastRange, errors.Join(errs...))
}

package node

import (
	"fmt"
	"net/netip"
	"sync"
)

// addresses hands out the addresses of a range in turn, so that one is used
// again as late as can be: whoever watches an address should not take a new
// pod for the old one.
type addresses struct {
	mu     sync.Mutex
	prefix netip.Prefix
	next   netip.Addr
	used   map[netip.Addr]bool
}

func newAddresses(prefix netip.Prefix) *addresses {
	prefix = prefix.Masked()
	return &addresses{prefix: prefix, next: prefix.Addr(), used: map[netip.Addr]bool{}}
}

// take returns a free address; want, when it is one of the range and free.
func (a *addresses) take(want string) (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if addr, err := netip.ParseAddr(want); err == nil && a.usable(addr) && !a.used[addr] {
		a.used[addr] = true
		return addr, nil
	}
	for range 1 << (32 - a.prefix.Bits()) {
		addr := a.next
		a.next = addr.Next()
		if !a.prefix.Contains(a.next) {
			a.next = a.prefix.Addr()
		}
		if a.usable(addr) && !a.used[addr] {
			a.used[addr] = true
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address of %s is free: %d are taken", a.prefix, len(a.used))
}

// usable leaves out the addresses that would stand for a network or a
// broadcast, and 127.0.0.1, which everybody uses.
func (a *addresses) usable(addr netip.Addr) bool {
	last := addr.AsSlice()[addr.BitLen()/8-1]
	return a.prefix.Contains(addr) && last != 0 && last != 255 && addr != netip.AddrFrom4([4]byte{127, 0, 0, 1}) &&
		addr != a.prefix.Addr() && a.prefix.Contains(addr.Next())
}

func (a *addresses) free(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.used, addr)
}

package stack

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPortsAreHeldUntilTheirPartStarts(t *testing.T) {
	p := newPorts()
	defer p.releaseAll()
	if err := p.reserve("a", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Listen("tcp", p.addr("a")); err == nil {
		t.Error("somebody else could take a reserved port")
	}
	p.release("a")
	l, err := net.Listen("tcp", p.addr("a"))
	if err != nil {
		t.Fatalf("the part cannot take its port: %v", err)
	}
	_ = l.Close()
}

func TestPortsOfLabsNeverMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labs := rapid.IntRange(1, 5).Draw(t, "labs")
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,6}`), 1, 12, rapid.ID).Draw(t, "parts")
		seen := map[string]bool{}
		for range labs {
			p := newPorts()
			defer p.releaseAll()
			for _, name := range names {
				if err := p.reserve(name, 0); err != nil {
					t.Fatal(err)
				}
				if seen[p.addr(name)] {
					t.Fatalf("%s was given twice", p.addr(name))
				}
				seen[p.addr(name)] = true
				if port, _ := strconv.Atoi(p.port(name)); port < firstPort || port > lastPort {
					t.Fatalf("port %d is out of range", port)
				}
			}
		}
	})
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	err = newPorts().reserve(Prometheus, port)
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(port)) || !strings.Contains(err.Error(), Prometheus) {
		t.Errorf("error = %v, want the port and the part", err)
	}
}

func TestPodRangesOfLabsDoNotOverlap(t *testing.T) {
	first, hold, err := claimPodRange()
	if err != nil {
		t.Fatal(err)
	}
	second, hold2, err := claimPodRange()
	if err != nil {
		t.Fatal(err)
	}
	if first.Overlaps(second) || !first.Addr().IsLoopback() || !second.Addr().IsLoopback() {
		t.Errorf("two labs have pods in %s and %s", first, second)
	}
	_, _ = hold.Close(), hold2.Close()
	again, hold, err := claimPodRange()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	if again != first {
		t.Errorf("a range that was given back is not taken again: %s, want %s", again, first)
	}
}

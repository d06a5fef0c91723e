package node

import (
	"context"
	"sync"
	"syscall"
	"time"
)

// memoryPoll is how often memory is looked at. A process can overshoot its
// limit by what it allocates in this time.
const memoryPoll = 200 * time.Millisecond

// memoryWatch kills process groups whose resident memory exceeds their limit,
// as the kernel does in a container.
type memoryWatch struct {
	mu     sync.Mutex
	limits map[*process]int64
}

func newMemoryWatch() *memoryWatch { return &memoryWatch{limits: map[*process]int64{}} }

// limit holds p to a number of bytes until it has ended.
func (m *memoryWatch) limit(p *process, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limits[p] = bytes
}

// run looks until ctx ends.
func (m *memoryWatch) run(ctx context.Context) {
	tick := time.NewTicker(memoryPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.look()
		}
	}
}

func (m *memoryWatch) look() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.limits {
		select {
		case <-p.done:
			delete(m.limits, p)
		default:
		}
	}
	if len(m.limits) == 0 {
		return
	}
	usage := usageByGroup()
	for p, limit := range m.limits {
		if usage[p.pid].residentBytes > limit {
			p.outOfMem.Store(true)
			p.signal(syscall.SIGKILL)
		}
	}
}

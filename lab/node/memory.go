package node

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"
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
	resident := residentByGroup()
	for p, limit := range m.limits {
		if resident[p.pid] > limit {
			p.outOfMem.Store(true)
			p.signal(syscall.SIGKILL)
		}
	}
}

// residentByGroup sums the resident bytes of every process group here.
func residentByGroup() map[int]int64 {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	pageSize := int64(os.Getpagesize())
	sums := map[int]int64{}
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended since
		}
		// After the command in parentheses: state, parent, group, …, resident pages.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 22 {
			continue
		}
		group, err := strconv.Atoi(fields[2])
		if err != nil {
			continue
		}
		pages, err := strconv.ParseInt(fields[21], 10, 64)
		if err != nil {
			continue
		}
		sums[group] += pages * pageSize
	}
	return sums
}

package respond

import (
	"context"
	"sync"
	"time"
)

const (
	// yieldAtMost bounds how long anything else waits for rollbacks.
	yieldAtMost = 2 * time.Second
	// aheadAtMost is how long a rollback may be ahead without being tried.
	aheadAtMost = 5 * time.Second
)

// first lets rollbacks that were just decided go before everything else: in a
// burst the database is what they wait for.
type first struct {
	mu      sync.Mutex
	ahead   map[string]time.Time // rollbacks that were not tried yet, by key
	clear   chan struct{}        // closed when there are none
	room    int                  // of those that may wait: the others' workers are for rollbacks
	waiting int
}

func newFirst(room int) *first { return &first{ahead: make(map[string]time.Time), room: room} }

// decided notes a rollback that is about to be tried.
func (f *first) decided(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.ahead) == 0 {
		f.clear = make(chan struct{})
	}
	f.ahead[key] = time.Now()
}

// tried notes that a rollback was tried, whatever came of it.
func (f *first) tried(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remove(key)
}

func (f *first) remove(key string) {
	if _, ok := f.ahead[key]; !ok {
		return
	}
	delete(f.ahead, key)
	if len(f.ahead) == 0 {
		close(f.clear)
	}
}

// yield waits until no rollback is ahead, but not for long.
func (f *first) yield(ctx context.Context) {
	f.mu.Lock()
	for key, at := range f.ahead { // tried elsewhere, or never committed
		if time.Since(at) > aheadAtMost {
			f.remove(key)
		}
	}
	if len(f.ahead) == 0 || f.waiting >= f.room {
		f.mu.Unlock()
		return
	}
	clear := f.clear
	f.waiting++
	f.mu.Unlock()
	timer := time.NewTimer(yieldAtMost)
	defer timer.Stop()
	select {
	case <-clear:
	case <-timer.C:
	case <-ctx.Done():
	}
	f.mu.Lock()
	f.waiting--
	f.mu.Unlock()
}

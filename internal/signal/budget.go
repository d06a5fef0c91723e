package signal

import "sync"

// budget remembers how many subjects a query for a metric may be for.
type budget struct {
	full  int
	mu    sync.Mutex
	sizes map[string]*allowance
}

type allowance struct{ size, good int }

// growAfter is how many good answers make a query as large as before again.
const growAfter = 100

func (b *budget) size(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.sizes[text]; a != nil {
		return a.size
	}
	return b.full
}

func (b *budget) tooExpensive(text string, half int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sizes == nil {
		b.sizes = map[string]*allowance{}
	}
	if a := b.sizes[text]; a == nil || half < a.size {
		b.sizes[text] = &allowance{size: half}
	}
}

func (b *budget) affordable(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.sizes[text]
	if a == nil {
		return
	}
	if a.good++; a.good >= growAfter {
		a.good, a.size = 0, 2*a.size
		if a.size >= b.full {
			delete(b.sizes, text)
		}
	}
}

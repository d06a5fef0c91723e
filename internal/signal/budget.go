package signal

import (
	"context"
	"errors"
	"sync"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// budget remembers how many subjects a query for a metric may be for, and how
// much beside the requests the source can bear to be asked.
type budget struct {
	full  int
	mu    sync.Mutex
	sizes map[string]*allowance
	shed  int // breadths that are left out, 0 none
	good  int // rounds without complaint since the last change
}

type allowance struct{ size, good int }

const (
	// growAfter is how many good answers make a query as large as before again.
	growAfter = 100
	// widenAfter is how many good rounds bring back what was left out last.
	widenAfter = 4
	allBreadth = 3
)

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

// breadth is the widest that is asked for now.
func (b *budget) breadth() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return allBreadth - b.shed
}

// learn takes what came of a round: a source that asks for patience or runs out
// of time is asked for less beside the requests.
func (b *budget) learn(answers []answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range answers {
		if release.ErrorCode(a.err) == release.CodeRateLimited || errors.Is(a.err, context.DeadlineExceeded) {
			b.shed, b.good = min(b.shed+1, allBreadth), 0
			return
		}
	}
	if b.good++; b.good >= widenAfter {
		b.shed, b.good = max(b.shed-1, 0), 0
	}
}

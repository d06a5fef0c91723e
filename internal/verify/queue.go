package verify

import (
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// queue holds the newest state of each workload until the detect loop takes
// it. Putting never blocks, so an informer can call it; a workload that changes
// faster than it is looked at is looked at once, in its newest state.
type queue struct {
	mu    sync.Mutex
	order []string
	items map[string]event
	wake  chan struct{}
}

// event is a workload's newest state; rollout is nil when it is gone.
type event struct {
	workload release.Workload
	rollout  *release.Rollout
	at       time.Time
}

func newQueue() *queue {
	return &queue{items: map[string]event{}, wake: make(chan struct{}, 1)}
}

func (q *queue) put(e event) {
	q.mu.Lock()
	if old, waiting := q.items[e.workload.UID]; waiting {
		e.at = old.at
	} else {
		q.order = append(q.order, e.workload.UID)
	}
	q.items[e.workload.UID] = e
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) take() (event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.order) == 0 {
		return event{}, false
	}
	uid := q.order[0]
	q.order = q.order[1:]
	e := q.items[uid]
	delete(q.items, uid)
	return e, true
}

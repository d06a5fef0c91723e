package node

import "time"

// backoff is the kubelet's: nothing before the first repetition, then base,
// twice that, and so on up to max; forgotten after a run of twice max.
type backoff struct {
	base, max time.Duration
	next      time.Duration
}

// delay is how long to wait after a run that took ran.
func (b *backoff) delay(ran time.Duration) time.Duration {
	if ran >= 2*b.max {
		b.next = 0
	}
	d := b.next
	b.next = min(2*d, b.max)
	if d == 0 {
		b.next = b.base
	}
	return min(d, b.max)
}

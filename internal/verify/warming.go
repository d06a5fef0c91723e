package verify

import "time"

// warming tells which pods of a release are warm. A pod's warm-up runs from when it was
// first measured, the same live and in replay.
type warming map[string]measuredAt

type measuredAt struct{ first, last int64 } // in unix nanoseconds

// over takes note that a pod was measured, and reports whether all that was measured,
// since the time before, came after its warm-up.
func (w warming) over(pod string, at time.Time, warmup time.Duration) bool {
	if warmup == 0 {
		return true
	}
	now := at.UnixNano()
	m, known := w[pod]
	if !known {
		m.first, m.last = now, now
	}
	warm := m.last-m.first >= int64(warmup)
	m.last = now
	w[pod] = m
	return warm
}

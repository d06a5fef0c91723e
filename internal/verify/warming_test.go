package verify

import (
	"testing"
	"time"
)

func TestAPodIsWarmOnceAllThatWasMeasuredCameAfterItsWarmUp(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, c := range []struct {
		says   string
		warmup time.Duration
		every  time.Duration
		warm   time.Duration // of the first measurement that counts
	}{
		{"a scrape in 15 s", time.Minute, 15 * time.Second, 75 * time.Second},
		{"a scrape a minute", time.Minute, time.Minute, 2 * time.Minute},
		{"a scrape that does not fall on the end of the warm-up", time.Minute, 25 * time.Second, 100 * time.Second},
		{"no warm-up", 0, 15 * time.Second, 0},
	} {
		t.Run(c.says, func(t *testing.T) {
			w := warming{}
			for after := time.Duration(0); after < 5*time.Minute; after += c.every {
				if got := w.over("a", start.Add(after), c.warmup); got != (after >= c.warm) {
					t.Errorf("after %s: %v", after, got)
				}
			}
		})
	}
}

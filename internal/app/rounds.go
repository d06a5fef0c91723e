package app

import (
	"context"
	"time"
)

// rounds calls f after a first wait and then again and again, so long after it
// returned, until ctx ends.
func rounds(ctx context.Context, first, every time.Duration, f func(context.Context)) error {
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		f(ctx)
		timer.Reset(every)
	}
}

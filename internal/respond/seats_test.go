package respond

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestActionsWaitInPlaceWhileThereAreSeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeats(2)
		began := time.Now()
		if s.sit(t.Context(), 2*time.Second) || time.Since(began) != 0 {
			t.Error("a long wait was sat out")
		}
		for range 2 {
			go s.sit(t.Context(), time.Second)
		}
		synctest.Wait()
		if s.sit(t.Context(), time.Second) || time.Since(began) != 0 {
			t.Error("there was a third seat")
		}
		time.Sleep(1001 * time.Millisecond)
		if !s.sit(t.Context(), time.Second) || time.Since(began) != 2001*time.Millisecond {
			t.Errorf("a seat that was left is not free, after %s", time.Since(began))
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if s.sit(over, time.Second) || len(s) > 0 {
			t.Error("who is told to end sits on")
		}
	})
}

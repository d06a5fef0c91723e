package signal

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestAFaultIsTheSubjectsAndTheNextGoodReadCoversTheGap(t *testing.T) {
	for _, code := range []release.Code{release.CodeUnavailable, release.CodeRateLimited, release.CodePartial, release.CodeTooExpensive, release.CodeBadQuery} {
		t.Run(string(code), func(t *testing.T) {
			s := newStore()
			subjects := shops(s, 2)
			r := newTestReader(t, s)
			ctx := context.Background()
			var rel release.Count
			for i := 1; i <= 8; i++ {
				s.fail = nil
				if i == 1 || (i >= 3 && i < 6) {
					s.fail = func(string, time.Duration) error { return release.E(code, "no", nil) }
				}
				res := r.Read(ctx, epoch.Add(time.Duration(i)*testTick), subjects)["r001"]
				if (s.fail != nil) != (release.ErrorCode(res.Err) == code) {
					t.Fatalf("tick %d: %v", i, res.Err)
				}
				if s.fail != nil && (len(res.Readings) > 0 || len(res.Queries) > 0) {
					t.Fatalf("tick %d: a fault comes with readings", i)
				}
				a, _ := totals(res)
				rel = rel.Add(a)
			}
			if rel.Total != 42 {
				t.Errorf("counted %+v, want 42", rel)
			}
		})
	}
}

func TestAnErrorWithoutACodeIsTakenForAnUnavailableSource(t *testing.T) {
	s := newStore()
	s.fail = func(string, time.Duration) error { return errors.New("boom") }
	res := newTestReader(t, s).Read(context.Background(), epoch.Add(testTick), shops(s, 1))["r000"]
	if release.ErrorCode(res.Err) != release.CodeUnavailable {
		t.Errorf("%v", res.Err)
	}
}

func TestWhileTheSourceIsAwayOneReadDoesNotAskAgainAndAgain(t *testing.T) {
	s := newStore()
	subjects := shops(s, 1)
	r := newTestReader(t, s)
	ctx := context.Background()
	r.Read(ctx, epoch.Add(testTick), subjects)
	s.asked()
	s.fail = func(string, time.Duration) error { return release.E(release.CodeUnavailable, "away", nil) }
	// Two hours behind: many rounds would be needed.
	res := r.Read(ctx, epoch.Add(2*time.Hour), subjects)["r000"]
	if n := len(s.asked()); n > 2 || res.Err == nil {
		t.Errorf("%d queries, %v", n, res.Err)
	}
}

func TestAQueryThatIsTooExpensiveIsAskedInHalvesAndKeptSmall(t *testing.T) {
	s := newStore()
	subjects := shops(s, 8)
	s.fail = func(q string, _ time.Duration) error {
		if strings.Contains(q, "pod=~") && strings.Count(q, "shop0") > 3 { // a selector of callers has each many times
			return release.E(release.CodeTooExpensive, "too many samples", nil)
		}
		return nil
	}
	r := newTestReader(t, s)
	for id, res := range r.Read(context.Background(), epoch.Add(2*time.Minute), subjects) {
		rel, stable := totals(res)
		if res.Err != nil || rel.Total != 42 || stable.Total != 48 {
			t.Errorf("%s: %v %+v %+v", id, res.Err, rel, stable)
		}
	}
	s.asked()
	refused := 0
	inner := s.fail
	s.fail = func(q string, w time.Duration) error {
		err := inner(q, w)
		if err != nil {
			refused++
		}
		return err
	}
	r.Read(context.Background(), epoch.Add(2*time.Minute+testTick), subjects)
	if refused > 0 {
		t.Errorf("%d queries were refused that were known to be too large", refused)
	}
}

func TestATimeThatIsTooExpensiveIsReadInShorterSteps(t *testing.T) {
	s := newStore()
	subjects := shops(s, 1)
	r := newTestReader(t, s)
	ctx := context.Background()
	first := r.Read(ctx, epoch.Add(testTick), subjects)["r000"]
	s.fail = func(q string, w time.Duration) error {
		if w > 3*testTick && !strings.Contains(q, "k8s") {
			return release.E(release.CodeTooExpensive, "too many samples", nil)
		}
		return nil
	}
	r.live["r000"].attempts = eagerAttempts + 1 // nothing more to discover
	res := r.Read(ctx, epoch.Add(2*time.Minute), subjects)["r000"]
	if res.Err != nil || len(res.Readings) != 7 {
		t.Fatalf("%v, %d readings", res.Err, len(res.Readings))
	}
	a, _ := totals(first)
	b, _ := totals(res)
	if got := a.Add(b); got.Total != 42 {
		t.Errorf("counted %+v", got)
	}
}

func TestASubjectFarBehindCatchesUpInCommonSlices(t *testing.T) {
	s := newStore()
	var subjects []Subject
	for i, sub := range shops(s, 20) {
		sub.StartedAt = epoch.Add(time.Duration(i) * time.Minute)
		subjects = append(subjects, sub)
	}
	r := newTestReader(t, s)
	res := r.Read(context.Background(), epoch.Add(20*time.Minute), subjects)
	for i, sub := range subjects {
		want := (20 - i) * 4
		if i == 0 || sub.StartedAt.Sub(epoch)%testTick == 0 {
			want++ // a start on a boundary belongs to the tick before
		}
		if got := res[sub.ID]; got.Err != nil || len(got.Readings) != want {
			t.Errorf("%s: %v, %d readings, want %d", sub.ID, got.Err, len(got.Readings), want)
		}
	}
	// Slices of 4 minutes, two metrics, those who begin apart from those who go on.
	if n := len(s.asked()); n > 6*2*2 {
		t.Errorf("%d queries to catch up", n)
	}
}

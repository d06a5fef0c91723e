package verify

import (
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// quietTick is 15 s of 3 ready pods of the release that finish served requests,
// beside stable pods at stable requests per second and pod; below 0: no such pods.
func quietTick(k int, served, stable float64, scraped bool) signal.Reading {
	from := time.Unix(0, 0).Add(time.Duration(k) * 15 * time.Second)
	q := signal.Quantity{Release: signal.ArmQuantity{Measure: release.Measure{Sum: served, Weight: 45}}}
	if stable >= 0 {
		q.Stable.Measure = release.Measure{Sum: stable * 30, Weight: 30}
	}
	return signal.Reading{
		From: from, To: from.Add(15 * time.Second), Scraped: [2]bool{scraped, true},
		Quantities: map[string]signal.Quantity{release.SignalThroughput: q},
	}
}

func TestSilenceIsEvidenceWhereRequestsWereDue(t *testing.T) {
	for name, c := range map[string]struct {
		ticks    int
		served   float64
		stable   float64
		scraped  bool
		pace     float64
		quietest time.Duration
		last     float64 // what the last tick serves
		want     bool
	}{
		"silent beside busy stable pods":                    {8, 0, 5, true, 15, 0, 0, true},
		"not for less than two minutes":                     {7, 0, 5, true, 15, 0, 0, false},
		"not beside stable pods that nobody calls":          {60, 0, 0, true, 15, 0, 0, false},
		"not where few requests were due":                   {8, 0, 0.1, true, 15, 0, 0, false},
		"not of pods that could not be scraped":             {60, 0, 5, false, 15, 0, 0, false},
		"not of pods that serve":                            {60, 3, 5, true, 15, 0, 3, false},
		"one request ends it":                               {60, 0, 5, true, 15, 0, 1, false},
		"silent alone where it was busy before":             {20, 0, -1, true, 15, 0, 0, true},
		"not alone for less than five minutes":              {19, 0, -1, true, 15, 0, 0, false},
		"not alone where it was as quiet before":            {40, 0, -1, true, 15, 5 * time.Minute, 0, false},
		"not alone where there were few requests before it": {60, 0, -1, true, 0.2, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			var s silence
			for k := range c.ticks {
				served := c.served
				if k == c.ticks-1 {
					served = c.last
				}
				s.step(quietTick(k, served, c.stable, c.scraped), c.pace)
			}
			if got := s.evidence(c.quietest); (got != nil) != c.want {
				t.Errorf("evidence %+v", got)
			}
		})
	}
}

func TestThePaceIsThatOfThePast(t *testing.T) {
	var history []signal.Reading
	for k, n := range []int64{30, 0, 0, 0, 30, 0} {
		from := time.Unix(int64(15*k), 0)
		history = append(history, signal.Reading{From: from, To: from.Add(15 * time.Second), Errors: &signal.Pair{Stable: signal.Arm{Count: release.Count{Total: n}}}})
	}
	if pace, quietest := paceOf(history); pace != 60.0/90 || quietest != 45*time.Second {
		t.Errorf("%g requests a second, quiet for %s", pace, quietest)
	}
}

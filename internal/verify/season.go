package verify

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/judge"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

const (
	// Of so many days before it is asked how the workload did at this time of the day,
	// and so many of them must be known.
	daysAsked, leastDays = 7, 3
	// usualHarm is how many times as bad as on the worst of those days a release may be,
	// by the lower end of the interval, to be taken for as bad as usual.
	usualHarm = 1.5
	// usualE is the e-value from which a day got worse. What comes every day need not come
	// to the second: the days are known to daysAhead after this time of theirs.
	usualE    = 5
	daysAhead = 5 * time.Minute
	// askDaysWithin is how long all of one tick's releases may ask: when many are about
	// to be convicted at once the others are not delayed for it.
	askDaysWithin = 5 * time.Second
)

// season is what the workload did at the same time of earlier days, each judged as if
// it had been released then: a placebo. Where it got worse on half of them too, a batch
// job, a backup or the morning's rush does it, and no release.
type season struct {
	asked time.Time
	days  int     // on which it served
	worse int     // on which it got worse
	most  float64 // how many times as bad it was on the worst of them
	usual bool    // the release was no worse when last anything spoke against it
}

// bad reports whether enough days are known and half of them got worse.
func (s season) bad() bool { return s.days >= leastDays && 2*s.worse >= s.days }

// wantsDays reports whether it is to be asked how earlier days were: before a release is
// called regressed by the past alone, and again where they were bad by then, since what
// comes every day ends every day.
func (t *verification) wantsDays(now time.Time) bool {
	every := peersEvery
	if t.season.usual {
		every = daysAhead
	}
	speaks := t.assessment.Regressed && (!t.season.usual || t.assessment.E >= t.assessment.Threshold)
	again := t.season.asked.IsZero() || t.season.bad() && now.Sub(t.season.asked) >= every
	return again && speaks && t.release.Previous != nil && t.mayBeOthers() && t.affectedBy == "" && !t.peers.excuse() && !t.rollouts.usual
}

// asks reads what workloads did for some time before the StartedAt of each, as
// Source.History does, or after it, as Source.Rollouts does.
type asks func([]signal.Subject, time.Duration) map[release.ID]signal.Result

// day is what was read of the time of an earlier day.
type day struct {
	subject  signal.Subject
	readings []signal.Reading
	split    time.Time // the rollout's time on that day
}

// readDays reads how the workload did on each of the days before. It changes nothing.
// Days that cannot be read are left out; when the last two are not known nothing before
// them is asked for.
func (t *verification) readDays(ctx context.Context, now time.Time, ask asks) []day {
	var out []day
	w := t.release.Workload
	for n := 1; n <= daysAsked && ctx.Err() == nil && (n <= 2 || len(out) > 0); n++ {
		ago := time.Duration(n) * 24 * time.Hour
		s := signal.Subject{
			ID: release.ID(fmt.Sprintf("day:%d:%s", n, t.release.ID)), Namespace: w.Namespace, Workload: w.Name, StartedAt: now.Add(daysAhead - ago),
		}
		res := ask([]signal.Subject{s}, now.Add(daysAhead).Sub(t.release.StartedAt)+t.policy.History)[s.ID]
		if res.Err == nil && slices.ContainsFunc(res.Readings, counted) {
			out = append(out, day{s, res.Readings, t.release.StartedAt.Add(-ago)})
		}
	}
	return out
}

// judged is how a day was: whether the workload got worse on it, and how many times as bad.
type judged struct {
	worse bool
	most  float64
}

// judgeDays judges each of the days on which the workload served. It changes nothing.
func (t *verification) judgeDays(days []day) []judged {
	var out []judged
	for _, d := range days {
		v, served := t.pretend(d.subject, d.readings, d.split)
		if !served {
			continue
		}
		var was judged
		if lead, ok := leading(v.assessment); ok && lead.E >= usualE {
			if was.worse = true; lead.Effect != nil {
				was.most = lead.Effect.Ratio
			}
		}
		out = append(out, was)
	}
	return out
}

// hearDays takes note of how the days were.
func (t *verification) hearDays(list []judged, now time.Time) {
	t.season = season{asked: now, days: len(list), usual: t.season.usual}
	for _, d := range list {
		if d.worse {
			t.season.worse++
			t.season.most = max(t.season.most, d.most)
		}
	}
	t.compareDays()
}

// compareDays notes whether the release does no worse than the workload does at this time of
// the day, as long as anything speaks against it: afterwards what was found stays.
func (t *verification) compareDays() {
	lead, ok := leading(t.assessment)
	if ok && !t.season.asked.IsZero() && t.assessment.E >= t.assessment.Threshold {
		t.season.usual = t.season.bad() && lead.Effect != nil && lead.Effect.Low <= usualHarm*t.season.most
	}
}

// leading is the signal with the most evidence.
func leading(a judge.Assessment) (lead judge.SignalResult, ok bool) {
	for _, s := range a.Signals {
		if !ok || s.E > lead.E {
			lead, ok = s, true
		}
	}
	return lead, ok
}

// say is the excuse in words.
func (s season) say() string {
	return fmt.Sprintf("it does worse than before, as the workload does at this time of the day: so it was on %d of the %d days before that are known", s.worse, s.days)
}

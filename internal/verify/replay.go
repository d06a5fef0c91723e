package verify

import (
	"context"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// Replay lives one release again from what was stored: it is the live loop's own
// verification, with the time and the cluster's state given from outside. Its
// methods are called in the order of time, by one goroutine.
type Replay struct {
	t    *verification
	past signal.Result
	// Others are the releases of the same time, and since when they are suspected.
	Others []Suspect
	// AskPeers counts other workloads of the namespace, as Source.History does; nil
	// where none can be asked. Peers names them.
	AskPeers func(subjects []signal.Subject, length time.Duration) map[release.ID]signal.Result
	Peers    func() []string
	// Heard is what they answered; that of an earlier replay is not asked again.
	Heard *Heard
	// AskRollouts counts both arms of earlier rollouts, as Source.Rollouts does, and
	// Earlier lists those of sound releases, newest first; nil where there are none.
	AskRollouts func(subjects []signal.Subject, length time.Duration) map[release.ID]signal.Result
	Earlier     []Earlier
}

// Heard is what was asked of other workloads and earlier days, and when: the same in
// another replay of the release. The zero value holds nothing.
type Heard struct {
	peers map[time.Time][]peer
	days  map[time.Time][]judged
}

// heard answers from what is kept of a time, or asks and keeps the answer.
func heard[T any](kept *map[time.Time]T, at time.Time, ask func() T) T {
	answer, known := (*kept)[at]
	if !known {
		if *kept == nil {
			*kept = map[time.Time]T{}
		}
		answer = ask()
		(*kept)[at] = answer
	}
	return answer
}

// NewReplay begins the observation of a release that is looked at every tick.
func NewReplay(r release.Release, p release.Policy, tick time.Duration) *Replay {
	return &Replay{t: newVerification(r, p, tick), Heard: &Heard{}}
}

// Release is the release as it is known by now.
func (r *Replay) Release() release.Release { return r.t.release }

// Observe takes what the cluster showed of the rollout at a time, which may be some
// time ago.
func (r *Replay) Observe(obs release.Observation, at time.Time) { r.t.remember(obs, at) }

// Subject is what is to be counted, and by which pods.
func (r *Replay) Subject() signal.Subject { return r.t.subject() }

// HistorySubject is what is to be counted of the time before, and how long that is.
func (r *Replay) HistorySubject() (signal.Subject, time.Duration) {
	s := r.t.subject()
	s.StartedAt = r.t.release.HistoryUntil
	return s, r.t.policy.History
}

// History takes what was counted before the rollout.
func (r *Replay) History(res signal.Result) { r.past = res }

// Take feeds what was counted up to a time, and says what is known then.
func (r *Replay) Take(res signal.Result, at time.Time) release.Verdict {
	if !r.t.historyKnown {
		r.t.takeHistory(r.past, at)
	}
	r.t.take(res, at)
	r.t.suspect(conclude(r.t, at), at)
	if r.t.affectedBy = r.t.blame(r.Others, at); r.AskPeers != nil && r.t.wantsPeers(at) {
		r.t.hearPeers(heard(&r.Heard.peers, at, func() []peer {
			subjects, length := r.t.peerSubjects(r.Peers(), at)
			return r.t.judgePeers(context.Background(), subjects, r.AskPeers(subjects, length))
		}), at)
	}
	if len(r.Earlier) > 0 && r.t.wantsEarlier(at) {
		r.t.hearEarlier(r.t.readEarlier(context.Background(), r.Earlier, at, r.AskPeers, r.AskRollouts), at)
	}
	if r.AskPeers != nil && r.t.wantsDays(at) {
		r.t.hearDays(heard(&r.Heard.days, at, func() []judged {
			return r.t.judgeDays(r.t.readDays(context.Background(), at, r.AskPeers))
		}), at)
	}
	r.t.last = conclude(r.t, at)
	return r.t.last
}

// Suspect tells since when the release is suspected, if it is.
func (r *Replay) Suspect() Suspect { return r.t.asSuspect() }

// MayBeOthers reports whether another release may be the cause of what speaks
// against this one.
func (r *Replay) MayBeOthers() bool { return r.t.mayBeOthers() }

// Convicted reports whether the numbers speak against the release: then it is compared
// with earlier ones.
func (r *Replay) Convicted() bool { return r.t.assessment.Regressed }

// Close is the last word on a release that was overtaken.
func (r *Replay) Close(why string, by release.ID, at time.Time) release.Verdict {
	r.t.release.SupersededBy = by
	r.t.last = closed(r.t, why, at)
	return r.t.last
}

// Curves returns a verdict with the curves behind its evidence.
func (r *Replay) Curves(v release.Verdict) release.Verdict { return r.t.withCurves(v) }

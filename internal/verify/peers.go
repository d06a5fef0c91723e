package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

const (
	// Of so many other workloads of the namespace that serve at least it is asked how
	// they do; more are not asked.
	leastPeers, maxPeers = 2, 12
	// peersEvery is how often they are asked while only the past speaks against a
	// release.
	peersEvery = time.Minute
	// peersBefore is how long before a rollout the trouble of all may have begun: what
	// went before that is their past.
	peersBefore = 12 * time.Minute
	// moreThanCalls is how many times the release's failures a peer must have that
	// cannot have them all from calling it.
	moreThanCalls = 1.5
)

// peers are the other workloads of a release's namespace: whether they got worse at
// the time at which it did (difference in differences).
type peers struct {
	asked     time.Time
	serving   int
	suffering []string
	// worse is one of them in which more requests fail than in the release, so that it
	// cannot have them all from calling it.
	worse   string
	doubted bool // the judge was told of them
}

// excuse reports whether half of the peers or more suffer too: then what the past
// says of the release is nobody's release's fault.
func (p *peers) excuse() bool {
	return len(p.suffering) >= leastPeers && 2*len(p.suffering) >= p.serving
}

// wantsPeers reports whether it is to be asked how others do: before a release is
// called regressed by the past alone. What they once had in common stays an excuse.
func (t *verification) wantsPeers(now time.Time) bool {
	return (t.assessment.Regressed || t.doubtful()) && t.release.Previous != nil && t.mayBeOthers() && t.affectedBy == "" &&
		!t.peers.excuse() && now.Sub(t.peers.asked) >= peersEvery
}

// doubtful reports whether the release would be called regressed, had a peer not the
// same trouble.
func (t *verification) doubtful() bool {
	return t.peers.doubted && !t.assessment.Regressed && t.assessment.Suspected >= t.assessment.Threshold
}

// peerSubjects are the peers as they are to be counted up to now, and over how long.
// Those that are seen to call the workload would suffer of its faults.
func (t *verification) peerSubjects(names []string, now time.Time) ([]signal.Subject, time.Duration) {
	w := t.release.Workload
	var out []signal.Subject
	for _, name := range names {
		calls := slices.ContainsFunc(t.calledBy, func(set string) bool {
			return strings.HasPrefix(set, w.Namespace+"/"+name+"-")
		})
		if name == w.Name || calls || len(out) == maxPeers {
			continue
		}
		out = append(out, signal.Subject{
			ID: release.ID("peer:" + w.Namespace + "/" + name), Namespace: w.Namespace, Workload: name, StartedAt: now,
		})
	}
	return out, now.Sub(t.release.StartedAt) + peersBefore + t.policy.History
}

// peer is what one of them did since the rollout began.
type peer struct {
	workload string
	suffers  bool
	failed   float64 // how many of its requests, beyond what would have before
}

// judgePeers judges each peer as if it had been released shortly before this release
// was, alone: what it did until then is its past. Those that served nobody, and those
// that cannot be read, are left out. It changes nothing.
func (t *verification) judgePeers(ctx context.Context, subjects []signal.Subject, results map[release.ID]signal.Result) []peer {
	var out []peer
	split := t.release.StartedAt.Add(-peersBefore)
	for _, s := range subjects {
		res, ok := results[s.ID]
		if ctx.Err() != nil || !ok || res.Err != nil {
			continue
		}
		if v, served := t.pretend(s, res.Readings, split); served {
			out = append(out, peer{s.Workload, v.assessment.E >= suspectE, failedBeyond(res.Readings, split, t.release.StartedAt)})
		}
	}
	return out
}

// hearPeers takes note of how the peers do.
func (t *verification) hearPeers(list []peer, now time.Time) {
	t.peers = peers{asked: now, doubted: t.peers.doubted, worse: t.peers.worse, serving: len(list)}
	own := t.failures()
	for _, p := range list {
		if p.suffers {
			t.peers.suffering = append(t.peers.suffering, p.workload)
			if t.peers.worse == "" && p.failed > moreThanCalls*own {
				t.peers.worse = p.workload
			}
		}
	}
	if t.peers.worse != "" && !t.peers.excuse() && !t.peers.doubted {
		t.peers.doubted = true
		t.judge.Doubt(t.firstTrouble(now), now)
		if t.looked {
			t.judge.Last(now)
		}
		t.assessment, t.crossedAt = t.judge.Assess(), time.Time{}
	}
}

// pretend judges a workload as if it had been released at some time, alone: what it did
// until then is its past. served is false where it served nobody since.
func (t *verification) pretend(s signal.Subject, readings []signal.Reading, at time.Time) (v *verification, served bool) {
	v = newVerification(release.Release{
		ID: s.ID, StartedAt: at, SeenAt: at, HistoryUntil: at,
		Workload: release.Workload{Namespace: s.Namespace, Name: s.Workload}, Previous: &release.ReplicaSet{},
	}, t.policy, t.tick)
	cut := slices.IndexFunc(readings, func(rd signal.Reading) bool { return rd.To.After(at) })
	if cut < 0 {
		return v, false
	}
	v.takeHistory(signal.Result{Readings: readings[:cut]}, at)
	for _, rd := range readings[cut:] {
		rd = asRelease(rd)
		served = served || rd.Errors != nil && rd.Errors.Release.Total > 0
		v.feed(rd)
	}
	return v, served && v.judge != nil
}

// failures is how many requests of the workload failed since the rollout began, beyond
// what would have before it.
func (t *verification) failures() float64 {
	for i, s := range t.assessment.Signals {
		if t.signals[i].signal == release.SignalErrorRatio && t.signals[i].seenBy == release.SeenByServer {
			all := s.Release.Add(s.Stable)
			return float64(all.Bad) - s.History.Ratio()*float64(all.Total)
		}
	}
	return 0
}

// failedBeyond is the same of a peer, from its readings: those up to split are its past.
func failedBeyond(readings []signal.Reading, split, from time.Time) float64 {
	var before, since release.Count
	for _, rd := range readings {
		switch {
		case rd.Errors == nil:
		case !rd.To.After(split):
			before = before.Add(rd.Errors.Stable.Count)
		case rd.To.After(from):
			since = since.Add(rd.Errors.Stable.Count)
		}
	}
	return float64(since.Bad) - before.Ratio()*float64(since.Total)
}

// asRelease is a reading of a whole workload as that of a release that is alone.
func asRelease(rd signal.Reading) signal.Reading {
	swap := func(p *signal.Pair) *signal.Pair {
		if p == nil {
			return nil
		}
		out := signal.Pair{Release: p.Stable}
		for _, s := range p.Strata {
			out.Strata = append(out.Strata, signal.Stratum{Route: s.Route, Release: s.Stable})
		}
		return &out
	}
	rd.Errors, rd.Callers, rd.Restarts = swap(rd.Errors), nil, nil
	if l := rd.Latency; l != nil {
		out := signal.LatencyPair{Release: l.Stable, Stable: signal.Histogram{Bounds: l.Stable.Bounds, Counts: make([]float64, len(l.Stable.Counts))}}
		for _, s := range l.Strata {
			out.Strata = append(out.Strata, signal.LatencyStratum{Route: s.Route, Release: s.Stable, Stable: make([]float64, len(s.Stable))})
		}
		rd.Latency = &out
	}
	rd.CallerLatency, rd.Quantities, rd.Custom = nil, nil, nil
	return rd
}

// doubt is why the judge was told to wait, in words.
func (p *peers) doubt() string {
	return fmt.Sprintf("it does worse than before, and so does %s, in which more requests fail: whether both have one cause is to be seen by how long it lasts", p.worse)
}

// say is the excuse in words.
func (p *peers) say() string {
	return fmt.Sprintf("it does worse than before, and so do %d of the %d other workloads of its namespace that were asked: %s",
		len(p.suffering), p.serving, release.OneLine(strings.Join(p.suffering, ", "), 200))
}

// askOthers asks how others do, and how it was on earlier days, for the releases that
// the past alone is about to convict. The source is read with no lock held.
func (v *Verifier) askOthers(ctx context.Context, now time.Time, wanting []*verification) {
	within, cancel := context.WithTimeout(ctx, askDaysWithin)
	defer cancel()
	for _, t := range wanting {
		v.mu.Lock()
		names := slices.DeleteFunc(v.cluster.Peers(t.release.Workload.Namespace), func(name string) bool {
			return v.releasing(t.release.Workload.Namespace, name)
		})
		subjects, length := t.peerSubjects(names, now)
		wanted := t.wantsPeers(now)
		v.mu.Unlock()
		if wanted {
			results := v.source.History(ctx, subjects, length)
			v.mu.Lock()
			t.hearPeers(t.judgePeers(ctx, subjects, results), now)
			v.mu.Unlock()
		}
		v.askEarlier(within, t, now)
		v.mu.Lock()
		wanted, still := t.wantsDays(now), t.still()
		v.mu.Unlock()
		if wanted {
			days := still.readDays(within, now, func(subjects []signal.Subject, length time.Duration) map[release.ID]signal.Result {
				return v.source.History(within, subjects, length)
			})
			v.mu.Lock()
			t.hearDays(t.judgeDays(days), now)
			v.mu.Unlock()
		}
	}
}

// still is what is asked by of a verification while no lock is held.
func (t *verification) still() *verification {
	return &verification{release: t.release, policy: t.policy, tick: t.tick, obs: t.obs}
}

// releasing reports whether a workload has a release that is watched; v.mu is held.
func (v *Verifier) releasing(namespace, name string) bool {
	for _, t := range v.live {
		if t.release.Workload.Namespace == namespace && t.release.Workload.Name == name {
			return true
		}
	}
	return false
}

package backtest

import (
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// scene is what kube-state-metrics stored of one rollout: a Deployment's
// ReplicaSets, the pods of both arms, and when each was told of.
type scene struct {
	candidate candidate
	from, to  time.Time
	rel       release.Release
	sets      map[string]*replicaSet
	pods      []*pod // of both arms, in order of name
	beats     times  // when anything of the workload was told of
	slack     int64  // how much later than the workload a pod may be told of
	// gone is when the Deployment was found to be deleted, zero when it was not.
	gone time.Time
	// Back to an older ReplicaSet, zero when it did not.
	back   time.Time
	backTo string
}

type replicaSet struct {
	name        string
	created     time.Time
	spec, ready steps
}

type pod struct {
	name, ip string
	set      string // its ReplicaSet
	arm      release.Arm
	created  time.Time
	young    bool // it was created while the scene was looked at
	seen     times
	ready    steps
	images   []release.Image
	troubles []*trouble
	restarts map[string]steps // by container
}

// trouble is a state of a container, 1 while it is in it. How a container ended
// last is told for ever, so it counts only with so many restarts that were seen.
type trouble struct {
	kind              release.ProblemKind
	container, reason string
	steps             steps
	restarts          float64
}

// there reports whether a pod exists at a time: it was told of as lately as the
// workload was.
func (s *scene) there(p *pod, ms int64) bool {
	seen, ok := p.seen.before(ms)
	if !ok {
		return false
	}
	beat, _ := s.beats.before(ms)
	return seen >= beat-s.slack
}

// observe is what Kubernetes would have shown at a time.
func (s *scene) observe(at time.Time) release.Observation {
	ms := at.UnixMilli()
	out := release.Observation{
		Exists: s.gone.IsZero() || at.Before(s.gone), Current: true, Services: []string{s.candidate.deployment},
	}
	out.Release = s.arm(release.ArmRelease, s.rel.ReplicaSet.Name, ms)
	if s.rel.Previous != nil {
		out.Stable = s.arm(release.ArmStable, s.rel.Previous.Name, ms)
	}
	out.Replicas = int(s.asked(s.rel.ReplicaSet.Name, ms))
	out.Complete = s.complete(ms)
	return out
}

// asOf is how late a time is known to be as observe says: while nothing is told of
// the workload, as of the last time that something was.
func (s *scene) asOf(at time.Time) time.Time {
	beat, ok := s.beats.before(at.UnixMilli())
	if !ok || at.UnixMilli()-beat <= 2*s.beats.gap() {
		return at
	}
	return time.UnixMilli(beat).UTC()
}

func (s *scene) asked(name string, ms int64) float64 {
	if set := s.sets[name]; set != nil {
		return set.spec.value(ms)
	}
	return 0
}

// complete reports whether all replicas are the release's, and ready.
func (s *scene) complete(ms int64) bool {
	own := s.sets[s.rel.ReplicaSet.Name]
	if own == nil {
		return false
	}
	for _, other := range s.sets {
		if other != own && (other.spec.value(ms) > 0 || len(other.spec) == 0 && other.ready.value(ms) > 0) {
			return false
		}
	}
	ready := own.ready.value(ms)
	return ready > 0 && ready >= own.spec.value(ms)
}

func (s *scene) arm(arm release.Arm, set string, ms int64) release.ArmState {
	var out release.ArmState
	if rs := s.sets[set]; rs != nil {
		out.Replicas, out.Ready = int(rs.spec.value(ms)), int(rs.ready.value(ms))
	}
	for _, p := range s.pods {
		if p.arm == arm && s.there(p, ms) {
			out.Pods = append(out.Pods, p.at(ms))
		}
	}
	return out
}

// at is the pod as Kubernetes would have shown it.
func (p *pod) at(ms int64) release.Pod {
	out := release.Pod{Name: p.name, IP: p.ip, CreatedAt: p.created, ReadyAt: p.readyAt(ms)}
	for _, r := range p.restarts {
		out.Restarts += int(r.value(ms))
	}
	for _, im := range p.images {
		if im.Digest != "" {
			if out.Digests == nil {
				out.Digests = map[string]string{}
			}
			out.Digests[im.Container] = im.Digest
		}
	}
	for _, t := range p.troubles {
		if t.steps.value(ms) == 1 && p.restarted(t.container, ms) >= t.restarts {
			out.Problems = append(out.Problems, release.Problem{Kind: t.kind, Container: t.container, Message: t.reason})
		}
	}
	return out
}

// restarted is how often a container was seen to be restarted by a time: since it
// began, or since it is looked at.
func (p *pod) restarted(container string, ms int64) float64 {
	r := p.restarts[container]
	if len(r) == 0 {
		return 0
	}
	before := r[0].v
	if p.young {
		before = 0
	}
	return r.value(ms) - before
}

func (p *pod) readyAt(ms int64) *time.Time {
	v, ok := p.ready.at(ms)
	if !ok || v.v != 1 {
		return nil
	}
	at := time.UnixMilli(v.at).UTC()
	return &at
}

// known are the pods that had been seen by a time, also those that were gone.
func (s *scene) known(at time.Time) []signal.Pod {
	ms := at.UnixMilli()
	var out []signal.Pod
	for _, p := range s.pods {
		seen, ok := p.seen.before(ms)
		if !ok {
			continue
		}
		k := signal.Pod{Name: p.name, IP: p.ip, Arm: p.arm, CreatedAt: p.created}
		if s.there(p, ms) {
			if ready := p.readyAt(ms); ready != nil {
				k.ReadyAt = *ready
			}
		} else {
			k.GoneAt = time.UnixMilli(seen + s.beats.gap()).UTC()
		}
		out = append(out, k)
	}
	return out
}

// whenBack finds the time at which the Deployment went back to an older
// ReplicaSet: the release's is asked for no more and an older one is.
func (s *scene) whenBack() (time.Time, string) {
	own := s.sets[s.rel.ReplicaSet.Name]
	if own == nil {
		return time.Time{}, ""
	}
	asked := false
	for _, st := range own.spec {
		if st.v > 0 {
			asked = true
			continue
		}
		if !asked {
			continue
		}
		for _, other := range s.ordered() {
			if other.created.Before(own.created) && other.spec.value(st.at) > 0 {
				return time.UnixMilli(st.at).UTC(), other.name
			}
		}
	}
	return time.Time{}, ""
}

func (s *scene) ordered() []*replicaSet {
	out := make([]*replicaSet, 0, len(s.sets))
	for _, set := range s.sets {
		out = append(out, set)
	}
	slices.SortFunc(out, func(a, b *replicaSet) int { return b.created.Compare(a.created) })
	return out
}

// takenOver is the ReplicaSet with the most ready pods just before the release's
// was created; nil for none. Among equals it is the newest that had been observed
// to its end: one that still was is not known to be good.
func (s *scene) takenOver(observe time.Duration) *replicaSet {
	ms := s.candidate.created.UnixMilli()
	proven := s.candidate.created.Add(-observe)
	var best *replicaSet
	for _, set := range s.ordered() {
		if set.name == s.candidate.replicaSet || set.created.After(s.candidate.created) {
			continue
		}
		if best == nil || set.ready.value(ms) > best.ready.value(ms) ||
			set.ready.value(ms) == best.ready.value(ms) && best.created.After(proven) {
			best = set
		}
	}
	return best
}

package verify

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// suspectE is the e-value against their own stable pods from which a release's
// pods are suspected of what other workloads suffer at the same time.
const suspectE = 20

// How long evidence from the past alone waits for what is seen of other releases
// of the same namespace that began within some time of it.
const (
	overlapPatience = 2 * time.Minute
	// callPatience is the same for one that the workload is seen to call.
	callPatience = 5 * time.Minute
	overlapSpan  = 10 * time.Minute
)

// Suspect is a release that may be why others suffer, once it has trouble.
type Suspect struct {
	Namespace, Workload, ReplicaSet string
	Began                           time.Time // of the rollout
	// Troubled is since when anything speaks against it, Guilty since when its own
	// pods do worse than its stable pods or are in a state that convicts; zero for
	// never.
	Troubled, Guilty time.Time
	// CalledBy are the ReplicaSets whose pods are seen to call it, namespace/name.
	CalledBy []string
}

// Calls reports whether pods of a release, or of the version before it, are seen to
// call the suspect.
func (s Suspect) Calls(r release.Release) bool {
	return slices.ContainsFunc(s.CalledBy, func(set string) bool {
		return set == r.Workload.Namespace+"/"+r.ReplicaSet.Name ||
			r.Previous != nil && set == r.Workload.Namespace+"/"+r.Previous.Name
	})
}

// Name is how a report names it.
func (s Suspect) Name() string { return s.Namespace + "/" + s.ReplicaSet }

// armsE is the evidence against the release's own stable pods, as the judge weighs
// it.
func (t *verification) armsE() float64 {
	sum, weights := 0.0, 0.0
	for i, s := range t.assessment.Signals {
		w := t.signals[i].declared.Weight
		sum += w * s.EStable
		weights += w
	}
	if weights == 0 {
		return 1
	}
	return sum / weights
}

// suspect notes since when a release is suspected.
func (t *verification) suspect(v release.Verdict, at time.Time) {
	if t.suspectedAt.IsZero() && (t.armsE() >= suspectE || v.Kind == release.Regressed && v.State) {
		t.suspectedAt = at
	}
	if t.troubledAt.IsZero() && (max(t.assessment.E, t.assessment.Suspected) >= suspectE || !t.suspectedAt.IsZero()) {
		t.troubledAt = at
	}
}

// firstTrouble is since when anything speaks against the release.
func (t *verification) firstTrouble(at time.Time) time.Time {
	if t.troubledAt.IsZero() {
		return at
	}
	return t.troubledAt
}

// wasSound reports whether what speaks against the release did not at first: its
// pods served well for a while.
func (t *verification) wasSound() bool {
	found := false
	for _, s := range t.assessment.Signals {
		if s.E >= suspectE {
			if !s.Sound {
				return false
			}
			found = true
		}
	}
	return found
}

// asSuspect is what others need to know of a release.
func (t *verification) asSuspect() Suspect {
	r := t.release
	return Suspect{r.Workload.Namespace, r.Workload.Name, r.ReplicaSet.Name, r.StartedAt, t.troubledAt, t.suspectedAt, t.calledBy}
}

// mayBeOthers reports whether another release may be the cause of what speaks
// against this one: only the past does.
func (t *verification) mayBeOthers() bool { return t.suspectedAt.IsZero() && t.suffers() }

// blame finds who else may be the cause of what only the past speaks against: a
// release with trouble of its own that this workload is seen to call; or a guilty one
// of the same namespace that began shortly before this one's trouble. That only where
// the stable pods had the trouble too, or where this release was there before the
// other and served well: one that does badly from its first requests on, or worse
// than its stable pods, answers for itself.
func (t *verification) blame(others []Suspect, at time.Time) string {
	t.waitFor = ""
	if t.assessment.Regressed && t.crossedAt.IsZero() {
		t.crossedAt = at
	}
	if !t.mayBeOthers() {
		return ""
	}
	for _, o := range others {
		since, possible := t.mayBe(o, at)
		if !possible {
			continue
		}
		if !since.IsZero() && !since.After(at) {
			return o.Name()
		}
		patience := overlapPatience
		if o.Calls(t.release) {
			patience = callPatience
		}
		if !t.crossedAt.IsZero() && at.Sub(t.crossedAt) < patience {
			t.waitFor = o.Name()
		}
	}
	return ""
}

// mayBe reports whether a release may be the cause, and since when it is taken for
// it: one that is called once it has trouble, others once they are guilty of it.
func (t *verification) mayBe(o Suspect, at time.Time) (since time.Time, possible bool) {
	began, trouble := t.release.StartedAt, t.firstTrouble(at)
	switch {
	case o.Workload == t.release.Workload.Name && o.Namespace == t.release.Workload.Namespace:
		return since, false
	case o.Calls(t.release):
		return o.Troubled, o.Began.Sub(began).Abs() < t.policy.Observe && !o.Began.After(at)
	case o.Namespace != t.release.Workload.Namespace, o.Began.After(trouble), trouble.Sub(o.Began) > overlapSpan:
		return since, false
	}
	return o.Guilty, t.outside() || t.wasSound() && !o.Began.Before(began)
}

// SortSuspects brings them into an order that is the same each time.
func SortSuspects(list []Suspect) {
	slices.SortFunc(list, func(a, b Suspect) int {
		return cmp.Or(a.Troubled.Compare(b.Troubled), strings.Compare(a.Name(), b.Name()))
	})
}

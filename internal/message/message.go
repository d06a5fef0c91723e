// Package message says what has become of a release, once for every receiver:
// from the release, its verdict and the actions comes one release.Message. It is
// pure: the same facts make the same message.
package message

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Facts are all that is known of a release when it is spoken of.
type Facts struct {
	Release release.Release
	Verdict release.Verdict
	Policy  release.Policy
	Actions []release.Action
	// Restore is what came of watching the version that was put back; nil while
	// that is not known.
	Restore *Restore
	// ApproveBy is when an approval can no longer be given; nil: at any time.
	ApproveBy *time.Time
	// Closed says why the release is over although no newer one took over, such
	// as "the workload was deleted"; "" while it is not.
	Closed string
	// Acknowledged is what a person did last to the incident elsewhere; nil: nothing.
	Acknowledged *release.Acknowledgement
	Commits      []release.Commit // between the version before and the release
	// Before is the state that was told last, "" when none was.
	Before   release.MessageState
	Sequence int // of the message, from 1
	Now      time.Time
}

// Restore is what came of watching the version that was put back.
type Restore struct {
	State  release.ActionState // ActionDone: it runs and is ready; ActionFailed; ActionVoid
	Detail string
	At     time.Time
}

// rollback is the release's only rollback, nil where none was decided.
func (f Facts) rollback() *release.Action {
	for i := range f.Actions {
		if f.Actions[i].Kind == release.ActionRollback && f.Actions[i].Key == release.ActionKey(f.Release.ID, release.ActionRollback) {
			return &f.Actions[i]
		}
	}
	return nil
}

// asked is who asked for the rollback, "" where nobody did.
func (f Facts) asked() string {
	if r := f.rollback(); r != nil {
		return r.AskedBy
	}
	return ""
}

// State is what there is to say.
func State(f Facts) release.MessageState {
	if f.Verdict.Kind == release.Regressed || underWay(f) {
		return regressed(f)
	}
	switch f.Verdict.Kind {
	case release.Healthy:
		if mended(f.Before) {
			return release.SaysRecovered
		}
		return release.SaysHealthy
	}
	switch {
	case f.Release.SupersededBy != "" || f.Closed != "":
		return release.SaysSuperseded
	case f.Verdict.Kind == release.InsufficientData:
		return release.SaysInsufficient
	case f.Verdict.Kind == release.SourceBroken:
		return release.SaysSourceBroken
	case mended(f.Before):
		return release.SaysRecovered
	}
	return release.SaysVerifying
}

// mended reports whether a release that can be judged again, or is healthy,
// contradicts what was told before.
func mended(before release.MessageState) bool {
	return before.Open() || before == release.SaysRecovered
}

// underWay reports whether a person had a release rolled back that is not called
// regressed. What was not done is nothing to speak of.
func underWay(f Facts) bool {
	r := f.rollback()
	return r != nil && r.AskedBy != "" && r.State != release.ActionVoid && r.State != release.ActionRefused
}

// regressed tells the states after a regression apart: what came of the rollback
// comes before what a person said of the verdict, and that before what came over
// the release.
func regressed(f Facts) release.MessageState {
	rollback := f.rollback()
	undone := rollback != nil && rollback.State == release.ActionDone
	over := f.Release.SupersededBy != "" || f.Closed != ""
	switch {
	case undone && f.Restore != nil && f.Restore.State == release.ActionDone:
		return release.SaysRestored
	case !undone && f.Verdict.Wrong != nil:
		return release.SaysRecovered
	case undone && f.Restore == nil: // though the release is over: whether the old version runs is told next
		return release.SaysRollingBack
	case over, undone && f.Restore.State == release.ActionVoid:
		return release.SaysSuperseded
	case undone, rollback != nil && rollback.State == release.ActionFailed:
		return release.SaysNotHelped
	case rollback != nil && rollback.State == release.ActionPending:
		return release.SaysRollingBack
	case rollback != nil && rollback.State == release.ActionWaiting:
		return release.SaysWaiting
	}
	return release.SaysRegressed
}

// Of makes the message of a release as it stands.
func Of(f Facts, places Places) release.Message {
	state := State(f)
	rel, v := f.Release, f.Verdict
	from, to := release.Versions(rel)
	m := release.Message{
		Key: release.MessageKey(rel.ID), Sequence: f.Sequence, State: state, Severity: severity(state, v, f.Policy),
		Headline: headline(f, state),
		Release:  rel.ID, Workload: plainWorkload(rel.Workload), Verdict: v.Kind, From: from, To: to, Commit: commitOf(rel),
		HowBad: changes(v), StartedAt: rel.StartedAt, DecidedAt: v.DecidedAt, At: f.Now,
		Since: since(f), Sure: sure(f), Did: did(f, state), Next: next(f, state), Why: release.OneLine(v.Reason, longText),
		Offers: offers(f, state), Links: places.links(f),
	}
	if f.Acknowledged.Stands() {
		m.Acknowledged = f.Acknowledged
	}
	if state == release.SaysWaiting {
		m.ExpiresAt = f.ApproveBy
	}
	if state.Over() || (v.Final && !state.Open()) {
		m.EndedAt = &m.At
	}
	m.Labels = labelsOf(f, m)
	return m
}

// longText bounds in characters the texts that come from outside.
const longText = 500

// severity is the policy's for a release that made things worse; what is no
// regression wakes nobody, nor what a person had done.
func severity(s release.MessageState, v release.Verdict, p release.Policy) release.Severity {
	switch s {
	case release.SaysRegressed, release.SaysWaiting, release.SaysRollingBack, release.SaysNotHelped:
		if v.Kind != release.Regressed {
			return release.SeverityWarning
		}
		return cmp.Or(p.Severity, release.SeverityCritical)
	case release.SaysSourceBroken, release.SaysInsufficient:
		return release.SeverityWarning
	}
	return release.SeverityInfo
}

// Labels a message always carries. Those of the workload cannot take their place.
const (
	LabelCluster   = "cluster"
	LabelNamespace = "namespace"
	LabelWorkload  = "workload"
	LabelSeverity  = "severity"
	LabelState     = "state"
	LabelVerdict   = "verdict"
	LabelKind      = "kind"
	LabelPolicy    = "policy"
	LabelAutonomy  = "autonomy"
)

// Labels are the names of the labels a message always carries.
var Labels = []string{
	LabelCluster, LabelNamespace, LabelWorkload, LabelSeverity, LabelState, LabelVerdict, LabelKind, LabelPolicy, LabelAutonomy,
}

// Kinds of messages, the values of LabelKind.
const (
	KindRelease  = "release"
	KindIncident = "incident" // many releases told as one
	KindGroup    = "group"    // releases of a route told together
	KindTest     = "test"
)

func labelsOf(f Facts, m release.Message) map[string]string {
	labels := maps.Clone(f.Release.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, map[string]string{
		LabelCluster: m.Workload.Cluster, LabelNamespace: m.Workload.Namespace, LabelWorkload: m.Workload.Name,
		LabelSeverity: string(m.Severity), LabelState: string(m.State), LabelVerdict: string(m.Verdict), LabelKind: KindRelease,
		LabelPolicy: f.Policy.Name, LabelAutonomy: string(f.Policy.Autonomy),
	})
	for name, value := range labels {
		labels[name] = release.OneLine(value, longText)
	}
	return labels
}

func plainWorkload(w release.Workload) release.Workload {
	const longName = 253 // of anything in Kubernetes
	return release.Workload{
		Cluster: release.OneLine(w.Cluster, longName), Namespace: release.OneLine(w.Namespace, longName),
		Name: release.OneLine(w.Name, longName), UID: release.OneLine(w.UID, longName),
	}
}

// commitOf is the revision of the first changed image that tells one.
func commitOf(rel release.Release) string {
	for _, im := range rel.Changed() {
		if im.Revision != "" {
			return release.OneLine(im.Revision, 80)
		}
	}
	return ""
}

// maxChanges bounds how many signals a message tells of.
const maxChanges = 8

// changes are the evidence in words, the worst first; of a regressed release
// only what speaks against it.
func changes(v release.Verdict) []release.Change {
	evidence := slices.Clone(v.Evidence)
	worst := release.Worst(v.Evidence) // not of what is being sorted
	rank := func(e release.Evidence) float64 {
		switch {
		case worst != nil && same(e, *worst):
			return 3
		case e.EValue == nil && e.Baseline == release.BaselineNone && e.Reason != "":
			return 2
		case e.EValue == nil:
			return 0
		}
		return *e.EValue / (1 + *e.EValue) // e-values without their infinity
	}
	slices.SortStableFunc(evidence, func(a, b release.Evidence) int { return cmp.Compare(rank(b), rank(a)) })
	var out []release.Change
	for _, e := range evidence {
		against := rank(e) >= 0.5 // an e-value of 1 and more
		if len(out) == maxChanges || (v.Kind == release.Regressed && !against) {
			break
		}
		out = append(out, changeOf(e))
	}
	return out
}

func same(a, b release.Evidence) bool {
	return a.Signal == b.Signal && a.Baseline == b.Baseline && a.SeenBy == b.SeenBy && a.EValue == b.EValue && a.Reason == b.Reason
}

func changeOf(e release.Evidence) release.Change {
	c := release.Change{
		Signal: release.OneLine(e.Signal, 80), Name: e.Name(), Unit: e.Unit,
		Sentence: release.OneLine(release.EvidenceSentence(e), 2*longText), Curve: e.Curve,
	}
	if math.IsNaN(e.BaselineValue) || math.IsNaN(e.ReleaseValue) {
		c.State = "its values are not known"
		return c
	}
	if e.EValue == nil && e.Baseline == release.BaselineNone {
		c.State = release.OneLine(cmp.Or(e.Reason, "nothing was measured"), longText)
		return c
	}
	c.Before, c.Now, c.Interval = e.BaselineValue, e.ReleaseValue, e.Effect
	c.BeforeWords, c.NowWords, c.IntervalWords = release.Value(e.BaselineValue, e.Unit), release.Value(e.ReleaseValue, e.Unit), e.EffectWords()
	return c
}

package verify

import (
	"fmt"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/judge"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// conclude says what is known of a release now. It is a function of what the
// verification holds and of the time; it changes nothing.
func conclude(t *verification, now time.Time) release.Verdict {
	v := release.Verdict{
		Release: t.release.ID, Kind: release.Pending, UpdatedAt: now.UTC(), Threshold: 1 / t.policy.Alpha,
	}
	a := t.assessment
	if t.judge != nil {
		v.EValue = a.E
		v.Findings = append(v.Findings, a.Findings...)
		for _, note := range t.notes {
			v.Findings = append(v.Findings, release.Finding{Kind: "measurement", Message: note})
		}
		v.Evidence = t.evidence(a)
	}
	if t.observed {
		states, findings := podState(t.obs, t.policy, t.observedAt)
		if e := t.silence.evidence(t.quietest); e != nil && t.release.Previous != nil {
			states = append(states, *e)
		}
		v.Evidence = append(states, v.Evidence...)
		v.Findings = append(v.Findings, findings...)
		if len(states) > 0 {
			v.State = true
			return decide(v, t, release.Regressed, now, true, states[0].Reason)
		}
	}
	excuse := t.excuse()
	if v.AffectedBy = t.affectedBy; !t.suffers() {
		v.AffectedBy = ""
	} else if v.AffectedBy == "" && t.rollouts.usual {
		v.AffectedBy = release.EveryRollout
	} else if v.AffectedBy == "" && (t.outside() || excuse != "") {
		v.AffectedBy = release.Unreleased
	}
	over := t.over(now)
	broken, why := t.sourceBroken(now)
	switch {
	case excuse != "" && (a.Regressed || t.doubtful()):
		// It is watched to its end: what stays when the other is mended is its own.
		if over {
			return decide(v, t, release.InsufficientData, now, true, excuse)
		}
		return decide(v, t, release.Pending, now, false, excuse)
	case a.Regressed && t.waitFor != "" && !over:
		return decide(v, t, release.Pending, now, false, "it does worse than before; whether "+t.waitFor+", which rolled out at the same time, is the cause is yet to be seen")
	case a.Regressed:
		at := a.RegressedAt
		if !t.crossedAt.IsZero() && t.last.Kind != release.Regressed && now.Sub(t.crossedAt) >= overlapPatience {
			at = now // others were waited for
		}
		why := ""
		if a.AtLast {
			why = "found by the last look, at the end of the observation"
		}
		return decide(v, t, release.Regressed, at, true, why)
	case t.observed && !t.obs.Exists:
		return decide(v, t, openKind(t), now, true, "the Deployment was deleted")
	case broken:
		return decide(v, t, release.SourceBroken, now, over, why)
	case a.Healthy && t.observed && t.obs.Complete:
		return decide(v, t, release.Healthy, now, over, "")
	}
	v.Needs = t.needs(a)
	if over {
		return decide(v, t, release.InsufficientData, now, true, t.lacking(a))
	}
	return decide(v, t, release.Pending, now, false, t.lacking(a))
}

// excuse says why what only the past speaks against is not, or not yet, the release's
// fault; "" where nothing excuses it.
func (t *verification) excuse() string {
	switch {
	case t.affectedBy != "":
		return "it does worse than before, as " + t.affectedBy + ", which rolled out just before that, does; its own pods did well until then, or its stable pods do no better"
	case t.rollouts.usual:
		return t.rollouts.say()
	case !t.mayBeOthers():
		return ""
	case t.peers.excuse():
		return t.peers.say()
	case t.season.usual:
		return t.season.say()
	case t.doubtful():
		return t.peers.doubt()
	}
	return ""
}

// suffers reports whether the past speaks against a release, or the stable arm had
// the trouble too.
func (t *verification) suffers() bool {
	return t.outside() || t.assessment.Regressed || t.doubtful() || slices.ContainsFunc(t.assessment.Signals, func(s judge.SignalResult) bool { return s.EHistory >= suspectE })
}

// outside reports whether the stable arm had trouble too.
func (t *verification) outside() bool {
	return slices.ContainsFunc(t.assessment.Signals, func(s judge.SignalResult) bool { return s.Outside })
}

// over reports whether the observation's time has passed.
func (t *verification) over(now time.Time) bool {
	return !now.Before(t.release.StartedAt.Add(t.policy.Observe))
}

// closed is the last word on a release that was overtaken: what was known of
// it by then.
func closed(t *verification, why string, now time.Time) release.Verdict {
	v := conclude(t, now)
	if v.Kind == release.Regressed {
		return v
	}
	return decide(v, t, openKind(t), now, true, why)
}

// openKind is the verdict of an observation that ended early: healthy if it
// was so far, else too little data.
func openKind(t *verification) release.VerdictKind {
	if t.last.Kind == release.Healthy {
		return release.Healthy
	}
	return release.InsufficientData
}

func decide(v release.Verdict, t *verification, kind release.VerdictKind, at time.Time, final bool, why string) release.Verdict {
	v.Kind, v.Final = kind, final
	switch {
	case kind != release.Healthy && kind != release.Regressed:
	case t.last.Kind == kind && t.last.DecidedAt != nil:
		v.DecidedAt = t.last.DecidedAt
	default:
		at = at.UTC()
		v.DecidedAt = &at
	}
	v.Summary = release.Headline(t.release, v)
	if why != "" {
		v.Reason = why
	}
	return v
}

// sourceBroken reports that the metrics that should be there could not be had
// for longer than the policy waits: reads fail, or a workload that has metrics
// and ready pods shows none.
func (t *verification) sourceBroken(now time.Time) (bool, string) {
	grace := t.policy.SourceGrace
	since := t.lastGood
	if since.IsZero() {
		since = t.release.SeenAt
	}
	if t.sourceErr != nil && now.Sub(since) >= grace {
		return true, fmt.Sprintf("the metrics could not be read for %s: %v", now.Sub(since).Round(time.Second), t.sourceErr)
	}
	if !t.observed || readyCount(t.obs.Release.Pods)+readyCount(t.obs.Stable.Pods) == 0 {
		return false, ""
	}
	fresh := t.lastFresh
	if !t.everFresh {
		if !t.freshBefore {
			return false, ""
		}
		fresh = t.release.SeenAt
	}
	if now.Sub(fresh) >= grace {
		return true, fmt.Sprintf("the source answers, but has had no sample of this workload's pods for %s", now.Sub(fresh).Round(time.Second))
	}
	return false, ""
}

// withCurves adds the curves, which only a verdict that is written down needs.
func (t *verification) withCurves(v release.Verdict) release.Verdict {
	v.Evidence = append([]release.Evidence(nil), v.Evidence...)
	for i := range v.Evidence {
		name := v.Evidence[i].Signal
		if v.Evidence[i].SeenBy == release.SeenByCallers {
			name += callersSuffix
		}
		if c := t.curves[name]; c != nil {
			v.Evidence[i].Curve = c.export()
		}
	}
	return v
}

// lacking says in words why there is no decision.
func (t *verification) lacking(a judge.Assessment) string {
	switch {
	case t.sourceErr != nil:
		return fmt.Sprintf("waiting for the metric source: %v", t.sourceErr)
	case t.judge == nil && t.everFresh && t.firstCounted.IsZero():
		return "no request reached the release's pods"
	case t.judge == nil && t.everFresh:
		return "waiting for enough of a baseline"
	case t.judge == nil || !slices.ContainsFunc(t.signals, func(m measured) bool { return m.declared.Required }):
		return "the workload's pods export no request metrics that are known: measured are pod states only"
	case requests(a) == 0:
		return "no request reached the release's pods"
	case t.release.Previous == nil:
		return "nothing to be compared with: it is the first version, or those before it regressed"
	case t.observed && !t.obs.Complete && a.Healthy:
		return "the numbers are sound; the rollout is not complete"
	default:
		return ""
	}
}

func requests(a judge.Assessment) int64 {
	var n int64
	for _, s := range a.Signals {
		n = max(n, s.Release.Total)
	}
	return n
}

// needs is how much more data a decision takes, and how long that is at the
// traffic of the last minute or so.
func (t *verification) needs(a judge.Assessment) *release.Needs {
	if a.Needs == nil || t.release.Previous == nil {
		return nil // no number of requests makes up for a baseline
	}
	n := *a.Needs
	if t.lastPacing.requests > 0 && t.lastPacing.seconds > 0 {
		rate := float64(t.lastPacing.requests) / t.lastPacing.seconds
		n.Within = time.Duration(float64(n.Requests) / rate * float64(time.Second)).Round(time.Second)
	}
	return &n
}

// evidence puts the judge's results into the report's form.
func (t *verification) evidence(a judge.Assessment) []release.Evidence {
	out := make([]release.Evidence, 0, len(a.Signals))
	for i, s := range a.Signals {
		m := t.signals[i]
		e, h := s.E, s.HealthyE
		ev := release.Evidence{
			Signal: m.signal, SeenBy: m.seenBy, Baseline: s.Baseline, EValue: &e, HealthyEValue: &h, Unit: m.unit,
			Effect: s.Effect, Dialect: t.dialectOf(m), Queries: t.queriesFor(m.signal, m.seenBy),
		}
		if m.declared.Value {
			base := s.StableValue
			if s.Baseline == release.ArmHistory {
				base = s.HistoryValue
			}
			ev.BaselineValue, ev.ReleaseValue, ev.HealthyEValue = base.Value(), s.ReleaseValue.Value(), nil
		} else {
			base := s.Stable
			if s.Baseline == release.ArmHistory {
				base = s.History
			}
			ev.BaselineValue, ev.ReleaseValue, ev.Release, ev.Stable = base.Ratio(), s.Release.Ratio(), s.Release, base
		}
		if s.Baseline == release.BaselineAbsolute {
			ev.BaselineValue, ev.Stable, ev.HealthyEValue = s.Limit, release.Count{}, nil
			ev.Reason = fmt.Sprintf("of the error budget of %s, %s times what it lasts for is spent", release.Percent(1-t.policy.SLO), release.Times(s.Release.Ratio()/(1-t.policy.SLO)))
		}
		if t.latency != nil {
			t.latency.describe(&ev, t.curves[s.Name])
		}
		if n := t.oomKilled; m.signal == release.SignalRestarts && n[0]+n[1] > 0 {
			ev.Reason = fmt.Sprintf("the last end was for want of memory in %d of the release's pods and %d stable ones", n[0], n[1])
		}
		out = append(out, ev)
	}
	return out
}

// dialectOf is the naming convention that a signal was read in.
func (t *verification) dialectOf(m measured) string {
	switch m.seenBy {
	case release.SeenByServer:
		return t.dialect
	case release.SeenByCallers:
		return t.callers
	}
	return ""
}

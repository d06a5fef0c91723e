package web

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// refreshSeconds is how often the page of a live release loads itself again.
const refreshSeconds = 5

// badge is a verdict ready to show.
type badge struct{ Name, Class, Sign string }

func badgeOf(k release.VerdictKind) badge {
	return badge{verdictName(k), verdictClass(k), verdictSign(k)}
}

// timeOf lets a template take a time.Time as a component's only parameter.
type timeOf struct{ time.Time }

// seconds is the content of a refresh header.
func seconds(n int) string { return strconv.Itoa(n) }

func viewBox() string { return fmt.Sprintf("0 0 %d %d", chartWidth, chartHeight) }

// words writes a name such as "release_seen" as words.
func words(name string) string { return strings.ReplaceAll(name, "_", " ") }

// headline is the verdict in one sentence. The workload, the versions and the
// word of the verdict stand beside it on every page, so it goes without.
func headline(r release.Release, v release.Verdict) string {
	s := v.Summary
	if s == "" {
		s = release.Headline(r, v)
	}
	rest, named := strings.CutPrefix(s, release.OneLine(r.Workload.String(), 50)+" "+release.VersionStep(r)+" ")
	if !named {
		return s
	}
	if why, ok := strings.CutPrefix(rest, "regressed: "); ok {
		return capital(why)
	}
	return "This release " + rest
}

// releaseView is what the page of a release shows.
type releaseView struct {
	Release       release.Release
	Verdict       release.Verdict
	Policy        release.Policy
	Live          bool
	Paused        bool // the reader asked the page to stand still
	Actions       []release.Action
	Audit         []release.AuditRow
	Panels        []panel
	PrometheusURL string
}

func (p releaseView) title() string {
	return verdictName(p.Verdict.Kind) + ": " + p.Release.Workload.String() + " " + release.VersionStep(p.Release)
}

func (p releaseView) refreshSeconds() int {
	if p.Live && !p.Paused {
		return refreshSeconds
	}
	return 0
}

// workloadPath lists the releases of the same workload.
func (p releaseView) workloadPath() string {
	v := url.Values{"namespace": {p.Release.Workload.Namespace}, "workload": {p.Release.Workload.Name}}
	return "/?" + v.Encode()
}

// inWords says what the verdict means and how sure it is.
func (p releaseView) inWords() string {
	switch p.Verdict.Kind {
	case release.Regressed:
		if p.byState() {
			return "Pods of this release are in a state that those of the previous version are not in. That needs no statistics."
		}
		return fmt.Sprintf("This release does worse than its baseline. The chance of saying so of a release that is no worse is at most %s, however often one looks.",
			oneWord(release.Percent(p.Policy.Alpha)))
	case release.Healthy:
		return fmt.Sprintf("This release is shown to do better than the policy's limit: %s times its baseline, or the baseline and %s more where that is larger. The chance of saying so of a worse one is at most %s.",
			release.Times(p.Policy.HealthyRatio), oneWord(release.Percent(p.Policy.HealthyIncrease)), oneWord(release.Percent(p.Policy.Beta))) + p.stillWatched(" It can still become regressed: it")
	case release.InsufficientData:
		return "There was too little traffic to tell this release from its baseline. That is no verdict for it nor against it." + p.needs()
	case release.SourceBroken:
		return fmt.Sprintf("The measurements could not be read for more than %s, so nothing is said of this release. A broken source never leads to a rollback.",
			release.Seconds(p.Policy.SourceGrace.Seconds())) + p.stillWatched(" It")
	}
	return "Neither a regression nor health is shown so far." + p.needs() + p.stillWatched(" It")
}

// byState reports whether the verdict rests on the state of pods rather than
// on counted requests.
func (p releaseView) byState() bool {
	if p.Verdict.Threshold > 0 && p.Verdict.EValue >= p.Verdict.Threshold {
		return false
	}
	return slices.ContainsFunc(p.Verdict.Evidence, func(e release.Evidence) bool {
		return e.Signal == release.SignalPodState
	})
}

func (p releaseView) needs() string {
	if n := p.Verdict.Needs; n != nil && n.Requests > 0 {
		return " " + release.NeedsSentence(*n)
	}
	return ""
}

func (p releaseView) stillWatched(lead string) string {
	if !p.Live || p.Policy.Observe <= 0 {
		return ""
	}
	return lead + " is watched until " + formatClock(p.Release.StartedAt.Add(p.Policy.Observe)) + " UTC."
}

// nothingDone says why there is no action.
func (p releaseView) nothingDone() string {
	switch {
	case p.Verdict.Kind != release.Regressed:
		return "Nothing. Only a regressed release leads to an action."
	case !p.Policy.Autonomy.Allows(release.AutonomyAlert):
		return "Nothing. The policy " + p.Policy.Name + " only observes."
	}
	return "Nothing yet."
}

// afterDecision is how long after the verdict something happened.
func (p releaseView) afterDecision(t time.Time) string {
	if p.Verdict.DecidedAt == nil || t.Before(*p.Verdict.DecidedAt) {
		return ""
	}
	return "(" + release.Seconds(t.Sub(*p.Verdict.DecidedAt).Seconds()) + " after the verdict)"
}

// fact is a line of the summary.
type fact struct{ Name, Value string }

func (p releaseView) facts() []fact {
	r := p.Release
	facts := []fact{{"Started", formatTime(r.StartedAt)}}
	if d := p.Verdict.DecidedAt; d != nil {
		facts = append(facts, fact{"Decided", formatTime(*d) + ", after " + release.Seconds(d.Sub(r.StartedAt).Seconds())})
	}
	if p.Policy.Name != "" {
		facts = append(facts, fact{"Policy", p.Policy.Name + ", autonomy " + string(p.Policy.Autonomy)})
	}
	facts = append(facts, fact{"ReplicaSet", replicaSetName(r.ReplicaSet)})
	if r.Previous != nil {
		facts = append(facts, fact{"Replaces", replicaSetName(*r.Previous)})
	}
	if r.Workload.Cluster != "" {
		facts = append(facts, fact{"Cluster", r.Workload.Cluster})
	}
	return append(facts, fact{"Release", string(r.ID)})
}

func replicaSetName(rs release.ReplicaSet) string {
	if rs.Revision == 0 {
		return rs.Name
	}
	return fmt.Sprintf("%s, revision %d", rs.Name, rs.Revision)
}

// stateClass keeps the class of an action's state to the known ones.
func stateClass(s release.ActionState) string {
	switch s {
	case release.ActionDone, release.ActionVoid, release.ActionRefused, release.ActionFailed, release.ActionWaiting:
		return string(s)
	}
	return string(release.ActionPending)
}

// armValue is what one arm measured; a state has no value.
func armValue(e release.Evidence, ofRelease bool) string {
	switch {
	case e.Baseline == release.BaselineNone && !ofRelease:
		return none
	case ofRelease:
		return formatValue(e.ReleaseValue, e.Unit)
	}
	return formatValue(e.BaselineValue, e.Unit)
}

// armCount is "12 of 340 requests"; nothing without requests.
func armCount(c release.Count) string {
	if c.Total == 0 {
		return ""
	}
	return release.Integer(c.Bad) + " of " + release.Integer(c.Total)
}

func optionalNumber(v *float64) string {
	if v == nil {
		return none
	}
	return formatEValue(*v)
}

// imagePair is one container before and after.
type imagePair struct {
	Container     string
	Before, After release.Image
	Changed       bool
}

func imagePairs(r release.Release) []imagePair {
	before := make(map[string]release.Image)
	if r.Previous != nil {
		for _, im := range r.Previous.Images {
			before[im.Container] = im
		}
	}
	var pairs []imagePair
	changed := r.Changed()
	for _, im := range r.ReplicaSet.Images {
		pairs = append(pairs, imagePair{
			Container: im.Container,
			Before:    before[im.Container],
			After:     im,
			Changed: slices.ContainsFunc(changed, func(c release.Image) bool {
				return c.Container == im.Container
			}),
		})
	}
	return pairs
}

// revisionName is the commit an image was built from, as short as people
// write it.
func revisionName(im release.Image) string {
	switch {
	case im.Revision != "":
		return im.Revision[:min(10, len(im.Revision))]
	case im.Source != "":
		return im.Source
	}
	return "not known"
}

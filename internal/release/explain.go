package release

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// HeadlineLimit is how many characters Headline answers at most.
const HeadlineLimit = 120

// Headline says in one line what became of a release, as in "shop/webapp v2 →
// v3 regressed: error ratio 0.1 % → 4.9 %".
func Headline(rel Release, v Verdict) string {
	switch v.Kind {
	case Healthy:
		return FirstLine(rel, "is healthy", "")
	case Regressed:
		return FirstLine(rel, "regressed", Worsening(v.Evidence))
	case InsufficientData:
		if v.Needs != nil && v.Needs.Requests > 0 {
			return FirstLine(rel, "could not be judged", Integer(v.Needs.Requests)+" more requests needed")
		}
		return FirstLine(rel, "could not be judged", "")
	case SourceBroken:
		return FirstLine(rel, "cannot be judged", "its measurements are not to be had")
	}
	return FirstLine(rel, "is being watched", "")
}

// FirstLine says of a release what became of it and, after a colon, in which
// numbers: HeadlineLimit characters at most. Where there is too little room the
// names give way, then the numbers as a whole: half a number is another one.
func FirstLine(rel Release, became, numbers string) string {
	step := VersionStep(rel)
	for _, room := range []int{50, 30, 16} {
		who := OneLine(rel.Workload.String(), room) + " " + step + " " + became
		if numbers == "" {
			return OneLine(who, HeadlineLimit)
		}
		if line := who + ": " + numbers; utf8.RuneCountInString(line) <= HeadlineLimit {
			return OneLine(line, HeadlineLimit)
		}
	}
	return OneLine(OneLine(rel.Workload.String(), 50)+" "+step+" "+became, HeadlineLimit)
}

// Worsening says what the worst of the evidence shows, as in "error ratio
// 0.1 % → 4.9 %"; "" where there is none.
func Worsening(evidence []Evidence) string {
	w := Worst(evidence)
	if w == nil {
		return ""
	}
	return change(*w)
}

// VersionStep names what changed, as in "v2 → v3"; by digest where the tag
// stayed the same, and the new version alone at a first deployment.
func VersionStep(rel Release) string {
	from, to := Versions(rel)
	if from == "" {
		return to
	}
	return OneLine(from, 20) + " → " + OneLine(to, 20)
}

// Versions are the two of VersionStep; from is "" at a first deployment.
func Versions(rel Release) (from, to string) {
	changed := rel.Changed()
	if len(changed) == 0 {
		changed = rel.ReplicaSet.Images
	}
	to = Version(changed)
	if rel.Previous == nil {
		return "", OneLine(to, 40)
	}
	before := imagesOf(rel.Previous.Images, changed)
	from = Version(before)
	if from == to {
		if f, t := digests(before), digests(changed); f != "" && t != "" && f != t {
			from, to = f, t
		}
	}
	if from == "" {
		from = "(new)"
	}
	return OneLine(from, 40), OneLine(to, 40)
}

func imagesOf(all, containers []Image) []Image {
	var out []Image
	for _, c := range containers {
		for _, im := range all {
			if im.Container == c.Container {
				out = append(out, im)
			}
		}
	}
	return out
}

func digests(images []Image) string {
	var parts []string
	for _, im := range images {
		if im.Digest != "" {
			parts = append(parts, shortDigest(im.Digest))
		}
	}
	return strings.Join(parts, ",")
}

// Worst is the evidence that says most against the release: a state first,
// then the largest e-value.
func Worst(evidence []Evidence) *Evidence {
	var w *Evidence
	for i := range evidence {
		e := &evidence[i]
		switch {
		case e.EValue == nil && e.Baseline == BaselineNone && e.Reason != "":
			return e
		case e.EValue == nil:
		case w == nil || *e.EValue > *w.EValue:
			w = e
		}
	}
	return w
}

func change(e Evidence) string {
	if e.EValue == nil {
		return OneLine(e.Reason, 70)
	}
	return SignalName(e.Signal) + " " + Value(e.BaselineValue, e.Unit) + " → " + Value(e.ReleaseValue, e.Unit)
}

// SignalName is a signal's name for people.
func SignalName(signal string) string {
	switch signal {
	case SignalErrorRatio:
		return "error ratio"
	case SignalLatencyP50:
		return "median latency"
	case SignalLatencyP90:
		return "p90 latency"
	case SignalLatencyP99:
		return "p99 latency"
	case SignalLatencyMean:
		return "mean latency"
	case SignalThroughput:
		return "throughput per ready pod"
	case SignalRestarts:
		return "restarts"
	case SignalCPU:
		return "processor time"
	case SignalMemory:
		return "memory per pod"
	case SignalPodState:
		return "pod state"
	case SignalBudgetBurn:
		return "share of failures against the objective"
	}
	return OneLine(signal, 40)
}

// Name is the signal's, with whose count it is where that is not the pods' own.
func (e Evidence) Name() string {
	if e.SeenBy == SeenByCallers {
		return SignalName(e.Signal) + " as callers see it"
	}
	return SignalName(e.Signal)
}

// slower reports whether the counts are of requests slower than a threshold.
func (e Evidence) slower() bool { return strings.HasPrefix(e.Signal, SignalLatency+"_p") }

// quantity reports whether the evidence is an amount rather than a share of
// requests: it has no counts.
func (e Evidence) quantity() bool {
	return e.Unit != UnitRatio && !e.slower() && e.Release.Total+e.Stable.Total == 0
}

// EvidenceSentence says what one signal shows, as in "error ratio 4.9 % (31 of
// 634) against 0.1 % (2 of 1,890) in the stable pods; 38 times as high (12 to
// 160); e-value 5.2e3".
func EvidenceSentence(e Evidence) string {
	if e.EValue == nil && e.Baseline == BaselineNone {
		if e.Reason == "" {
			return e.Name() + ": nothing was measured"
		}
		return e.Name() + ": " + OneLine(e.Reason, 300)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s", e.Name(), Value(e.ReleaseValue, e.Unit), counted(e.Release, e))
	if where := baseline(e.Baseline); where != "" {
		fmt.Fprintf(&b, " against %s%s %s", Value(e.BaselineValue, e.Unit), counted(e.Stable, e), where)
	}
	if e.Effect != nil {
		b.WriteString("; " + effect(*e.Effect, e))
	}
	if e.EValue != nil {
		b.WriteString("; e-value " + EValue(*e.EValue))
	}
	if e.Reason != "" {
		b.WriteString("; " + OneLine(e.Reason, 300))
	}
	return b.String()
}

// counted adds the counts behind a value. Those of a latency are of requests
// slower than a threshold, which its Reason tells.
func counted(c Count, e Evidence) string {
	switch {
	case e.quantity():
		return ""
	case e.Signal == SignalRestarts:
		return " (" + Integer(c.Bad) + " in " + Integer(c.Total) + " pod-seconds)"
	case c.Total == 0 && e.Baseline == BaselineAbsolute:
		return ""
	case c.Total == 0:
		return " (no requests)"
	case e.Unit == UnitSeconds:
		return " (" + Integer(c.Total) + " requests)"
	}
	return " (" + Integer(c.Bad) + " of " + Integer(c.Total) + ")"
}

func baseline(a Arm) string {
	switch a {
	case ArmStable:
		return "in the stable pods"
	case ArmHistory:
		return "before the rollout"
	case ArmPeers:
		return "in the other workloads"
	case BaselineAbsolute:
		return "allowed"
	}
	return ""
}

// EffectWords says how many times as much, as in "38 times as high (12 to 160)";
// "" where that cannot be had.
func (e Evidence) EffectWords() string {
	if e.Effect == nil {
		return ""
	}
	return effect(*e.Effect, e)
}

func effect(e Effect, of Evidence) string {
	what := " times as high"
	if of.slower() {
		what = " times as many slow requests"
	}
	interval := Times(e.Low) + " to " + Times(e.High)
	if e.High >= unbounded || math.IsNaN(e.High) {
		interval = "at least " + Times(e.Low)
	}
	if e.Ratio >= unbounded || math.IsNaN(e.Ratio) {
		return interval + what
	}
	return Times(e.Ratio) + what + " (" + interval + ")"
}

// Value writes a value of an evidence in its unit.
func Value(x float64, unit Unit) string {
	switch unit {
	case UnitRatio:
		return Percent(x)
	case UnitSeconds:
		return Seconds(x)
	case UnitPerSecond:
		return Times(x) + "/s"
	case UnitBytes:
		return Bytes(x)
	case UnitCores:
		return Times(x) + " cores"
	}
	return Times(x)
}

// OneLine makes text from outside fit to be shown: one line without control
// and direction characters, cut to limit characters.
func OneLine(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(s, "") {
		switch {
		case r < ' ' || (r >= 0x7f && r < 0xa0), r == 0x2028, r == 0x2029:
			r = ' '
		case r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff:
			continue // invisible, or turns the direction of the text
		}
		if n++; n > limit {
			cut := []rune(b.String())
			return string(cut[:max(limit-1, 0)]) + "…"
		}
		b.WriteRune(r)
	}
	return b.String()
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

package backtest

import (
	"math"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/verify"
)

// Report is what a replay found.
type Report struct {
	From     time.Time  `json:"from"`
	To       time.Time  `json:"to"`
	Summary  Summary    `json:"summary"`
	Releases []*Release `json:"releases"`
	// Skipped are new ReplicaSets of which it cannot be told whether they are releases.
	Skipped []Skipped `json:"skipped,omitempty"`
}

// Skipped is a new ReplicaSet that was not replayed.
type Skipped struct {
	Namespace  string `json:"namespace"`
	Workload   string `json:"workload"`
	ReplicaSet string `json:"replicaset"`
	Reason     string `json:"reason"`
}

// Summary counts the verdicts, and what it took to find them.
type Summary struct {
	Releases         int `json:"releases"`
	Healthy          int `json:"healthy"`
	Regressed        int `json:"regressed"`
	InsufficientData int `json:"insufficient_data"`
	SourceBroken     int `json:"source_broken"`

	// Rollbacks is how many would have been rolled back.
	Rollbacks int `json:"rollbacks"`
	// MedianDecision is the middle time from the start to a verdict of healthy or
	// regressed, in seconds; null where there was none.
	MedianDecision *float64 `json:"median_decision_seconds"`
	// KnownGood is how the releases fared that the user knows to be good; null
	// where none were named.
	KnownGood *KnownGood `json:"known_good,omitempty"`

	Queries int64 `json:"queries"`
	Samples int64 `json:"samples"`
}

// KnownGood is the rate of false rollbacks among good releases.
type KnownGood struct {
	Releases  int `json:"releases"`
	Regressed int `json:"regressed"`
	// Rate with its exact 95 % interval (Clopper & Pearson).
	Rate float64 `json:"rate"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	// Unknown are names that no release in the range has.
	Unknown []string `json:"unknown,omitempty"`
}

// Release is one release and what became of it.
type Release struct {
	Namespace    string    `json:"namespace"`
	Workload     string    `json:"workload"`
	ReplicaSet   string    `json:"replicaset"`
	Previous     *string   `json:"previous_replicaset"`
	Images       []Image   `json:"images"`
	StartedAt    time.Time `json:"started_at"`
	SupersededBy string    `json:"superseded_by,omitempty"`

	Verdict    release.VerdictKind `json:"verdict"`
	DecidedAt  *time.Time          `json:"decided_at"`
	Summary    string              `json:"summary"`
	Reason     string              `json:"reason,omitempty"`
	EValue     float64             `json:"e_value"`
	Threshold  float64             `json:"threshold"`
	Evidence   []release.Evidence  `json:"evidence"`
	Findings   []release.Finding   `json:"findings,omitempty"`
	Needs      *Needs              `json:"needs,omitempty"`
	AffectedBy string              `json:"affected_by,omitempty"`
	Would      []string            `json:"would"`

	candidate candidate
	policy    release.Policy
	lived     release.Release
	verdict   release.Verdict // with curves, of a regression
	suspect   verify.Suspect
	others    bool      // another release may be the cause of what speaks against it
	convicted bool      // by numbers, and there was a release before it
	until     time.Time // when it was overtaken or taken back; zero: not while it was looked at
	tape      *tape
}

// Image is one container's image. Digest is null while nothing ran.
type Image struct {
	Container string  `json:"container"`
	Image     string  `json:"image"`
	Digest    *string `json:"digest"`
}

// Needs is how much more data a decision would have taken.
type Needs struct {
	Requests int64    `json:"requests"`
	Seconds  float64  `json:"within_seconds,omitempty"`
	Signals  []string `json:"signals,omitempty"`
}

// key names a release as a user does.
func (r *Release) key() string { return r.Namespace + "/" + r.ReplicaSet }

// workload names the Deployment.
func (r *Release) workload() string { return r.Namespace + "/" + r.Workload }

// mayBeAgain reports whether the release is to be replayed again once others are known.
func (r *Release) mayBeAgain() bool { return r.others || r.convicted }

// sets are the ReplicaSets of both arms, as namespace/name.
func (r *Release) sets() []string {
	out := []string{r.key()}
	if r.Previous != nil {
		out = append(out, r.Namespace+"/"+*r.Previous)
	}
	return out
}

// Curves is the verdict with the curves behind its evidence, of a regression.
func (r *Release) Curves() release.Verdict { return r.verdict }

// take keeps how a replay ended.
func (r *Release) take(s *scene, replay *verify.Replay, v release.Verdict) {
	rel := s.rel
	r.Namespace, r.Workload, r.ReplicaSet = rel.Workload.Namespace, rel.Workload.Name, rel.ReplicaSet.Name
	r.StartedAt, r.lived = rel.StartedAt, rel
	if rel.Previous != nil {
		r.Previous = &rel.Previous.Name
	}
	r.Images = []Image{}
	for _, im := range rel.ReplicaSet.Images {
		image := Image{Container: im.Container, Image: im.Reference}
		if im.Digest != "" {
			image.Digest = &im.Digest
		}
		r.Images = append(r.Images, image)
	}
	if v.Kind == release.Pending {
		v.Kind = release.InsufficientData
		if v.Reason == "" {
			v.Reason = "the range ends before the observation does"
		}
	}
	r.Verdict, r.Summary, r.Reason = v.Kind, release.Headline(rel, v), v.Reason
	r.EValue, r.Threshold, r.Findings, r.AffectedBy = v.EValue, v.Threshold, v.Findings, v.AffectedBy
	r.suspect, r.others, r.convicted = replay.Suspect(), replay.MayBeOthers(), replay.Convicted()
	if r.until = s.back; s.candidate.next != nil && (r.until.IsZero() || s.candidate.next.created.Before(r.until)) {
		r.until = s.candidate.next.created
	}
	if v.Kind == release.Regressed {
		r.verdict = replay.Curves(v)
	}
	if v.Kind == release.Regressed || v.Kind == release.Healthy {
		r.DecidedAt = v.DecidedAt
	}
	if v.Kind == release.InsufficientData && v.Needs != nil {
		r.Needs = &Needs{Requests: v.Needs.Requests, Seconds: v.Needs.Within.Seconds(), Signals: v.Needs.Signals}
	}
	r.Evidence = []release.Evidence{}
	for _, e := range v.Evidence {
		e.Curve = nil
		if v.Kind != release.Regressed {
			e.Queries = nil
		}
		r.Evidence = append(r.Evidence, e)
	}
	r.Would = would(rel, v, r.policy)
}

// would is what autonomy auto, or the policy in force, does about a regression.
func would(rel release.Release, v release.Verdict, p release.Policy) []string {
	out := []string{}
	if v.Kind != release.Regressed || !p.Autonomy.Allows(release.AutonomyAlert) {
		return out
	}
	out = append(out, "alert")
	switch {
	case rel.Previous == nil:
	case p.Autonomy.Allows(release.AutonomyAuto):
		out = append(out, "rollback")
	case p.Autonomy.Allows(release.AutonomyApprove):
		out = append(out, "approve")
	}
	if p.Issue && p.Autonomy.Allows(release.AutonomyApprove) {
		out = append(out, "issue")
	}
	return out
}

func newReport(opt Options, releases []*Release) *Report {
	r := &Report{From: opt.From.UTC(), To: opt.To.UTC(), Releases: releases}
	supersede(releases)
	r.Summarize()
	return r
}

// supersede names, for each release that a newer one overtook, the newer one.
func supersede(releases []*Release) {
	known := map[string]bool{}
	for _, r := range releases {
		known[r.key()] = true
	}
	for _, r := range releases {
		if next := r.candidate.next; next != nil && known[next.namespace+"/"+next.replicaSet] && next.created.Before(r.StartedAt.Add(r.policy.Observe)) {
			r.SupersededBy = next.replicaSet
		}
	}
}

// Summarize counts the verdicts anew.
func (r *Report) Summarize() {
	s := Summary{Releases: len(r.Releases), KnownGood: r.Summary.KnownGood, Queries: r.Summary.Queries, Samples: r.Summary.Samples}
	var delays []float64
	for _, rel := range r.Releases {
		switch rel.Verdict {
		case release.Healthy:
			s.Healthy++
		case release.Regressed:
			s.Regressed++
		case release.SourceBroken:
			s.SourceBroken++
		default:
			s.InsufficientData++
		}
		if slices.Contains(rel.Would, "rollback") {
			s.Rollbacks++
		}
		if rel.DecidedAt != nil {
			delays = append(delays, rel.DecidedAt.Sub(rel.StartedAt).Seconds())
		}
	}
	if m := median(delays); !math.IsNaN(m) {
		s.MedianDecision = &m
	}
	r.Summary = s
}

// median is the middle of values, NaN for none.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

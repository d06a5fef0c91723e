package judge

import (
	"math"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Judge weighs one release. It is not safe for concurrent use.
type Judge struct {
	cfg         Config
	tests       []test
	lookers     float64 // weight of the signals that take part in the last look
	regressed   bool
	regressedAt time.Time
	atLast      bool // it was the last look that found it
	findings    []release.Finding
}

// New returns a judge of the declared signals.
func New(cfg Config, signals []Signal) *Judge {
	cfg = cfg.sane()
	j := &Judge{cfg: cfg}
	total := 0.0
	for _, s := range signals {
		total += math.Max(0, s.Weight)
	}
	for _, s := range signals {
		weight := 1 / float64(len(signals))
		if total > 0 {
			weight = math.Max(0, s.Weight) / total
		}
		switch {
		case s.Value:
			j.tests = append(j.tests, newQuantity(cfg, s, weight))
		case s.Limit > 0 && s.Limit < 1:
			j.tests = append(j.tests, newGuard(s, weight))
		default:
			one := newSeries(cfg, s, weight)
			if one.looks() {
				j.lookers += weight
			}
			j.tests = append(j.tests, one)
		}
	}
	return j
}

// test is the state of one signal.
type test interface {
	top() head
	step(time.Time, Tick)
	// logE is the logarithm of the e-value now.
	logE() float64
	// suspect asks the pods where the evidence comes from.
	suspect(logE, level float64) suspicion
	result(alpha float64) SignalResult
	// healthyE is the logarithm of the e-value of health.
	healthyE() float64
	toHealthy(beta, left float64) float64
	toRegressed(alpha float64) float64
}

// head is what all tests have.
type head struct {
	name     string
	weight   float64
	required bool
}

func (h head) top() head { return h }

func (c Config) sane() Config {
	d := release.DefaultPolicy()
	if !(c.Alpha > 0 && c.Alpha < 1) {
		c.Alpha = d.Alpha
	}
	if c.Tick <= 0 {
		c.Tick = 15 * time.Second
	}
	if !(c.Beta > 0 && c.Beta < 1) {
		c.Beta = d.Beta
	}
	if !(c.MinEffect >= 0 && c.MinEffect < 1e3) {
		c.MinEffect = d.MinEffect
	}
	if !(c.HealthyRatio > 1 && c.HealthyRatio < 1e3) {
		c.HealthyRatio = d.HealthyRatio
	}
	if !(c.HealthyIncrease >= 0 && c.HealthyIncrease <= 1) {
		c.HealthyIncrease = d.HealthyIncrease
	}
	return c
}

// Step takes the counts of one tick, by signal name. A signal without data in
// this tick is absent, or has no requests; either changes nothing.
func (j *Judge) Step(at time.Time, ticks map[string]Tick) {
	for _, s := range j.tests {
		if t, ok := ticks[s.top().name]; ok {
			s.step(at, t)
		}
	}
	j.decide(at)
}

// decide latches the verdict where the evidence has crossed.
func (j *Judge) decide(at time.Time) {
	if j.regressed || j.e() < 1/j.cfg.Alpha {
		return
	}
	// The crossing. It counts only as far as more than one pod shows it.
	sum, found, enough := 0.0, false, math.Log(1/j.cfg.Alpha)
	for _, t := range j.tests {
		logE, last := t.logE(), won(t)
		claimed := logE
		if last {
			claimed = math.Max(logE, enough)
		}
		if alone := t.suspect(claimed, enough/2); alone.alone {
			logE, last = math.Min(logE, alone.logE), false
			j.note(t.top().name, alone)
		}
		sum += t.top().weight * expCapped(logE)
		found = found || last
	}
	if j.withLast(sum, found) >= 1/j.cfg.Alpha {
		j.regressed, j.regressedAt = true, at
	}
}

// e is the weighted mean of the signals' current e-values, and the last look's.
func (j *Judge) e() float64 {
	sum, found := 0.0, false
	for _, t := range j.tests {
		sum += t.top().weight * expCapped(t.logE())
		found = found || won(t)
	}
	return j.withLast(sum, found)
}

// suspected is e, were no evidence kept back for an outage that both arms may have.
func (j *Judge) suspected() float64 {
	sum := 0.0
	for _, t := range j.tests {
		logE := t.logE()
		if s, ok := t.(*series); ok {
			logE = s.with(s.unheld)
		}
		sum += t.top().weight * expCapped(logE)
	}
	return j.withLast(sum, false)
}

// Doubt tells now that others, who cannot suffer from the release alone, have had
// trouble too since some time: what the past says of the release must outlast an outage,
// and not wane then. What was decided by it is open again, the last look included.
func (j *Judge) Doubt(since, now time.Time) {
	j.regressed, j.regressedAt, j.atLast = false, time.Time{}, false
	for _, t := range j.tests {
		if s, ok := t.(*series); ok {
			s.past.doubted, s.won = since, false
			if s.baseline.known {
				s.then = s.past.hold(&s.baseline, now, s.unheld)
			}
		}
	}
}

// note keeps a finding, the latest text for each pod and signal.
func (j *Judge) note(signal string, found suspicion) {
	f := release.Finding{Kind: "bad_pod", Pod: found.pod, Message: signal + ": " + found.text}
	for i, old := range j.findings {
		if old.Pod == f.Pod && len(old.Message) > len(signal) && old.Message[:len(signal)+1] == signal+":" {
			j.findings[i] = f
			return
		}
	}
	if len(j.findings) < maxPods {
		j.findings = append(j.findings, f)
	}
}

// suspect asks the pods where the evidence logE comes from. Signals that hold
// less evidence than level decide nothing and are not asked.
func (s *series) suspect(logE, level float64) suspicion {
	if logE < level {
		return suspicion{}
	}
	base, _ := s.reference()
	if base.Total == 0 {
		return suspicion{}
	}
	p := (float64(base.Bad) + 0.5) / (float64(base.Total) + 1)
	tolerated := planeFor(s.r0, p).at(p)
	return s.pods.suspect(s.release, tolerated, level, s.dispersion(), &s.baseline, s.past.release)
}

// reference is the arm that carries more of the evidence, with its counts in
// the ticks compared.
func (s *series) reference() (release.Count, release.Arm) {
	if s.baseline.known && (s.present.stable.Total == 0 || s.then > s.present.logE()) {
		return s.baseline.count, release.ArmHistory
	}
	return s.present.stable, release.ArmStable
}

// Assess gives the answer now. It changes nothing.
func (j *Judge) Assess() Assessment {
	a := Assessment{
		E: j.e(), Suspected: j.suspected(), Threshold: 1 / j.cfg.Alpha,
		Regressed: j.regressed, RegressedAt: j.regressedAt, AtLast: j.atLast,
		Signals: make([]SignalResult, len(j.tests)),
	}
	a.Findings = append(a.Findings, j.findings...)
	required, shown := 0, 0
	for i, s := range j.tests {
		a.Signals[i] = s.result(j.cfg.Alpha)
		if s.top().required {
			required++
			if s.healthyE() >= math.Log(1/j.cfg.Beta) {
				shown++
			}
		}
	}
	a.Healthy = !j.regressed && required > 0 && shown == required && a.Suspected < a.Threshold
	if !a.Regressed && !a.Healthy {
		a.Needs = j.needs()
	}
	return a
}

func (s *series) result(alpha float64) SignalResult {
	d := s.dispersion()
	r := SignalResult{
		Name: s.name,
		E:    expCapped(s.logE()), EStable: expCapped(s.present.logE()), EHistory: expCapped(s.then),
		HealthyE: expCapped(s.health.logE()), Outside: s.outside, Sound: s.sound,
		Release: s.release, Stable: s.stable, History: s.baseline.count,
		Dispersion: d.upper(),
	}
	_, r.Baseline = s.reference()
	r.Effect = s.effect(r.Baseline, alpha, d.middle())
	return r
}

func (s *series) healthyE() float64 { return s.health.logE() }

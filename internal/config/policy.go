package config

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func (p *Patch) empty() bool { return reflect.ValueOf(*p).IsZero() }

// weightNames are the kinds of signal that have a weight.
var weightNames = []string{"errors", "callers", "latency", "throughput", "resources", "custom", "slo"}

// durationRanges and numberRanges bound the keys of a policy, in the file and
// in annotations alike.
var durationRanges = map[string]struct{ low, high time.Duration }{
	"observe":      {time.Second, 30 * 24 * time.Hour},
	"warmup":       {0, 24 * time.Hour},
	"history":      {0, 30 * 24 * time.Hour},
	"source_grace": {time.Second, 24 * time.Hour},
	"ready_within": {time.Second, 24 * time.Hour},
}

var numberRanges = map[string]struct {
	ok    func(float64) bool
	words string
}{
	"alpha":            {func(x float64) bool { return x > 0 && x < 0.5 }, "more than 0 and less than 0.5, such as 0.001"},
	"beta":             {func(x float64) bool { return x > 0 && x < 0.5 }, "more than 0 and less than 0.5, such as 0.05"},
	"min_effect":       {func(x float64) bool { return x >= 0 && x <= 10 }, "0 to 10, such as 0.1 for a tenth"},
	"healthy_ratio":    {func(x float64) bool { return x > 1 && x <= 100 }, "more than 1 and at most 100, such as 1.5"},
	"slo":              {func(x float64) bool { return x >= 0 && x < 1 }, "less than 1, such as 99.9%; 0 for none"},
	"burn_rate":        {func(x float64) bool { return x >= 1 && x <= 1000 }, "1 to 1000"},
	"healthy_increase": {func(x float64) bool { return x > 0 && x < 1 }, "more than 0 and less than 1, such as 1%"},
}

func checkDuration(key string, d time.Duration) error {
	r := durationRanges[key]
	if d < r.low || d > r.high {
		return fmt.Errorf("%s is out of range: use %s to %s", shortDuration(d), shortDuration(r.low), shortDuration(r.high))
	}
	return nil
}

func checkNumber(key string, x float64) error {
	r := numberRanges[key]
	if !r.ok(x) {
		return fmt.Errorf("%v is out of range: use %s", x, r.words)
	}
	return nil
}

// shortDuration writes 30m0s as 30m and 48h0m0s as 2d.
func shortDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// patch checks one policy of the file.
func (k *checker) patch(path string, p *Patch) {
	before := len(k.list)
	for key, d := range p.durations() {
		if *d != nil {
			if err := checkDuration(key, **d); err != nil {
				k.at(join(path, key), "%s", err)
			}
		}
	}
	for key, x := range p.numbers() {
		if *x != nil {
			if err := checkNumber(key, **x); err != nil {
				k.at(join(path, key), "%s", err)
			}
		}
	}
	for name, w := range p.Weights {
		at := join(join(path, "weights"), name)
		switch {
		case !slices.Contains(weightNames, name):
			k.at(at, "no kind of signal has this name%s", hint(name, weightNames))
		case !(w >= 0 && w <= 1000):
			k.at(at, "%v is out of range: use 0 to 1000", w)
		}
	}
	k.signals(join(path, "signals"), p.Signals)

	if len(k.list) == before {
		k.fits(path, p)
	}
}

// fits checks that what is given fits what it is laid over.
func (k *checker) fits(path string, p *Patch) {
	base := release.DefaultPolicy()
	if path != "policy" {
		if base = k.c.Policy.onto(base); checkWhole(base) != nil {
			return // said once already
		}
	}
	if err := checkWhole(p.onto(base)); err != nil {
		k.at(path, "%s", err)
	}
}

// checkWhole checks what only values together can have wrong.
func checkWhole(p release.Policy) error {
	if p.Warmup >= p.Observe {
		return fmt.Errorf("warmup %s is not shorter than observe %s: nothing would be measured", shortDuration(p.Warmup), shortDuration(p.Observe))
	}
	var sum float64
	for name, w := range p.Weights {
		if name != "slo" || p.SLO > 0 {
			sum += w
		}
	}
	if sum <= 0 {
		return fmt.Errorf("all weights are 0: leave at least one kind of signal above it")
	}
	return nil
}

var signalName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

var builtInSignals = []string{
	release.SignalErrorRatio, release.SignalLatencyP50, release.SignalLatencyP90, release.SignalLatencyP99,
	release.SignalLatencyMean, release.SignalThroughput, release.SignalRestarts, release.SignalCPU,
	release.SignalMemory, release.SignalPodState, release.SignalBudgetBurn, release.SignalLatency, "log_pattern",
}

func (k *checker) signals(path string, signals []Signal) {
	seen := map[string]bool{}
	for i, s := range signals {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case s.Name == "":
			k.at(at+".name", "the signal has no name")
		case !signalName.MatchString(s.Name):
			k.at(at+".name", "%q is no name of a signal: use lower-case letters, digits and _, beginning with a letter", s.Name)
		case slices.Contains(builtInSignals, s.Name):
			k.at(at+".name", "%s is a built-in signal: choose another name", s.Name)
		case seen[s.Name]:
			k.at(at+".name", "%s is the name of an earlier signal too: choose another", s.Name)
		}
		seen[s.Name] = true
		k.form(at, s)
	}
}

// form checks that a signal is one of the three, and whole.
func (k *checker) form(at string, s Signal) {
	ratio := s.Bad != "" || s.Total != "" || (s.Counter == "" && s.Gauge == "")
	forms := 0
	for _, is := range []bool{ratio, s.Counter != "", s.Gauge != ""} {
		if is {
			forms++
		}
	}
	if forms > 1 {
		k.at(at, "a signal is a ratio (bad and total), a counter or a gauge: keep one of them")
		return
	}
	switch {
	case s.Counter != "":
		k.selector(at+".counter", s.Counter)
	case s.Gauge != "":
		k.vector(at+".gauge", s.Gauge)
	default:
		k.selector(at+".bad", s.Bad)
		k.selector(at+".total", s.Total)
	}
	if s.Worse != "" && s.Worse != release.Up && s.Worse != release.Down {
		k.at(at+".worse", "%q is no direction: use up or down", s.Worse)
	}
	if ratio && (s.Worse != "" || s.MinEffect != 0) {
		k.at(at, "worse and min_effect are for a counter or a gauge: a ratio is worse when it rises, by more than the policy's min_effect")
	}
	if !(s.MinEffect >= 0 && s.MinEffect <= 100) {
		k.at(at+".min_effect", "%v is out of range: use 0 to 100, such as 0.5 for half as much again", s.MinEffect)
	}
}

func (p *Patch) durations() map[string]**time.Duration {
	return map[string]**time.Duration{
		"observe": &p.Observe, "warmup": &p.Warmup, "history": &p.History, "source_grace": &p.SourceGrace,
		"ready_within": &p.ReadyWithin,
	}
}

func (p *Patch) numbers() map[string]**float64 {
	return map[string]**float64{
		"alpha": &p.Alpha, "beta": &p.Beta, "min_effect": &p.MinEffect,
		"healthy_ratio": &p.HealthyRatio, "healthy_increase": &p.HealthyIncrease,
		"slo": &p.SLO, "burn_rate": &p.BurnRate,
	}
}

// onto lays the patch over a policy, which stays as it is.
func (p *Patch) onto(base release.Policy) release.Policy {
	set(&base.Autonomy, p.Autonomy)
	set(&base.Ignore, p.Ignore)
	set(&base.Observe, p.Observe)
	set(&base.Warmup, p.Warmup)
	set(&base.History, p.History)
	set(&base.SourceGrace, p.SourceGrace)
	set(&base.ReadyWithin, p.ReadyWithin)
	set(&base.Alpha, p.Alpha)
	set(&base.Beta, p.Beta)
	set(&base.MinEffect, p.MinEffect)
	set(&base.HealthyRatio, p.HealthyRatio)
	set(&base.HealthyIncrease, p.HealthyIncrease)
	set(&base.SLO, p.SLO)
	set(&base.BurnRate, p.BurnRate)
	set(&base.Issue, p.Issue)
	set(&base.Severity, p.Severity)
	base.Weights = maps.Clone(base.Weights)
	maps.Copy(base.Weights, p.Weights)
	if p.Signals != nil {
		base.Custom = make([]release.CustomSignal, len(p.Signals))
		for i, s := range p.Signals {
			base.Custom[i] = release.CustomSignal{
				Name: s.Name, Bad: s.Bad, Total: s.Total, Counter: s.Counter, Gauge: s.Gauge, Worse: s.Worse, MinEffect: s.MinEffect,
			}
		}
	}
	return base
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// matches reports whether the override is for a workload.
func (o *Override) matches(namespace, workload string) bool {
	return matchesAny(o.Namespaces, namespace) && matchesAny(o.Workloads, workload)
}

func matchesAny(globs []string, name string) bool {
	if len(globs) == 0 {
		return true
	}
	return slices.ContainsFunc(globs, func(g string) bool {
		ok, _ := path.Match(g, name) // checked when the file was read
		return ok
	})
}

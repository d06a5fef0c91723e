package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// PolicyFor returns the policy of a workload: the built-in one, over it the
// file's, over that the overrides that match in their order, over that the
// workload's annotations (keys without release.AnnotationPrefix).
//
// An annotation that cannot be read is an error that names it; the others
// still count, but the policy then does no more than alert, since what was
// meant is not known. The policy is usable whatever the errors.
func (c *Config) PolicyFor(namespace, workload string, annotations map[string]string) (release.Policy, []error) {
	p := release.DefaultPolicy()
	if !c.Policy.empty() {
		p = c.Policy.onto(p)
		p.Name = "policy"
	}
	for i := range c.Overrides {
		if o := &c.Overrides[i]; o.matches(namespace, workload) {
			p = o.Policy.onto(p)
			p.Name = fmt.Sprintf("overrides[%d]", i)
		}
	}
	return annotated(p, namespace+"/"+workload, annotations)
}

// annotationKeys are the keys a workload may carry and what reads them.
var annotationKeys = map[string]func(p *Patch, text string) error{
	"autonomy": func(p *Patch, text string) error {
		a, err := release.ParseAutonomy(text)
		p.Autonomy = keep(a, err)
		return err
	},
	"severity": func(p *Patch, text string) error {
		s, err := release.ParseSeverity(text)
		p.Severity = keep(s, err)
		return err
	},
	"ignore": func(p *Patch, text string) error {
		b, err := parseBool(text)
		p.Ignore = keep(b, err)
		return err
	},
	"issue": func(p *Patch, text string) error {
		b, err := parseBool(text)
		p.Issue = keep(b, err)
		return err
	},
	"observe":          annotatedDuration("observe"),
	"warmup":           annotatedDuration("warmup"),
	"history":          annotatedDuration("history"),
	"source-grace":     annotatedDuration("source_grace"),
	"ready-within":     annotatedDuration("ready_within"),
	"alpha":            annotatedNumber("alpha"),
	"beta":             annotatedNumber("beta"),
	"min-effect":       annotatedNumber("min_effect"),
	"healthy-ratio":    annotatedNumber("healthy_ratio"),
	"healthy-increase": annotatedNumber("healthy_increase"),
	"slo":              annotatedNumber("slo"),
	"burn-rate":        annotatedNumber("burn_rate"),
}

// writtenByWatchtower are annotations that are no settings.
var writtenByWatchtower = []string{
	strings.TrimPrefix(release.AnnotationRolledBackRelease, release.AnnotationPrefix),
	strings.TrimPrefix(release.AnnotationRolledBackTo, release.AnnotationPrefix),
}

func annotatedDuration(key string) func(*Patch, string) error {
	return func(p *Patch, text string) error {
		d, err := ParseDuration(text)
		if err == nil {
			err = checkDuration(key, d)
		}
		*p.durations()[key] = keep(d, err)
		return err
	}
}

func annotatedNumber(key string) func(*Patch, string) error {
	return func(p *Patch, text string) error {
		x, err := ParseRatio(text)
		if err == nil {
			err = checkNumber(key, x)
		}
		*p.numbers()[key] = keep(x, err)
		return err
	}
}

func keep[T any](v T, err error) *T {
	if err != nil {
		return nil
	}
	return &v
}

func annotated(base release.Policy, workload string, annotations map[string]string) (release.Policy, []error) {
	var (
		patch Patch
		errs  []error
	)
	known := slices.Sorted(maps.Keys(annotationKeys))
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if slices.Contains(writtenByWatchtower, key) {
			continue
		}
		read, ok := annotationKeys[key]
		if !ok {
			errs = append(errs, fmt.Errorf("%s: annotation %s%s is not known%s", workload, release.AnnotationPrefix, clip(key), hint(key, known)))
			continue
		}
		if err := read(&patch, strings.TrimSpace(clip(annotations[key]))); err != nil {
			errs = append(errs, fmt.Errorf("%s: annotation %s%s: %w", workload, release.AnnotationPrefix, key, err))
		}
	}
	p := patch.onto(base)
	if !patch.empty() {
		p.Name = base.Name + "+annotations"
	}
	if err := checkWhole(p); err != nil && (patch.Observe != nil || patch.Warmup != nil) {
		errs = append(errs, fmt.Errorf("%s: annotations %sobserve and warmup: %w", workload, release.AnnotationPrefix, err))
		p.Observe, p.Warmup = base.Observe, base.Warmup
	}
	if len(errs) > 0 && p.Autonomy.Allows(release.AutonomyAlert) {
		p.Autonomy = release.AutonomyAlert
	}
	return p, errs
}

// maxAnnotationText bounds what of an annotation is read and repeated.
const maxAnnotationText = 100

func clip(s string) string {
	if len(s) > maxAnnotationText {
		return strings.ToValidUTF8(s[:maxAnnotationText], "") + "…"
	}
	return s
}

// Policies are all that can be in force by the file alone: that of every
// workload, and with each of the overrides.
func (c *Config) Policies() []release.Policy {
	base := c.Policy.onto(release.DefaultPolicy())
	out := []release.Policy{base}
	for i := range c.Overrides {
		out = append(out, c.Overrides[i].Policy.onto(base))
	}
	return out
}

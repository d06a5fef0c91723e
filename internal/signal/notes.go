package signal

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// noteList is what a person should know of the measurement.
func (t *tracked) noteList(cat *Catalogue) []string {
	if t.stale {
		t.stale = false
		t.notes, t.exprs = t.makeNotes(cat), nil
	}
	return slices.Clone(t.notes)
}

func (t *tracked) makeNotes(cat *Catalogue) []string {
	var notes []string
	say := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	rel, stable := &t.arms[armRelease], &t.arms[armStable]
	if !rel.exists && !t.wholeOf {
		say("The pods of %s and %s have names that begin alike, so the arms cannot be told apart: shorten the Deployment's name to 47 characters or fewer.", t.subject.Release, t.subject.Stable)
		return notes
	}
	switch {
	case !t.dialectKnown() && t.noStatus != nil:
		say("The pods export %s without any of the labels %s, so failures cannot be told from other requests.", t.noStatus.Requests.Metric, t.noStatus.failureLabels())
	case !t.dialectKnown() && t.attempts > 0:
		say("The pods export none of the request metrics that are known (%s) with labels that name pod and namespace.", strings.Join(metricsOf(cat), ", "))
	case rel.dialect != nil && stable.dialect != nil && rel.dialect != stable.dialect:
		say("The arms export different dialects: %s is read of the release, %s of the stable pods.", rel.dialect.Name, stable.dialect.Name)
	default:
		t.sayOthers(cat, say)
	}
	if t.leftOut != "" {
		say("Health-check and metrics routes are left out, by the label %s.", t.leftOut)
	}
	if t.boundsNote != "" {
		say("%s", t.boundsNote)
	}
	for _, c := range t.custom {
		switch {
		case c.broken != nil:
			say("The signal %s is not measured: %s.", c.name, c.broken)
		case c.err != nil:
			say("The signal %s could not be read: %s.", c.name, words(c.err))
		case !c.seen:
			say("The signal %s has no series of these pods yet.", c.name)
		}
	}
	return notes
}

// words are an error's for the user, without its cause.
func words(err error) string {
	var e *release.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// sayOthers names the dialects that are exported and not read.
func (t *tracked) sayOthers(cat *Catalogue, say func(string, ...any)) {
	read := t.arms[armRelease].dialect
	if read == nil {
		read = t.arms[armStable].dialect
	}
	var others []string
	for _, d := range cat.dialects {
		_, a := t.arms[armRelease].offers[d]
		_, b := t.arms[armStable].offers[d]
		if (a || b) && d != read {
			others = append(others, d.Name)
		}
	}
	if len(others) == 0 {
		return
	}
	slices.Sort(others)
	say("The pods export %s too; %s is read, by the catalogue's order and what both arms have.", strings.Join(others, " and "), read.Name)
}

func metricsOf(cat *Catalogue) []string {
	var out []string
	for _, d := range cat.dialects {
		if !slices.Contains(out, d.Requests.Metric) {
			out = append(out, d.Requests.Metric)
		}
	}
	return out
}

// noteBounds keeps what is to be said of the bucket bounds.
func (t *tracked) noteBounds(some, usable bool, common int) {
	note := ""
	switch {
	case some && !usable:
		note = "The latency histograms have no two bucket bounds in common with +Inf among them, so latency is not measured."
	case some && t.boundsDiffer(common):
		note = fmt.Sprintf("The pods' latency histograms have different buckets; the %d bounds they have in common are compared.", common)
	}
	if note != t.boundsNote {
		t.boundsNote, t.stale = note, true
	}
}

// boundsDiffer reports whether some pod exports more bounds than are common.
func (t *tracked) boundsDiffer(common int) bool {
	for _, p := range t.counters.pods {
		n := 0
		for _, has := range p.bounds {
			if has {
				n++
			}
		}
		if n > common && p.alive() {
			return true
		}
	}
	return false
}

// pasted is a query with the signal that it is for.
type pasted struct{ signal, expr string }

// expressions are the queries of the subject alone, to be pasted and looked at.
func (t *tracked) expressions(cat *Catalogue) []pasted {
	if t.exprs != nil {
		return t.exprs
	}
	add := func(name string, sel selector, form int, more []*labels.Matcher, arms ...armIndex) {
		var owners []owner
		for _, a := range arms {
			owners = append(owners, t.arms[a].owner)
		}
		q := pasted{name, sel.with(append(matchers(cat.pods[form], owners), more...))}
		if !slices.Contains(t.exprs, q) {
			t.exprs = append(t.exprs, q)
		}
	}
	var routes []*labels.Matcher
	if t.leftOut != "" {
		routes = append(routes, textMatcher(labels.MatchNotRegexp, t.leftOut, cat.leaveOutText))
	}
	rel, stable := &t.arms[armRelease], &t.arms[armStable]
	together := rel.dialect == stable.dialect && rel.form == stable.form
	for a := range armCount {
		arms := []armIndex{a}
		if together {
			arms = []armIndex{armRelease, armStable}
		}
		if d := t.arms[a].dialect; d != nil {
			add(release.SignalErrorRatio, d.Requests.selector, t.arms[a].form, routes, arms...)
			if d.Latency != nil {
				add(release.SignalLatency, d.Latency.selector, t.arms[a].form, routes, arms...)
			}
		}
	}
	for i := range t.custom {
		c := &t.custom[i]
		if form := t.customForm(c); c.broken == nil && form >= 0 {
			add(c.name, c.bad, form, nil, t.existing()...)
			add(c.name, c.total, form, nil, t.existing()...)
		}
	}
	return t.exprs
}

func (t *tracked) existing() []armIndex {
	var out []armIndex
	for a := range armCount {
		if t.arms[a].exists {
			out = append(out, a)
		}
	}
	return out
}

package signal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/internal/signal/count"
)

// findings is what a person should know of the measurement of a subject.
type findings struct {
	stale      bool // notes and queries must be made again
	notes      []string
	leftOut    string            // the route label by which series were left out
	noStatusOf []string          // requests metrics that are there without telling failures
	failures   []string          // the labels that were looked for
	gauges     []string          // requests metrics that are declared to be gauges
	bounds     [viewCount]string // what is to be said of the bucket bounds
	badBounds  bool              // some le is no number
	stats      [viewCount]count.Stats
	distrusted [viewCount]bool
}

func (n *findings) leaveOut(label string) {
	if n.leftOut != label {
		n.leftOut, n.stale = label, true
	}
}

func (n *findings) badBound() {
	if !n.badBounds {
		n.badBounds, n.stale = true, true
	}
}

func (n *findings) noStatus(d *catalogue.Dialect) {
	name := d.Requests.Names()[0]
	if slices.Contains(n.noStatusOf, name) {
		return
	}
	n.noStatusOf, n.stale = append(n.noStatusOf, name), true
	for _, rule := range d.Requests.Failure {
		if !slices.Contains(n.failures, rule.Label) {
			n.failures = append(n.failures, rule.Label)
		}
	}
}

func (n *findings) noCounter(name string) {
	if !slices.Contains(n.gauges, name) {
		n.gauges, n.stale = append(n.gauges, name), true
	}
}

func (n *findings) noteBounds(v view, text string) {
	if n.bounds[v] != text {
		n.bounds[v], n.stale = text, true
	}
}

// noteCommon says what is worth saying of the bounds that pods have in common.
func (n *findings) noteCommon(v view, usable bool, common, most int) {
	switch {
	case !usable:
		n.noteBounds(v, "The latency histograms have no two bucket bounds in common with +Inf among them, so latency is not measured.")
	case most > common:
		n.noteBounds(v, fmt.Sprintf("The pods' latency histograms have different buckets; the %d bounds they have in common are compared.", common))
	default:
		n.noteBounds(v, "")
	}
}

// noteCounted keeps what the round showed of the feeds.
func (t *tracked) noteCounted() {
	for _, f := range t.feeds {
		if !f.known {
			continue
		}
		switch {
		case f.what >= feedBad && !t.custom[f.custom].seen:
			t.custom[f.custom].seen, t.findings.stale = true, true
		case f.view == viewServer && f.dialect != nil && !f.exporter():
			t.arms[f.arm].counted = true
		}
	}
	for v, stats := range t.findings.stats {
		if bad := stats.Suspicious(); bad != t.findings.distrusted[v] {
			t.findings.distrusted[v], t.findings.stale = bad, true
		}
	}
}

// noteList is what a person should know of the measurement.
func (t *tracked) noteList(cat *catalogue.Catalogue) []string {
	if t.findings.stale {
		t.findings.stale = false
		t.findings.notes = t.makeNotes(cat)
	}
	return slices.Clone(t.findings.notes)
}

func (t *tracked) makeNotes(cat *catalogue.Catalogue) []string {
	var notes []string
	say := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	n := &t.findings
	if !t.arms[armRelease].exists && !t.wholeOf && t.subject.Release != "" {
		say("The pods of %s and %s have names that begin alike, so the arms cannot be told apart: shorten the Deployment's name to 47 characters or fewer.", t.subject.Release, t.subject.Stable)
		return notes
	}
	t.sayDialect(cat, say)
	for _, name := range n.gauges {
		say("%s is declared to be a gauge, so it is not read: what falls cannot be counted.", name)
	}
	for v, bad := range n.distrusted {
		if bad {
			say("The counter of requests %s fell at %d of %d samples, each of which is taken for a restart. If nothing restarts so often it is no counter, and its counts are too high.", [...]string{"of the pods", "of callers"}[v], n.stats[v].Falls, n.stats[v].Steps)
		}
	}
	if n.leftOut != "" {
		say("Health-check and metrics routes are left out, by the label %s.", n.leftOut)
	}
	if len(t.strata) > 0 {
		say("Routes told apart: %s; all others are taken together.", strings.Join(t.strata, ", "))
	}
	if t.look > defaultLookback.Milliseconds() {
		say("The pods are scraped seldom; a scrape is waited for up to %s.", fmt.Sprint(time.Duration(t.look)*time.Millisecond))
	}
	for _, text := range n.bounds {
		if text != "" {
			say("%s", text)
		}
	}
	if n.badBounds {
		say("Some buckets have an le that is no number; they are left out.")
	}
	t.sayCustom(say)
	t.saySpared(say)
	return notes
}

// sayDialect says what is read, or why nothing can be.
func (t *tracked) sayDialect(cat *catalogue.Catalogue, say func(string, ...any)) {
	n := &t.findings
	rel, stable := &t.arms[armRelease], &t.arms[armStable]
	switch {
	case !t.dialectKnown() && len(n.noStatusOf) > 0:
		say("The pods export %s without any of the labels %s, so failures cannot be told from other requests.", strings.Join(n.noStatusOf, " and "), strings.Join(n.failures, ", "))
	case !t.dialectKnown() && t.callers.dialect == nil && t.attempts > 0:
		say("The pods export none of the request metrics that are known with labels that name pod and namespace.")
	case !t.dialectKnown() && t.callers.dialect != nil:
		say("The pods export no request metrics that are known; what callers count is all there is (%s).", t.callers.dialect.Name)
	case rel.dialect != nil && stable.dialect != nil && rel.dialect != stable.dialect:
		say("The arms export different dialects: %s is read of the release, %s of the stable pods.", rel.dialect.Name, stable.dialect.Name)
	case t.dialectKnown() && t.latencyForm() == formNone && t.someLatency():
		say("The arms export latencies in different forms, so latency is not measured.")
	}
	t.sayOthers(cat, say)
}

// someLatency reports whether some arm shows latencies.
func (t *tracked) someLatency() bool {
	return t.offerOf(armRelease).latencyForm() != formNone || t.offerOf(armStable).latencyForm() != formNone
}

// sayOthers names the dialects that are exported and not read.
func (t *tracked) sayOthers(cat *catalogue.Catalogue, say func(string, ...any)) {
	rel, stable := &t.arms[armRelease], &t.arms[armStable]
	var pods, calls []string
	for _, d := range cat.Dialects {
		if d != rel.dialect && d != stable.dialect && (rel.offers[d].counts() || stable.offers[d].counts()) {
			pods = append(pods, d.Name)
		}
		if d != t.callers.dialect && t.callers.offers[d].counts() {
			calls = append(calls, d.Name)
		}
	}
	slices.Sort(pods)
	slices.Sort(calls)
	if read := rel.dialect; len(pods) > 0 && t.dialectKnown() {
		if read == nil {
			read = stable.dialect
		}
		say("The pods export %s too; %s is read, by the catalogue's order and what both arms have.", strings.Join(pods, " and "), read.Name)
	}
	if len(calls) > 0 && t.callers.dialect != nil {
		say("Callers export %s too; %s is read, by the catalogue's order.", strings.Join(calls, " and "), t.callers.dialect.Name)
	}
}

func (t *tracked) sayCustom(say func(string, ...any)) {
	for i := range t.custom {
		c := &t.custom[i]
		switch err := t.customError(i); {
		case c.broken != nil:
			say("The signal %s is not measured: %s.", c.Name, c.broken)
		case err != nil:
			say("The signal %s could not be read: %s.", c.Name, words(err))
		case !c.seen:
			say("The signal %s has no series of these pods yet.", c.Name)
		}
	}
}

func (t *tracked) customError(i int) error {
	for _, f := range t.feeds {
		if f.what >= feedBad && f.custom == i && f.err != nil {
			return f.err
		}
	}
	return nil
}

// saySpared says what was left out of the last look.
func (t *tracked) saySpared(say func(string, ...any)) {
	var out []string
	why := ""
	for _, f := range t.feeds {
		if f.err == nil || f.what >= feedBad {
			continue
		}
		if name := f.signal(); !slices.Contains(out, name) {
			out = append(out, name)
			why = words(f.err)
		}
	}
	if len(out) > 0 {
		say("Not read in the last look: %s (%s).", strings.Join(out, ", "), why)
	}
}

// words are an error's for the user, without its cause.
func words(err error) string {
	var e *release.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

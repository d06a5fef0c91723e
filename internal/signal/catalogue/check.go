package catalogue

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	labelName   = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	metricName  = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	dialectName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
)

// check refuses a value that is missing or not of a form; what says what is
// wanted there.
func (l *loader) check(path string, form *regexp.Regexp, value, what string) {
	switch {
	case value == "":
		l.fault(path, "%s is missing", what)
	case !form.MatchString(value):
		l.fault(path, "%q is no %s", value, what)
	}
}

// oneOf refuses a value that is none of a few.
func oneOf[T ~string](l *loader, path, what string, value T, known ...T) {
	if slices.Contains(known, value) {
		return
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	l.fault(path, "%s %q is none of %s", what, value, strings.Join(names, ", "))
}

func (l *loader) checkPods(pods []PodLabels) {
	for i, p := range pods {
		at := fmt.Sprintf("$.pods[%d]", i)
		switch {
		case p.Address == "":
			l.check(at+".pod", labelName, p.Pod, "label name (pod)")
			l.check(at+".namespace", labelName, p.Namespace, "label name (namespace)")
		case p.Pod != "" || p.Namespace != "":
			l.fault(at, "address stands for pod and namespace: give the one or the others")
		default:
			l.check(at+".address", labelName, p.Address, "label name (address)")
		}
	}
}

func (l *loader) checkRoutes(patterns []string) {
	for i, p := range patterns {
		if _, err := wholeValue(p); err != nil {
			l.fault(fmt.Sprintf("$.leave_out_routes[%d]", i), "%s", err)
		}
	}
}

// checkDialect fills in what a dialect leaves open and refuses what is wrong. It
// returns false where there is no dialect at all.
func (l *loader) checkDialect(at string, d *Dialect) bool {
	if d == nil {
		l.fault(at, "the dialect is empty")
		return false
	}
	l.check(at+".name", dialectName, d.Name, "name of a dialect")
	if d.Title == "" {
		l.fault(at+".title", "title is missing")
	}
	if d.Order < 1 {
		l.fault(at+".order", "order is missing or below 1")
	}
	if d.Side == "" && l.find(at+".side") == nil {
		d.Side = SideServer
	}
	oneOf(l, at+".side", "side", d.Side, SideServer, SideCaller)
	l.checkRequests(at+".requests", &d.Requests)
	if d.Latency != nil {
		l.checkLatency(at+".latency", d.Latency)
	}
	for i, r := range d.Routes {
		l.check(fmt.Sprintf("%s.routes[%d]", at, i), labelName, r, "label name")
	}
	l.checkCallee(at, d)
	return true
}

func (l *loader) checkRequests(at string, r *Requests) {
	switch {
	case r.Metric == "" && r.Histogram == "":
		l.fault(at, "metric (a counter) or histogram (its base name) is missing: what counts requests?")
	case r.Metric != "" && r.Histogram != "":
		l.fault(at, "metric and histogram both count requests: give one of them")
	case r.Metric != "":
		l.check(at+".metric", metricName, r.Metric, "metric name")
	default:
		l.checkHistogram(at+".histogram", r.Histogram)
	}
	l.checkWhere(at+".where", r.Where)
	if len(r.Failure) == 0 {
		l.fault(at, "failure is missing: which label tells a failed request?")
	}
	for i := range r.Failure {
		rule, at := &r.Failure[i], fmt.Sprintf("%s.failure[%d]", at, i)
		l.check(at+".label", labelName, rule.Label, "label name")
		pattern, err := wholeValue(rule.Matches)
		if err != nil {
			l.fault(at+".matches", "%s", err)
		}
		rule.pattern = pattern
	}
}

func (l *loader) checkLatency(at string, latency *Latency) {
	l.checkHistogram(at+".histogram", latency.Histogram)
	oneOf(l, at+".unit", "unit", latency.Unit, UnitSeconds, UnitMilliseconds, UnitMicroseconds, UnitNanoseconds)
	l.checkWhere(at+".where", latency.Where)
}

// checkHistogram takes the base name: what is read of a histogram follows from
// it.
func (l *loader) checkHistogram(path, name string) {
	l.check(path, metricName, name, "metric name")
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			l.fault(path, "%s is a part of a histogram: give its base name, %s", name, base)
		}
	}
}

func (l *loader) checkWhere(at string, where []Where) {
	for i := range where {
		w, at := &where[i], fmt.Sprintf("%s[%d]", at, i)
		l.check(at+".label", labelName, w.Label, "label name")
		// An empty value is told from a missing one only in the file.
		is := w.Is != "" || l.find(at+".is") != nil
		switch {
		case is && (w.Matches != "" || l.find(at+".matches") != nil):
			l.fault(at, "is and matches both say what the label must be: give one of them")
			continue
		case !is && w.Matches == "":
			l.fault(at, `is or matches is missing: what must the label be? (is: "" for no such label)`)
			continue
		}
		if _, err := regexp.Compile(w.Matches); err != nil {
			l.fault(at+".matches", "%q is no regular expression: %s", w.Matches, err)
			continue
		}
		m, err := w.compile()
		if err != nil {
			l.fault(at, "%s", err)
		}
		w.matcher = m
	}
}

// wholeValue compiles a regular expression that must match a whole value.
func wholeValue(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, errors.New("the regular expression is missing")
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, fmt.Errorf("%q is no regular expression: %w", pattern, err)
	}
	return regexp.Compile("^(?s:" + pattern + ")$")
}

func (l *loader) checkResource(at string, r *Resource) bool {
	if r == nil {
		l.fault(at, "the resource is empty")
		return false
	}
	oneOf(l, at+".signal", "signal", r.Signal, ResourceCPU, ResourceMemory, ResourceRestarts, ResourceOOM, ResourceReady)
	if r.Title == "" {
		l.fault(at+".title", "title is missing")
	}
	l.check(at+".metric", metricName, r.Metric, "metric name")
	oneOf(l, at+".kind", "kind", r.Kind, KindCounter, KindGauge)
	if want := kindOf[r.Signal]; want != "" && r.Kind != want {
		l.fault(at+".kind", "%s is counted from a %s", r.Signal, want)
	}
	if r.Scale < 0 || (r.Scale == 0 && l.find(at+".scale") != nil) {
		l.fault(at+".scale", "scale must be above 0")
	}
	l.checkWhere(at+".where", r.Where)
	return true
}

// kindOf is what each signal is read as.
var kindOf = map[ResourceSignal]Kind{
	ResourceCPU: KindCounter, ResourceMemory: KindGauge, ResourceRestarts: KindCounter,
	ResourceOOM: KindGauge, ResourceReady: KindGauge,
}

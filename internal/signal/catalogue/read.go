package catalogue

import (
	"github.com/prometheus/prometheus/model/labels"
)

// Names returns the metric names under which the requests of a dialect may
// stand: the counter, or the count of a histogram and its native form.
func (r Requests) Names() []string {
	if r.Metric != "" {
		return []string{r.Metric}
	}
	return []string{r.Histogram + "_count", r.Histogram}
}

// Fits reports whether a series of the requests tells failures from others.
func (d *Dialect) Fits(set labels.Labels) bool {
	for i := range d.Requests.Failure {
		if set.Get(d.Requests.Failure[i].Label) != "" {
			return true
		}
	}
	return false
}

// FailureValue is what tells whether the requests of a series failed: the rule
// that decides and the value it looks at; nil where no rule's label is there.
func (d *Dialect) FailureValue(set labels.Labels) (*FailureRule, string) {
	for i := range d.Requests.Failure {
		rule := &d.Requests.Failure[i]
		if v := set.Get(rule.Label); v != "" {
			return rule, v
		}
	}
	return nil, ""
}

// Failed reports whether a value means that requests failed.
func (r *FailureRule) Failed(value string) bool { return r.pattern.MatchString(value) }

// Route is the route label of a series and its value; "" when it has none.
func (d *Dialect) Route(set labels.Labels) (label, value string) {
	for _, label := range d.Routes {
		if v := set.Get(label); v != "" {
			return label, v
		}
	}
	return "", ""
}

// Names returns the names of the dialects in order of preference.
func (c *Catalogue) Names() []string {
	var out []string
	for _, d := range c.Dialects {
		out = append(out, d.Name)
	}
	return out
}

// Identify returns which of Pods names the pod of a series, by index, with the
// pod and its namespace, neither of them empty; -1 when none does. A form that
// goes by address is never the answer: whose address it is, the pods tell.
func (c *Catalogue) Identify(set labels.Labels) (form int, namespace, pod string) {
	for i, f := range c.Pods {
		if f.Address != "" {
			continue
		}
		pod := set.Get(f.Pod)
		if pod == "" {
			continue
		}
		if namespace := set.Get(f.Namespace); namespace != "" {
			return i, namespace, pod
		}
	}
	return -1, "", ""
}

// LeavesOut reports whether requests of a route are not counted. Requests that
// name no route are.
func (c *Catalogue) LeavesOut(route string) bool {
	return route != "" && c.LeaveOut != nil && c.LeaveOut.MatchString(route)
}

// Matchers returns one matcher for each condition, in their order.
func Matchers(where []Where) []*labels.Matcher {
	if len(where) == 0 {
		return nil
	}
	out := make([]*labels.Matcher, len(where))
	for i := range where {
		out[i] = where[i].Matcher()
	}
	return out
}

// Matcher is the condition as PromQL has it. That of a loaded catalogue is made
// once and shared; for any other, a Matches that is no regular expression is a
// panic.
func (w Where) Matcher() *labels.Matcher {
	if w.matcher != nil {
		return w.matcher
	}
	m, err := w.compile()
	if err != nil {
		panic(err)
	}
	return m
}

func (w Where) compile() (*labels.Matcher, error) {
	kinds := [2]labels.MatchType{labels.MatchEqual, labels.MatchNotEqual}
	value := w.Is
	if w.Matches != "" {
		kinds = [2]labels.MatchType{labels.MatchRegexp, labels.MatchNotRegexp}
		value = w.Matches
	}
	kind := kinds[0]
	if w.Not {
		kind = kinds[1]
	}
	return labels.NewMatcher(kind, w.Label, value)
}

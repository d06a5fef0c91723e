package catalogue

import (
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// Workload is what is known of a callee when it is looked for in the series of
// its callers.
type Workload struct {
	Namespace, Name string
	// Services select its pods. Where none is known, a Service of the workload's
	// own name is taken to.
	Services []string
	PodIPs   []string
}

// services are the names that {service} stands for. The name of a Deployment may
// have dots; as the name of a Service it would mean another one's namespace.
func (w Workload) services() []string {
	if len(w.Services) > 0 {
		return w.Services
	}
	if strings.Contains(w.Name, ".") {
		return nil
	}
	return []string{w.Name}
}

// addresses are the spellings of the pods' addresses: that of IPv6 may stand in
// brackets.
func (w Workload) addresses() []string {
	out := slices.Clone(w.PodIPs)
	for _, ip := range w.PodIPs {
		if strings.Contains(ip, ":") {
			out = append(out, "["+ip+"]")
		}
	}
	return out
}

// values are what a placeholder stands for.
func (w Workload) values(p placeholder) []string {
	switch p {
	case namespacePlace:
		return []string{w.Namespace}
	case workloadPlace:
		return []string{w.Name}
	case servicePlace:
		return w.services()
	}
	return w.addresses()
}

// fill returns the texts that say that a series is about a workload: none where
// something that the template asks for is not known.
func (t template) fill(w Workload) []text {
	out := []text{nil}
	for _, p := range t {
		values := []string{p.literal}
		if p.place.ofWorkload() {
			values = w.values(p.place)
		}
		var longer []text
		for _, before := range out {
			for _, v := range values {
				if p.place.ofWorkload() && v == "" {
					continue
				}
				next := part{place: p.place}
				if !p.place.wild() {
					next = part{literal: v}
				}
				longer = append(longer, before.with(next))
			}
		}
		out = longer
	}
	return out
}

// filled are the texts of an About for one workload: those that hold anywhere,
// and those that hold only for callers in the workload's own namespace.
type filled struct{ anywhere, near []text }

func (a *About) fill(w Workload) (f filled) {
	for _, t := range a.templates {
		if len(a.From) > 0 && !t.tellsNamespace() {
			f.near = append(f.near, t.fill(w)...)
		} else {
			f.anywhere = append(f.anywhere, t.fill(w)...)
		}
	}
	return f
}

// anything reports whether the label may be anything at all.
func (a *About) anything() bool {
	return len(a.templates) == 1 && len(a.templates[0]) == 1 && a.templates[0][0].place == anyPlace
}

// fillAll fills in all of a dialect's About; ok is false where some label has no
// text left that would say that a series is about the workload.
func (d *Dialect) fillAll(w Workload) (_ []filled, ok bool) {
	out := make([]filled, len(d.About))
	for i := range d.About {
		out[i] = d.About[i].fill(w)
		if len(out[i].anywhere)+len(out[i].near) == 0 {
			return nil, false
		}
	}
	return out, len(out) > 0
}

// Describes returns an exact test of whether a series of the dialect is about
// the workload.
func (d *Dialect) Describes(w Workload) func(labels.Labels) bool {
	all, ok := d.fillAll(w)
	if !ok {
		return func(labels.Labels) bool { return false }
	}
	return func(set labels.Labels) bool {
		for i, f := range all {
			about := &d.About[i]
			value := set.Get(about.Label)
			if anyMatches(f.anywhere, value) || anyMatches(f.near, value) && about.callerIn(set, w.Namespace) {
				continue
			}
			return false
		}
		return true
	}
}

// callerIn reports whether the caller lives in a namespace.
func (a *About) callerIn(set labels.Labels, namespace string) bool {
	for _, label := range a.From {
		if v := set.Get(label); v != "" {
			return v == namespace
		}
	}
	return false
}

// AboutMatchers returns matchers that select every series of the dialect that is
// about one of the workloads, and perhaps a few more: Describes tells. It returns
// none when no workload could be named, for then there is nothing to ask for. The
// matchers are only written down: their Matches panics.
func (d *Dialect) AboutMatchers(workloads []Workload) []*labels.Matcher {
	named := make([]alternatives, len(d.About))
	found := false
	for _, w := range workloads {
		all, ok := d.fillAll(w)
		if !ok {
			continue
		}
		found = true
		for i, f := range all {
			named[i].add(f.anywhere)
			named[i].add(f.near)
		}
	}
	if !found {
		return nil
	}
	var out []*labels.Matcher
	for i := range d.About {
		if !d.About[i].anything() {
			out = append(out, named[i].matcher(d.About[i].Label))
		}
	}
	return out
}

// alternatives gather texts for one matcher. A metric store answers a list of
// literals from its index, so those stay literals; texts with something wild in
// them are put together by what follows their first literal.
type alternatives struct {
	literals []string
	wild     map[string][]string // regular expression of the rest: quoted beginnings
}

func (a *alternatives) add(texts []text) {
	for _, t := range texts {
		if literal, ok := t.literal(); ok {
			a.literals = append(a.literals, literal)
			continue
		}
		beginning, rest := "", t
		if !t[0].place.wild() {
			beginning, rest = regexp.QuoteMeta(t[0].literal), t[1:]
		}
		if a.wild == nil {
			a.wild = map[string][]string{}
		}
		key := rest.pattern()
		a.wild[key] = append(a.wild[key], beginning)
	}
}

func (a *alternatives) matcher(label string) *labels.Matcher {
	literals := sorted(a.literals)
	if len(literals) == 1 && len(a.wild) == 0 {
		return &labels.Matcher{Type: labels.MatchEqual, Name: label, Value: literals[0]}
	}
	var all []string
	for _, l := range literals {
		all = append(all, regexp.QuoteMeta(l))
	}
	var rests []string
	for rest := range a.wild {
		rests = append(rests, rest)
	}
	for _, rest := range sorted(rests) {
		beginnings := sorted(a.wild[rest])
		if len(beginnings) == 1 {
			all = append(all, beginnings[0]+rest)
		} else {
			all = append(all, "("+strings.Join(beginnings, "|")+")"+rest)
		}
	}
	return &labels.Matcher{Type: labels.MatchRegexp, Name: label, Value: strings.Join(all, "|")}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

package catalogue

import (
	"fmt"
	"slices"
)

// checkCallee refuses a caller's dialect that does not say, beyond doubt, whom a
// series is about, and a server's that does.
func (l *loader) checkCallee(at string, d *Dialect) {
	if d.Side != SideCaller {
		if len(d.About) > 0 {
			l.fault(at+".about", "about is only for side: caller; a server's series are about the pod they name")
		}
		if d.Callee != nil {
			l.fault(at+".callee", "callee is only for side: caller")
		}
		return
	}
	if len(d.About) == 0 {
		l.fault(at, "about is missing: which label of a caller's series names the callee?")
		return
	}
	for i := range d.About {
		l.checkAbout(fmt.Sprintf("%s.about[%d]", at, i), &d.About[i])
	}
	l.checkDoubts(at, d)
	if c := d.Callee; c != nil {
		l.check(at+".callee.label", labelName, c.Label, "label name")
		oneOf(l, at+".callee.names", "names", c.Names, NamesPod, NamesAddress, NamesPodTemplateHash)
	}
	d.lookAtFrom()
}

func (l *loader) checkAbout(at string, a *About) {
	l.check(at+".label", labelName, a.Label, "label name")
	if len(a.Is) == 0 {
		l.fault(at, "is is missing: what must the label be, such as {service}.{namespace}?")
	}
	for i, text := range a.Is {
		t, err := parseTemplate(text)
		if err != nil {
			l.fault(fmt.Sprintf("%s.is[%d]", at, i), "%s", err)
			continue
		}
		a.templates = append(a.templates, t)
	}
	for i, label := range a.From {
		l.check(fmt.Sprintf("%s.from[%d]", at, i), labelName, label, "label name")
	}
}

// checkDoubts refuses an about that would take one workload for another: one
// that does not name it, or names it without its namespace.
func (l *loader) checkDoubts(at string, d *Dialect) {
	every := func(holds func(*About, template) bool) bool {
		return slices.ContainsFunc(d.About, func(a About) bool {
			return !slices.ContainsFunc(a.templates, func(t template) bool { return !holds(&a, t) })
		})
	}
	if !every(func(_ *About, t template) bool { return t.tellsWorkload() }) {
		l.fault(at+".about", "no label names the workload: each text of one of them needs {workload}, {service} or {pod_ip}")
		return
	}
	if !every(func(a *About, t template) bool { return t.tellsNamespace() || len(a.From) > 0 }) {
		l.fault(at+".about", "workloads of one name in several namespaces are not told apart: add {namespace} or {pod_ip} to each text of one label, or from: [namespace] for names without it")
	}
}

// lookAtFrom adds the labels of From to the dialect's About, where anything may
// stand in them.
func (d *Dialect) lookAtFrom() {
	for _, a := range slices.Clone(d.About) {
		for _, label := range a.From {
			if !slices.ContainsFunc(d.About, func(b About) bool { return b.Label == label }) {
				d.About = append(d.About, About{Label: label, Is: []string{string(anyPlace)}, templates: []template{{{place: anyPlace}}}})
			}
		}
	}
}

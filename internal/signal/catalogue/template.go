package catalogue

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// placeholder is what stands in braces in a template of About.
type placeholder string

const (
	namespacePlace placeholder = "{namespace}"
	workloadPlace  placeholder = "{workload}"
	servicePlace   placeholder = "{service}"
	podIPPlace     placeholder = "{pod_ip}"
	anyPlace       placeholder = "{any}"
	numberPlace    placeholder = "{number}"
)

var placeholders = []placeholder{namespacePlace, workloadPlace, servicePlace, podIPPlace, anyPlace, numberPlace}

func (p placeholder) wild() bool       { return p == anyPlace || p == numberPlace }
func (p placeholder) ofWorkload() bool { return p != "" && !p.wild() }

// template is a text with placeholders, in pieces.
type template []part

// part is a placeholder or, where place is empty, literal text.
type part struct {
	literal string
	place   placeholder
}

// maxWild bounds what can stand for anything in one template: each multiplies
// the ways in which a value can be tried.
const maxWild = 2

var inBraces = regexp.MustCompile(`\{[^{}]*\}`)

func parseTemplate(s string) (template, error) {
	if s == "" {
		return nil, fmt.Errorf("the template is empty")
	}
	var out template
	wild, at := 0, 0
	for _, m := range inBraces.FindAllStringIndex(s, -1) {
		p := placeholder(s[m[0]:m[1]])
		if !slices.Contains(placeholders, p) {
			return nil, fmt.Errorf("%s is no placeholder; there are %s", p, allPlaceholders())
		}
		if p.wild() {
			wild++
		}
		out = append(out, part{literal: s[at:m[0]]}, part{place: p})
		at = m[1]
	}
	out = slices.DeleteFunc(append(out, part{literal: s[at:]}), func(p part) bool { return p == part{} })
	for _, p := range out {
		if strings.ContainsAny(p.literal, "{}") {
			return nil, fmt.Errorf("%q has a brace without its other; placeholders are %s", s, allPlaceholders())
		}
	}
	if wild > maxWild {
		return nil, fmt.Errorf("%q has more than %d of {any} and {number}", s, maxWild)
	}
	return out, nil
}

func allPlaceholders() string {
	names := make([]string, len(placeholders))
	for i, p := range placeholders {
		names[i] = string(p)
	}
	return strings.Join(names, ", ")
}

func (t template) has(places ...placeholder) bool {
	return slices.ContainsFunc(t, func(p part) bool { return slices.Contains(places, p.place) })
}

// tellsWorkload reports whether the template names the workload itself.
func (t template) tellsWorkload() bool { return t.has(workloadPlace, servicePlace, podIPPlace) }

// tellsNamespace reports whether the template leaves no doubt in which namespace
// the workload is; an address is of one pod in the cluster.
func (t template) tellsNamespace() bool { return t.has(namespacePlace, podIPPlace) }

// text is a template filled in: literals with something wild between them, no
// two literals next to each other.
type text []part

// with returns a copy with one more part.
func (t text) with(p part) text {
	out := slices.Clone(t)
	if n := len(out); n > 0 && p.place == "" && out[n-1].place == "" {
		out[n-1].literal += p.literal
		return out
	}
	return append(out, p)
}

// literal returns a text that has nothing wild in it.
func (t text) literal() (string, bool) {
	if len(t) == 1 && t[0].place == "" {
		return t[0].literal, true
	}
	return "", false
}

// pattern is the text as a regular expression for a whole value.
func (t text) pattern() string {
	var b strings.Builder
	for _, p := range t {
		switch p.place {
		case anyPlace:
			b.WriteString(".*")
		case numberPlace:
			b.WriteString("[0-9]+")
		default:
			b.WriteString(regexp.QuoteMeta(p.literal))
		}
	}
	return b.String()
}

func anyMatches(texts []text, value string) bool {
	return slices.ContainsFunc(texts, func(t text) bool { return t.matches(value) })
}

// matches reports whether a value is what the text says. It goes without regular
// expressions: there would be thousands, each for a few values.
func (t text) matches(value string) bool {
	if len(t) == 0 {
		return value == ""
	}
	rest := t[1:]
	switch t[0].place {
	case anyPlace:
		if len(rest) == 0 {
			return true
		}
		for i := range len(value) + 1 {
			if rest.matches(value[i:]) {
				return true
			}
		}
		return false
	case numberPlace:
		for i := 0; i < len(value) && value[i] >= '0' && value[i] <= '9'; i++ {
			if rest.matches(value[i+1:]) {
				return true
			}
		}
		return false
	}
	after, ok := strings.CutPrefix(value, t[0].literal)
	return ok && rest.matches(after)
}

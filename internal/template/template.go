// Package template fills in the texts users write for their receivers, in the
// dialect of Alertmanager's templates: the same functions and the same data, with
// a message's own fields beside them. What a template does is bounded in time and
// size, whatever it says.
package template

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

const (
	// maxTime is how long one template may take, maxSize how much it may write,
	// and the largest value it may hold, in bytes.
	maxTime = time.Second
	maxSize = 64 << 10
	// watch is the name of the function that each body of a template calls first.
	watch = "watchtowerWatch"
)

// Set are templates that others may use by {{ template "name" . }}.
type Set struct{ base *template.Template }

// NewSet reads files of definitions: their text by their name.
func NewSet(files map[string]string) (*Set, error) {
	base := template.New("").Funcs(guarded(nil))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if len(files[name]) > maxSize {
			return nil, fmt.Errorf("%s has %d bytes: at most %d are read", name, len(files[name]), maxSize)
		}
		if _, err := base.New(name).Parse(files[name]); err != nil {
			return nil, errors.New(words(err))
		}
	}
	return &Set{base}, nil
}

// Template is one text to fill in. It is safe for concurrent use.
type Template struct{ tmpl *template.Template }

// Template reads a text; the name stands in its errors.
func (s *Set) Template(name, text string) (*Template, error) {
	if len(text) > maxSize {
		return nil, fmt.Errorf("the template has %d bytes: at most %d are read", len(text), maxSize)
	}
	set, err := s.base.Clone()
	if err != nil {
		return nil, err
	}
	t, err := set.New(name).Parse(text)
	if err != nil {
		return nil, errors.New(words(err))
	}
	if err := unending(t); err != nil {
		return nil, err
	}
	for _, one := range t.Templates() {
		if one.Tree == nil {
			continue
		}
		own := one.Copy() // the set's is that of all its templates
		watched(own.Root)
		if _, err := t.AddParseTree(one.Name(), own); err != nil {
			return nil, err
		}
	}
	return &Template{t.Lookup(name)}, nil
}

// Render fills the template in. A label or annotation that a message does not
// have is empty text, or with strict an error.
func (t *Template) Render(data any, strict bool) (out string, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = "", fmt.Errorf("the template panics: %v", r)
		}
	}()
	missing := "missingkey=zero"
	if strict {
		missing = "missingkey=error"
	}
	// The clone is this call's own: it has its own deadline.
	run, err := t.tmpl.Clone()
	if err != nil {
		return "", err
	}
	until := time.Now().Add(maxTime)
	var b bounded
	if err := run.Option(missing).Funcs(guarded(&until)).Execute(&b, data); err != nil {
		var own ended
		if errors.As(err, &own) { // where in the template is of no help
			return "", own
		}
		return "", errors.New(words(err))
	}
	return b.String(), nil
}

// ended is why a template was not let go on.
type ended string

func (e ended) Error() string { return string(e) }

// bounded takes what fits.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxSize {
		return 0, ended(fmt.Sprintf("the text is longer than %d bytes", maxSize))
	}
	return b.Buffer.Write(p)
}

// words is what the template package says, as one line.
func words(err error) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "template: ")), " ")
}

// watched has every body call watch first, so that no loop goes on unseen.
func watched(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.RangeNode:
			watched(n.List)
			watched(n.ElseList)
		case *parse.IfNode:
			watched(n.List)
			watched(n.ElseList)
		case *parse.WithNode:
			watched(n.List)
			watched(n.ElseList)
		}
	}
	list.Nodes = slices.Insert(list.Nodes, 0, watchNode())
}

func watchNode() parse.Node {
	t := template.Must(template.New("").Funcs(template.FuncMap{watch: func() string { return "" }}).Parse("{{" + watch + "}}"))
	return t.Root.Nodes[0]
}

// unending finds templates that use themselves: the depth of them is no way to
// stop them, it takes more memory than a small pod has.
func unending(t *template.Template) error {
	uses := map[string][]string{}
	for _, one := range t.Templates() {
		if one.Tree != nil {
			uses[one.Name()] = used(one.Root)
		}
	}
	const underWay, done = 1, 2
	seen := map[string]int{}
	var visit func(name string) error
	visit = func(name string) error {
		switch seen[name] {
		case underWay:
			return fmt.Errorf("template %q uses itself", name)
		case done:
			return nil
		}
		seen[name] = underWay
		for _, n := range uses[name] {
			if _, ok := uses[n]; !ok {
				return fmt.Errorf("template %q is not defined", n)
			}
			if err := visit(n); err != nil {
				return err
			}
		}
		seen[name] = done
		return nil
	}
	return visit(t.Name())
}

// used are the names of the templates that a body uses.
func used(list *parse.ListNode) []string {
	if list == nil {
		return nil
	}
	var out []string
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.TemplateNode:
			out = append(out, n.Name)
		case *parse.RangeNode:
			out = append(out, append(used(n.List), used(n.ElseList)...)...)
		case *parse.IfNode:
			out = append(out, append(used(n.List), used(n.ElseList)...)...)
		case *parse.WithNode:
			out = append(out, append(used(n.List), used(n.ElseList)...)...)
		}
	}
	return out
}

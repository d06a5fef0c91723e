package catalogue

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Fault is something wrong in a catalogue file. Line and Column count from 1.
type Fault struct {
	File         string
	Line, Column int
	Message      string
}

// Error returns "file:line:column: message".
func (f Fault) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// Faults are all that is wrong in the files of a catalogue.
type Faults []Fault

// Error returns one fault a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// file is the content of one file.
type file struct {
	Pods           []PodLabels `yaml:"pods"`
	LeaveOutRoutes []string    `yaml:"leave_out_routes"`
	Dialects       []*Dialect  `yaml:"dialects"`
	Resources      []*Resource `yaml:"resources"`
}

// mark is a place in a file.
type mark struct {
	file         string
	line, column int
}

func (m mark) String() string { return fmt.Sprintf("%s:%d", m.file, m.line) }

func (m mark) fault(format string, args ...any) Fault {
	return Fault{m.file, m.line, m.column, fmt.Sprintf(format, args...)}
}

// document is a file that has been read, to find places in.
type document struct {
	name string
	root *ast.File
}

// parse reads one file, strictly, into a value.
func parse(name string, text []byte, into *file) (document, *Fault) {
	top := mark{name, 1, 1}
	refuse := func(f Fault) (document, *Fault) { return document{}, &f }
	if much := tooMuchYAML(text); much != "" {
		return refuse(top.fault("%s", much))
	}
	root, err := parser.ParseBytes(text, 0)
	if err != nil {
		return refuse(top.ofYAML(err))
	}
	if len(root.Docs) != 1 || root.Docs[0].Body == nil {
		return refuse(top.fault("one YAML document is wanted, here are %d", documents(root)))
	}
	var plain plainYAML
	if ast.Walk(&plain, root.Docs[0].Body); plain.fault != nil {
		at := plain.fault.GetToken().Position
		return refuse(mark{name, at.Line, at.Column}.fault("tags, anchors and aliases are not taken here"))
	}
	if err := yaml.NodeToValue(root.Docs[0].Body, into, yaml.Strict()); err != nil {
		return refuse(top.ofYAML(err))
	}
	return document{name, root}, nil
}

const (
	maxFileBytes = 256 << 10
	maxNesting   = 64
)

// tooMuchYAML refuses what the YAML library, which recurses, should not be
// given; "" for what is fine.
func tooMuchYAML(text []byte) string {
	if len(text) > maxFileBytes {
		return fmt.Sprintf("the file is longer than %d bytes", maxFileBytes)
	}
	open := 0
	for line := range bytes.Lines(text) {
		open += bytes.Count(line, []byte("[")) + bytes.Count(line, []byte("{"))
		open -= bytes.Count(line, []byte("]")) + bytes.Count(line, []byte("}"))
		marks := bytes.Count(line, []byte("- ")) + bytes.Count(line, []byte("? "))
		if max(open, marks, bytes.Count(line, []byte("["))) > maxNesting {
			return fmt.Sprintf("more than %d brackets or list marks within each other", maxNesting)
		}
	}
	return ""
}

// plainYAML looks for nodes that a catalogue has no use for, and which the
// decoder does not handle in every place.
type plainYAML struct{ fault ast.Node }

// Visit implements ast.Visitor.
func (p *plainYAML) Visit(node ast.Node) ast.Visitor {
	if p.fault != nil {
		return nil
	}
	switch node.(type) {
	case *ast.TagNode, *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		p.fault = node
		return nil
	}
	return p
}

func documents(root *ast.File) int {
	n := 0
	for _, d := range root.Docs {
		if d.Body != nil {
			n++
		}
	}
	return n
}

// ofYAML is an error of the YAML library with its place; m is where it is taken
// to be when it has none.
func (m mark) ofYAML(err error) Fault {
	message := err.Error()
	var e yaml.Error
	if errors.As(err, &e) {
		message = e.GetMessage()
		if t := e.GetToken(); t != nil {
			m.line, m.column = t.Position.Line, t.Position.Column
		}
	}
	return m.fault("%s", message)
}

// find returns the node at a YAML path, nil where there is none.
func (d document) find(path string) ast.Node {
	p, err := yaml.PathString(path)
	if err != nil {
		return nil
	}
	node, err := p.FilterFile(d.root)
	if err != nil {
		return nil
	}
	return node
}

// at finds where the value at a path stands or, if it is missing, what it is
// missing from.
func (d document) at(path string) mark {
	for path != "" {
		if node := d.find(path); node != nil {
			t := first(node)
			return mark{d.name, t.Position.Line, t.Position.Column}
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return mark{d.name, 1, 1}
}

// first is the token a node begins with: that of a mapping's first key, not of
// its colon.
func first(node ast.Node) *token.Token {
	switch n := node.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 {
			return first(n.Values[0])
		}
	case *ast.MappingValueNode:
		return first(n.Key)
	}
	return node.GetToken()
}

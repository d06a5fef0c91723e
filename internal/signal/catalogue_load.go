package signal

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
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

// catalogueFile is the content of one file.
type catalogueFile struct {
	Pods           []podLabels `yaml:"pods"`
	LeaveOutRoutes []string    `yaml:"leave_out_routes"`
	Dialects       []*dialect  `yaml:"dialects"`
}

// mark is a place in a file.
type mark struct {
	file         string
	line, column int
}

func (m mark) String() string { return fmt.Sprintf("%s:%d", m.file, m.line) }

// loader puts files together and gathers what is wrong with them.
type loader struct {
	out      Catalogue
	leaveOut []string
	names    map[string]mark
	orders   map[int]mark
	faults   Faults

	// Of the file that is being read:
	name string
	root *ast.File
}

func (l *loader) catalogue() (*Catalogue, error) {
	if len(l.faults) > 0 {
		return nil, l.faults
	}
	if len(l.out.dialects) == 0 {
		return nil, Faults{{File: l.name, Line: 1, Column: 1, Message: "no file names a dialect"}}
	}
	if len(l.out.pods) == 0 {
		return nil, Faults{{File: l.name, Line: 1, Column: 1, Message: "no file says under pods which labels name the pod"}}
	}
	slices.SortFunc(l.out.dialects, func(a, b *dialect) int { return a.Order - b.Order })
	if len(l.leaveOut) > 0 {
		l.out.leaveOutText = leaveOutPattern(l.leaveOut)
		re, err := regexp.Compile(`^` + l.out.leaveOutText + `$`)
		if err != nil {
			return nil, Faults{{File: l.name, Line: 1, Column: 1, Message: "leave_out_routes of all files together: " + err.Error()}}
		}
		l.out.leaveOut = re
	}
	return &l.out, nil
}

// leaveOutPattern matches a route that any of the patterns matches; a method
// before it and slashes around it are ignored.
func leaveOutPattern(patterns []string) string {
	return `([A-Z]+ )?/?(` + strings.Join(patterns, "|") + `)/?`
}

func (l *loader) file(name string, text []byte) {
	l.name = name
	if fault := tooMuchYAML(text); fault != "" {
		l.faults = append(l.faults, Fault{name, 1, 1, fault})
		return
	}
	root, err := parser.ParseBytes(text, 0)
	if err != nil {
		l.yamlFault(err)
		return
	}
	if len(root.Docs) != 1 || root.Docs[0].Body == nil {
		l.faults = append(l.faults, Fault{name, 1, 1, fmt.Sprintf("one YAML document is wanted, here are %d", documents(root))})
		return
	}
	l.root = root
	var plain plainYAML
	if ast.Walk(&plain, root.Docs[0].Body); plain.fault != nil {
		at := plain.fault.GetToken().Position
		l.faults = append(l.faults, Fault{name, at.Line, at.Column, "tags, anchors and aliases are not taken here"})
		return
	}
	var f catalogueFile
	if err := yaml.NodeToValue(root.Docs[0].Body, &f, yaml.Strict()); err != nil {
		l.yamlFault(err)
		return
	}
	l.pods(f.Pods)
	l.routes(f.LeaveOutRoutes)
	for i, d := range f.Dialects {
		l.dialect(i, d)
	}
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

// yamlFault keeps an error of the YAML library with its place.
func (l *loader) yamlFault(err error) {
	f := Fault{File: l.name, Line: 1, Column: 1, Message: err.Error()}
	var e yaml.Error
	if errors.As(err, &e) {
		f.Message = e.GetMessage()
		if t := e.GetToken(); t != nil {
			f.Line, f.Column = t.Position.Line, t.Position.Column
		}
	}
	l.faults = append(l.faults, f)
}

// fault keeps what is wrong with the value at a YAML path.
func (l *loader) fault(path, format string, args ...any) {
	m := l.mark(path)
	l.faults = append(l.faults, Fault{m.file, m.line, m.column, fmt.Sprintf(format, args...)})
}

// mark finds where the value at a path stands or, if it is missing, what it is
// missing from.
func (l *loader) mark(path string) mark {
	for path != "" {
		if p, err := yaml.PathString(path); err == nil {
			if node, err := p.FilterFile(l.root); err == nil && node != nil {
				t := first(node)
				return mark{l.name, t.Position.Line, t.Position.Column}
			}
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return mark{l.name, 1, 1}
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

var (
	labelName   = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	metricName  = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	dialectName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
)

func (l *loader) check(path string, re *regexp.Regexp, value, what string) {
	switch {
	case value == "":
		l.fault(path, "%s is missing", what)
	case !re.MatchString(value):
		l.fault(path, "%q is no %s", value, what)
	}
}

func (l *loader) pods(pods []podLabels) {
	for i, p := range pods {
		at := fmt.Sprintf("$.pods[%d]", i)
		l.check(at+".pod", labelName, p.Pod, "label name (pod)")
		l.check(at+".namespace", labelName, p.Namespace, "label name (namespace)")
	}
	l.out.pods = append(l.out.pods, pods...)
}

func (l *loader) routes(patterns []string) {
	for i, p := range patterns {
		if _, err := wholeValue(p); err != nil {
			l.fault(fmt.Sprintf("$.leave_out_routes[%d]", i), "%s", err)
			continue
		}
		l.leaveOut = append(l.leaveOut, p)
	}
}

func (l *loader) dialect(i int, d *dialect) {
	at := fmt.Sprintf("$.dialects[%d]", i)
	if d == nil {
		l.fault(at, "the dialect is empty")
		return
	}
	l.check(at+".name", dialectName, d.Name, "name of a dialect")
	if d.Title == "" {
		l.fault(at+".title", "title is missing")
	}
	if before, taken := l.names[d.Name]; taken {
		l.fault(at+".name", "the dialect %s stands already at %s", d.Name, before)
	}
	l.names[d.Name] = l.mark(at + ".name")
	if d.Order < 1 {
		l.fault(at+".order", "order is missing or below 1")
	} else if before, taken := l.orders[d.Order]; taken {
		l.fault(at+".order", "order %d is taken already at %s: which dialect wins must be told", d.Order, before)
	}
	l.orders[d.Order] = l.mark(at + ".order")
	l.requests(at+".requests", &d.Requests)
	if d.Latency != nil {
		l.check(at+".latency.metric", metricName, d.Latency.Metric, "metric name")
		if _, ok := perSecond[d.Latency.Unit]; !ok {
			l.fault(at+".latency.unit", "unit %q is neither seconds nor milliseconds", d.Latency.Unit)
		}
		d.Latency.selector = metricSelector(d.Latency.Metric)
	}
	for j, r := range d.Routes {
		l.check(fmt.Sprintf("%s.routes[%d]", at, j), labelName, r, "label name")
	}
	l.out.dialects = append(l.out.dialects, d)
}

func (l *loader) requests(at string, r *requests) {
	l.check(at+".metric", metricName, r.Metric, "metric name")
	r.selector = metricSelector(r.Metric)
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

// wholeValue compiles a regular expression that must match a whole value.
func wholeValue(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, errors.New("the regular expression is missing")
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, fmt.Errorf("%q is no regular expression: %w", pattern, err)
	}
	return regexp.MustCompile("^(?:" + pattern + ")$"), nil
}

package config

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

// Problem is one fault of a configuration file.
type Problem struct {
	File    string
	Line    int // from 1
	Column  int // from 1, in characters
	Message string
	// Excerpt is the line with a mark under the column; empty where there is
	// none to show, or where it may hold a secret.
	Excerpt string
}

// String returns "file:line:column: message" and the excerpt below it.
func (p Problem) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
	if p.Excerpt != "" {
		s += "\n" + p.Excerpt
	}
	return s
}

// Problems are all faults of a file in the order of their place in it.
type Problems []Problem

// Error returns one problem after the other.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// place is where something stands in the file, line and column from 1.
type place struct{ line, column int }

// faults gathers the problems of one file.
type faults struct {
	file  string
	lines []string
	list  Problems
}

// maxProblems bounds how many are told at once.
const maxProblems = 100

func newFaults(file string, text []byte) *faults {
	return &faults{file: file, lines: strings.Split(string(text), "\n")}
}

func (f *faults) add(at place, format string, args ...any) {
	if len(f.list) >= maxProblems {
		return
	}
	f.list = append(f.list, Problem{
		File: f.file, Line: max(at.line, 1), Column: max(at.column, 1),
		Message: fmt.Sprintf(format, args...),
		Excerpt: f.excerpt(at),
	})
}

// err returns the problems as an error, nil without any.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	sort.SliceStable(f.list, func(i, j int) bool {
		a, b := f.list[i], f.list[j]
		return a.Line < b.Line || (a.Line == b.Line && a.Column < b.Column)
	})
	return f.list
}

// maybeSecret matches lines that could hold a secret although none belongs
// into the file: they are not repeated in an error.
var maybeSecret = regexp.MustCompile(`(?i)(password|passwd|token|secret|authorization|credential|cookie|api[_-]?key|bearer)|:[^\s@]*@`)

const maxExcerpt = 120

func (f *faults) excerpt(at place) string {
	if at.line < 1 || at.line > len(f.lines) {
		return ""
	}
	line := strings.TrimRight(f.lines[at.line-1], "\r")
	if strings.TrimSpace(line) == "" || maybeSecret.MatchString(line) ||
		!utf8.ValidString(line) || utf8.RuneCountInString(line) > maxExcerpt {
		return ""
	}
	pad := make([]rune, 0, at.column)
	for i, r := range []rune(line) {
		if i >= at.column-1 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		pad = append(pad, r)
	}
	return fmt.Sprintf("  %4d | %s\n       | %s^", at.line, line, string(pad))
}

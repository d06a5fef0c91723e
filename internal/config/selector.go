package config

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/watchtower-verify/watchtower/internal/promql"
)

// selector checks that the value at path is a plain PromQL selector and puts
// what is wrong with it at its place in the file.
func (k *checker) selector(path, text string) {
	if strings.TrimSpace(text) == "" {
		k.at(path, "the PromQL selector of a counter is missing, such as jobs_total{state=\"failed\"}")
		return
	}
	_, err := promql.ParseSelector(text)
	k.promql(path, text, err)
}

// vector checks that the value at path is PromQL that answers with a vector.
func (k *checker) vector(path, text string) {
	_, err := promql.ParseVector(text)
	k.promql(path, text, err)
}

// promql puts what is wrong with PromQL at its place in the file.
func (k *checker) promql(path, text string, err error) {
	if err == nil || k.failed[path] {
		return
	}
	offset, words := 0, err.Error()
	var fault *promql.SelectorError
	if errors.As(err, &fault) {
		offset, words = fault.Offset, fault.Message
	}
	k.add(k.inScalar(path, text, offset), "%s: %s", path, words)
}

// inScalar is where the byte at offset of the scalar at path stands in the
// file; the scalar's own place where that cannot be told (escapes, folding).
func (k *checker) inScalar(path, text string, offset int) place {
	start := k.placeOf(path)
	if !k.given(path) || start.line > len(k.lines) {
		return start
	}
	offset = min(max(offset, 0), len(text))
	before := text[:offset]
	row := strings.Count(before, "\n")
	lineOf := func(s string) string { l, _, _ := strings.Cut(s, "\n"); return l }
	within := before[strings.LastIndexByte(before, '\n')+1:]
	wholeLine := within + lineOf(text[offset:])

	line := []rune(k.lines[start.line-1])
	rest := string(line[min(max(start.column-1, 0), len(line)):])
	switch {
	case strings.HasPrefix(rest, "|"): // a literal block: its lines follow
		at := start.line + 1 + row
		if at > len(k.lines) {
			return start
		}
		indent := strings.Index(k.lines[at-1], wholeLine)
		if indent < 0 || strings.TrimSpace(k.lines[at-1][:indent]) != "" {
			return start
		}
		return place{at, indent + utf8.RuneCountInString(within) + 1}
	case row > 0:
		return start
	case strings.HasPrefix(rest, `"`), strings.HasPrefix(rest, `'`):
		rest = rest[1:]
		start.column++
		if !strings.HasPrefix(rest, wholeLine) {
			start.column--
			return start
		}
	case !strings.HasPrefix(rest, wholeLine):
		return start
	}
	return place{start.line, start.column + utf8.RuneCountInString(within)}
}

package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// maxBytes bounds the file; a configuration is far smaller.
const maxBytes = 256 << 10

// maxNesting bounds brackets within brackets, since the parser recurses.
const maxNesting = 64

// Load reads and checks the configuration file at path. Every error is a
// *release.Error with CodeInvalid, or CodeNotFound where there is no such
// file; what is wrong with the file's content is its Problems.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, release.E(release.CodeNotFound, "there is no configuration file "+path, err)
	}
	if err != nil {
		return nil, release.E(release.CodeInvalid, "read configuration", err)
	}
	c, err := Parse(path, text)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Parse reads and checks the text of a configuration file. The name stands in
// its errors, and the file paths in it are taken from the name's folder.
func Parse(name string, text []byte) (*Config, error) {
	f := newFaults(name, text)
	c := parse(f, text, filepath.Dir(name))
	if err := f.err(); err != nil {
		what := "1 fault"
		if n := len(f.list); n > 1 {
			what = fmt.Sprintf("%d faults", n)
		}
		return nil, release.E(release.CodeInvalid, fmt.Sprintf("configuration %s has %s", name, what), faultList{f.list})
	}
	c.fill()
	c.locate(filepath.Dir(name))
	return c, nil
}

// faultList puts the problems on lines of their own below the error's words.
type faultList struct{ Problems }

func (l faultList) Error() string { return "\n" + l.Problems.Error() }
func (l faultList) Unwrap() error { return l.Problems }

func parse(f *faults, text []byte, folder string) *Config {
	c := defaults()
	if len(text) > maxBytes {
		f.add(place{1, 1}, "the file has %d bytes: at most %d are read", len(text), maxBytes)
		return c
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if at, ok := firstInvalid(text); ok {
		f.add(at, "the file is not plain text in UTF-8: save it as UTF-8")
		return c
	}
	if at, ok := tooDeep(text); ok {
		f.add(at, "more than %d brackets or list marks within each other", maxNesting)
		return c
	}
	// Duplicate keys are found by the decoder, which goes on after the first.
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		f.syntax(err)
		return c
	}
	root, ok := f.document(file)
	if !ok {
		return c
	}
	d := &decoder{faults: f, places: map[string]place{}, failed: map[string]bool{}}
	d.value("", place{1, 1}, root, reflect.ValueOf(c).Elem())
	(&checker{decoder: d, c: c, folder: folder}).check()
	return c
}

// document returns the body of the file's only document, nil of an empty one.
func (f *faults) document(file *ast.File) (ast.Node, bool) {
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if _, comment := doc.Body.(*ast.CommentGroupNode); comment {
			continue
		}
		if body != nil {
			at := placeOf(doc.Body.GetToken())
			if doc.Start != nil {
				at = placeOf(doc.Start)
			}
			f.add(at, "a second document begins here: a configuration is one document, remove the ---")
			return nil, false
		}
		body = doc.Body
	}
	return body, true
}

func (f *faults) syntax(err error) {
	var known yaml.Error
	if !errors.As(err, &known) {
		f.add(place{1, 1}, "the file is no YAML: %s", strings.TrimSpace(err.Error()))
		return
	}
	f.add(placeOf(known.GetToken()), "the file is no YAML: %s", known.GetMessage())
}

// firstInvalid finds what cannot be text: bytes that are no UTF-8, and control
// characters.
func firstInvalid(text []byte) (place, bool) {
	at := place{1, 1}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if (r == utf8.RuneError && size == 1) || (r < ' ' && r != '\n' && r != '\r' && r != '\t') {
			return at, true
		}
		at.column++
		if r == '\n' {
			at = place{at.line + 1, 1}
		}
		i += size
	}
	return place{}, false
}

// tooDeep finds where more brackets are open, or more list marks stand in a
// row, than any configuration needs.
func tooDeep(text []byte) (place, bool) {
	at, open, marks := place{1, 1}, 0, 0
	for _, b := range text {
		switch b {
		case '[', '{':
			open++
		case ']', '}':
			open = max(open-1, 0)
		case '-', '?', ':':
			marks++
		case ' ', '\t':
		case '\n':
			marks = 0
		default:
			marks = 0
		}
		if open > maxNesting || marks > maxNesting {
			return at, true
		}
		at.column++
		if b == '\n' {
			at = place{at.line + 1, 1}
		}
	}
	return place{}, false
}

// locate takes relative file paths from the folder of the configuration file.
func (c *Config) locate(folder string) {
	paths := append([]*string{&c.Store.Path, &c.Store.URLFile, &c.Store.PasswordFile, &c.Kubernetes.Kubeconfig, &c.Catalogue}, c.Prometheus.files()...)
	for i := range c.API.Tokens {
		paths = append(paths, &c.API.Tokens[i].TokenFile)
	}
	if c.Alertmanager != nil {
		paths = append(paths, &c.Alertmanager.BearerTokenFile, &c.Alertmanager.CAFile)
	}
	if c.Forge != nil {
		paths = append(paths, &c.Forge.TokenFile)
	}
	for i := range c.Receivers {
		paths = append(paths, c.Receivers[i].files()...)
	}
	for i := range c.Templates {
		paths = append(paths, &c.Templates[i])
	}
	for _, p := range paths {
		*p = within(folder, *p)
	}
	for name, file := range c.Prometheus.HeaderFiles {
		c.Prometheus.HeaderFiles[name] = within(folder, file)
	}
}

// within takes a relative path from folder.
func within(folder, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}

package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// decoder fills a Config from a syntax tree. The library's own decoder stops
// at the first fault; this one goes on, and remembers where everything stood
// so that what is checked later can be placed too.
type decoder struct {
	*faults
	// places of the values by path ("policy.alpha", "overrides[0]"); of a
	// mapping or list under a key, the key's.
	places map[string]place
	// failed are the paths that could not be read; nothing else is said of them.
	failed map[string]bool
}

// fail adds a problem with the value at path.
func (d *decoder) fail(at place, path, format string, args ...any) {
	d.failed[path] = true
	d.add(at, format, args...)
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	autonomyType = reflect.TypeFor[release.Autonomy]()
	severityType = reflect.TypeFor[release.Severity]()
)

func placeOf(tk *token.Token) place {
	if tk == nil || tk.Position == nil {
		return place{1, 1}
	}
	return place{tk.Position.Line, tk.Position.Column}
}

// value decodes node into v. path names it, at is where its key stands.
func (d *decoder) value(path string, at place, node ast.Node, v reflect.Value) {
	switch n := node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		d.fail(placeOf(node.GetToken()), path, "%s: anchors and aliases are not read: write the value out", path)
		return
	case *ast.TagNode:
		d.fail(placeOf(n.Start), path, "%s: tags are not read: remove %s", path, n.Start.Value)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if isNull(node) && v.Type().Elem().Kind() == reflect.Struct {
			return
		}
		target := reflect.New(v.Type().Elem())
		before := len(d.list)
		d.value(path, at, node, target.Elem())
		if len(d.list) == before || v.Type().Elem().Kind() == reflect.Struct {
			v.Set(target)
		}
	case reflect.Struct:
		d.places[path] = at
		d.object(path, at, node, v)
	case reflect.Slice:
		d.places[path] = at
		d.items(path, at, node, v)
	case reflect.Map:
		d.places[path] = at
		d.table(path, at, node, v)
	default:
		d.scalar(path, at, node, v)
	}
}

func isNull(node ast.Node) bool {
	if node == nil {
		return true
	}
	_, ok := node.(*ast.NullNode)
	return ok
}

// entries lists the pairs of a mapping, refusing what is none, keys that are
// no plain text, and keys given twice.
func (d *decoder) entries(path string, at place, node ast.Node, visit func(key string, at place, value ast.Node)) {
	if isNull(node) {
		return
	}
	var pairs []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		d.fail(valuePlace(node, at), path, "%s must be a mapping of keys to values, not %s", orRoot(path), kindOf(node))
		return
	}
	seen := map[string]place{}
	for _, pair := range pairs {
		tk := pair.Key.GetToken()
		keyAt := placeOf(tk)
		if pair.Key.IsMergeKey() {
			d.add(keyAt, "%s: merge keys (<<) are not read: write the values out", orRoot(path))
			continue
		}
		switch pair.Key.(type) {
		case *ast.StringNode, *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode:
		default:
			d.add(keyAt, "%s: a key must be plain text", orRoot(path))
			continue
		}
		key := tk.Value
		if first, dup := seen[key]; dup {
			d.add(keyAt, "%s is given twice, first in line %d: keep one", join(path, key), first.line)
			continue
		}
		seen[key] = keyAt
		visit(key, keyAt, pair.Value)
	}
}

func (d *decoder) object(path string, at place, node ast.Node, v reflect.Value) {
	fields := fieldsOf(v.Type())
	d.entries(path, at, node, func(key string, keyAt place, value ast.Node) {
		i, ok := fields.index[key]
		if !ok {
			d.add(keyAt, "%s is no known key%s", join(path, key), hint(key, fields.names))
			return
		}
		d.value(join(path, key), keyAt, value, v.Field(i))
	})
}

func (d *decoder) table(path string, at place, node ast.Node, v reflect.Value) {
	out := reflect.MakeMap(v.Type())
	d.entries(path, at, node, func(key string, keyAt place, value ast.Node) {
		target := reflect.New(v.Type().Elem()).Elem()
		before := len(d.list)
		d.value(join(path, key), keyAt, value, target)
		d.places[join(path, key)] = keyAt
		if len(d.list) == before {
			out.SetMapIndex(reflect.ValueOf(key), target)
		}
	})
	if out.Len() > 0 {
		v.Set(out)
	}
}

func (d *decoder) items(path string, at place, node ast.Node, v reflect.Value) {
	if isNull(node) {
		return
	}
	seq, ok := node.(*ast.SequenceNode)
	if !ok {
		d.fail(valuePlace(node, at), path, "%s must be a list, not %s: write [a, b]", path, kindOf(node))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		d.value(fmt.Sprintf("%s[%d]", path, i), valuePlace(item, at), item, out.Index(i))
	}
	v.Set(out)
}

func (d *decoder) scalar(path string, at place, node ast.Node, v reflect.Value) {
	where := valuePlace(node, at)
	d.places[path] = where
	text, ok := scalarText(node)
	if !ok {
		if isNull(node) {
			d.fail(at, path, "%s has no value: give it one or remove the key", path)
			return
		}
		hint := ""
		if kindOf(node) == "a mapping" {
			hint = ": put quotes around a text that holds a colon, such as a URL between brackets"
		}
		d.fail(where, path, "%s must be %s, not %s%s", path, wanted(v.Type()), kindOf(node), hint)
		return
	}
	if err := setScalar(v, text); err != nil {
		d.fail(where, path, "%s: %s", path, err)
	}
}

// setScalar reads text as what v is of.
func setScalar(v reflect.Value, text string) error {
	switch {
	case v.Type() == durationType:
		dur, err := ParseDuration(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(dur))
	case v.Type() == autonomyType:
		a, err := release.ParseAutonomy(text)
		if err != nil {
			return err
		}
		v.SetString(string(a))
	case v.Type() == severityType:
		s, err := release.ParseSeverity(text)
		if err != nil {
			return err
		}
		v.SetString(string(s))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		b, err := parseBool(text)
		if err != nil {
			return err
		}
		v.SetBool(b)
	case v.Kind() == reflect.Int:
		i, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		v.SetInt(int64(i))
	case v.Kind() == reflect.Float64:
		f, err := ParseRatio(text)
		if err != nil {
			return err
		}
		v.SetFloat(f)
	default:
		return fmt.Errorf("%s cannot be read from a file", v.Type())
	}
	return nil
}

// fields are the keys of a struct.
type fields struct {
	names []string
	index map[string]int
}

func fieldsOf(t reflect.Type) fields {
	f := fields{index: map[string]int{}}
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		f.names = append(f.names, name)
		f.index[name] = i
	}
	return f
}

func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, true
	}
	return "", false
}

// valuePlace is where node begins, or at where it has no place of its own.
func valuePlace(node ast.Node, at place) place {
	switch n := node.(type) {
	case nil:
		return at
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return placeOf(n.Values[0].Key.GetToken())
		}
	case *ast.MappingValueNode:
		return placeOf(n.Key.GetToken())
	}
	return placeOf(node.GetToken())
}

func kindOf(node ast.Node) string {
	switch node.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	}
	return "text"
}

func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 90s or 1h30m"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Float64:
		return "a number such as 0.01 or 1%"
	}
	return "text"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func orRoot(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

// hint names the known key that was probably meant, or all of them.
func hint(key string, known []string) string {
	if best, ok := closest(key, known); ok {
		return ": did you mean " + best + "?"
	}
	return ": known are " + strings.Join(known, ", ")
}

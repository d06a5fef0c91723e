package template

import (
	"fmt"
	"reflect"
	"regexp"
	"text/template"
	"time"

	am "github.com/prometheus/alertmanager/template"
)

// guarded are Alertmanager's functions and those of the language that make new
// values, each of which refuses what is too large and what comes after until. A
// nil until is for reading templates, not for filling them in.
func guarded(until *time.Time) template.FuncMap {
	out := template.FuncMap{watch: func() (string, error) { return "", late(until) }}
	for name, f := range am.DefaultFuncs {
		out[name] = guard(f, until)
	}
	delete(out, "routeLabels") // Watchtower's routes have none
	for name, f := range map[string]any{
		"printf": printf, "print": fmt.Sprint, "println": fmt.Sprintln,
		"html": template.HTMLEscaper, "js": template.JSEscaper, "urlquery": template.URLQueryEscaper,
		"join": join, "reReplaceAll": replaceAll,
	} {
		out[name] = guard(f, until)
	}
	return out
}

func late(until *time.Time) error {
	if until != nil && time.Now().After(*until) {
		return ended("the template takes longer than " + maxTime.String())
	}
	return nil
}

var errorType = reflect.TypeFor[error]()

// guard is f with the same arguments and an error more, where it has none.
func guard(f any, until *time.Time) any {
	v := reflect.ValueOf(f)
	t := v.Type()
	ins := make([]reflect.Type, t.NumIn())
	for i := range ins {
		ins[i] = t.In(i)
	}
	outs := []reflect.Type{t.Out(0), errorType}
	fail := func(err error) []reflect.Value {
		return []reflect.Value{reflect.Zero(outs[0]), reflect.ValueOf(&err).Elem()}
	}
	return reflect.MakeFunc(reflect.FuncOf(ins, outs, t.IsVariadic()), func(in []reflect.Value) []reflect.Value {
		if err := late(until); err != nil {
			return fail(err)
		}
		if !fits(in...) {
			return fail(tooLarge())
		}
		var got []reflect.Value
		if t.IsVariadic() {
			got = v.CallSlice(in)
		} else {
			got = v.Call(in)
		}
		if !fits(got[0]) {
			return fail(tooLarge())
		}
		if len(got) == 1 {
			got = append(got, reflect.Zero(errorType))
		}
		return got
	}).Interface()
}

func tooLarge() error { return fmt.Errorf("a value is larger than %d bytes", maxSize) }

// fits reports whether values written out take no more than maxSize bytes. It
// looks no further than that, so that a value that holds itself many times over
// costs no more.
func fits(values ...reflect.Value) bool {
	room := maxSize
	for _, v := range values {
		if room = left(v, room); room < 0 {
			return false
		}
	}
	return true
}

func left(v reflect.Value, room int) int {
	room--
	switch v.Kind() {
	case reflect.String:
		return room - v.Len()
	case reflect.Interface, reflect.Pointer:
		return left(v.Elem(), room)
	case reflect.Slice, reflect.Array:
		for i := 0; i < v.Len() && room >= 0; i++ {
			room = left(v.Index(i), room)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next() && room >= 0; {
			room = left(it.Value(), left(it.Key(), room))
		}
	case reflect.Struct:
		for i := 0; i < v.NumField() && room >= 0; i++ {
			room = left(v.Field(i), room)
		}
	}
	return room
}

// width finds a width or a precision of a hundred and more.
var width = regexp.MustCompile(`%[^%a-zA-Z]*([0-9]{3,}|\*)`)

func printf(format string, args ...any) (string, error) {
	if width.MatchString(format) {
		return "", fmt.Errorf("printf: a width of a hundred and more, or *, is not read")
	}
	return fmt.Sprintf(format, args...), nil
}

func join(sep string, s []string) (string, error) {
	if len(sep)*len(s) > maxSize {
		return "", tooLarge()
	}
	return am.Strings(s).Join(sep), nil
}

func replaceAll(pattern, replacement, text string) (string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return "", err
	}
	if len(re.FindAllStringIndex(text, -1))*(len(replacement)+len(text)) > 16*maxSize {
		return "", tooLarge()
	}
	return re.ReplaceAllString(text, replacement), nil
}

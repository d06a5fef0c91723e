package catalogue

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/rules"
)

// jsonSchema checks documents against as much of JSON Schema as the
// catalogue's uses.
type jsonSchema struct {
	Ref        string                 `json:"$ref"`
	Type       string                 `json:"type"`
	Properties map[string]*jsonSchema `json:"properties"`
	Additional *bool                  `json:"additionalProperties"`
	Required   []string               `json:"required"`
	Items      *jsonSchema            `json:"items"`
	MinItems   int                    `json:"minItems"`
	MinProps   int                    `json:"minProperties"`
	MinLength  int                    `json:"minLength"`
	Minimum    *float64               `json:"minimum"`
	Above      *float64               `json:"exclusiveMinimum"`
	Pattern    string                 `json:"pattern"`
	Enum       []string               `json:"enum"`
	OneOf      []*jsonSchema          `json:"oneOf"`
	AnyOf      []*jsonSchema          `json:"anyOf"`
	Not        *jsonSchema            `json:"not"`
	If         *jsonSchema            `json:"if"`
	Then       *jsonSchema            `json:"then"`
	Else       *jsonSchema            `json:"else"`
	Defs       map[string]*jsonSchema `json:"$defs"`

	// What only tells people something.
	Schema      string `json:"$schema"`
	ID          string `json:"$id"`
	Title       string `json:"title"`
	Description string `json:"description"`
}

func catalogueSchema(t *testing.T) *jsonSchema {
	t.Helper()
	text, err := fs.ReadFile(rules.Signals, "signals/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields() // a keyword that is not checked would pass everything
	var s jsonSchema
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return &s
}

func (s *jsonSchema) check(root *jsonSchema, doc any, at string) error {
	if s.Ref != "" {
		if err := root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")].check(root, doc, at); err != nil {
			return err
		}
	}
	if err := s.checkType(root, doc, at); err != nil {
		return err
	}
	if text, ok := doc.(string); s.Enum != nil && (!ok || !slices.Contains(s.Enum, text)) {
		return fmt.Errorf("%s: %v is none of %v", at, doc, s.Enum)
	}
	return s.checkLogic(root, doc, at)
}

func (s *jsonSchema) checkType(root *jsonSchema, doc any, at string) error {
	switch s.Type {
	case "object":
		object, ok := doc.(map[string]any)
		if !ok || len(object) < s.MinProps {
			return fmt.Errorf("%s: %v is no object with at least %d keys", at, doc, s.MinProps)
		}
	case "array":
		list, ok := doc.([]any)
		if !ok || len(list) < s.MinItems {
			return fmt.Errorf("%s: %v is no list of at least %d", at, doc, s.MinItems)
		}
		for i, item := range list {
			if err := s.Items.check(root, item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case "string":
		text, ok := doc.(string)
		if !ok || len(text) < s.MinLength || (s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(text)) {
			return fmt.Errorf("%s: %v is not such a string", at, doc)
		}
	case "boolean":
		if _, ok := doc.(bool); !ok {
			return fmt.Errorf("%s: %v is neither true nor false", at, doc)
		}
	case "integer", "number":
		n, ok := doc.(uint64)
		v := float64(n)
		if f, is := doc.(float64); is && s.Type == "number" {
			v, ok = f, true
		}
		if !ok || (s.Minimum != nil && v < *s.Minimum) || (s.Above != nil && v <= *s.Above) {
			return fmt.Errorf("%s: %v is not such a number", at, doc)
		}
	}
	return s.checkKeys(root, doc, at)
}

func (s *jsonSchema) checkKeys(root *jsonSchema, doc any, at string) error {
	object, ok := doc.(map[string]any)
	if !ok {
		return nil
	}
	for _, key := range s.Required {
		if _, ok := object[key]; !ok {
			return fmt.Errorf("%s: %s is missing", at, key)
		}
	}
	for key, value := range object {
		p, known := s.Properties[key]
		switch {
		case known:
			if err := p.check(root, value, at+"."+key); err != nil {
				return err
			}
		case s.Additional != nil && !*s.Additional:
			return fmt.Errorf("%s: %s is unknown", at, key)
		}
	}
	return nil
}

func (s *jsonSchema) checkLogic(root *jsonSchema, doc any, at string) error {
	holds := func(s *jsonSchema) bool { return s.check(root, doc, at) == nil }
	count := func(list []*jsonSchema) (n int) {
		for _, s := range list {
			if holds(s) {
				n++
			}
		}
		return n
	}
	switch {
	case s.OneOf != nil && count(s.OneOf) != 1:
		return fmt.Errorf("%s: not exactly one of the alternatives holds", at)
	case s.AnyOf != nil && count(s.AnyOf) == 0:
		return fmt.Errorf("%s: none of the alternatives holds", at)
	case s.Not != nil && holds(s.Not):
		return fmt.Errorf("%s: what must not hold does", at)
	case s.If == nil:
		return nil
	case holds(s.If):
		return s.Then.check(root, doc, at)
	}
	return s.Else.check(root, doc, at)
}

// checkText checks a YAML file.
func (s *jsonSchema) checkText(t *testing.T, text string) error {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	return s.check(s, doc, "")
}

func TestTheFilesObeyTheirSchema(t *testing.T) {
	schema := catalogueSchema(t)
	files, _ := fs.Glob(rules.Signals, "signals/*.yaml")
	if len(files) < 10 {
		t.Fatalf("only %v", files)
	}
	for _, name := range files {
		text, _ := fs.ReadFile(rules.Signals, name)
		if err := schema.checkText(t, string(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.HasPrefix(string(text), "# yaml-language-server: $schema=schema.json\n") {
			t.Errorf("%s does not name its schema", name)
		}
	}
}

func TestWhatTheLoaderRefusesByItsFormTheSchemaRefusesToo(t *testing.T) {
	schema := catalogueSchema(t)
	for _, good := range []string{goodFile, callerFile, resourceFile} {
		if err := schema.checkText(t, good); err != nil {
			t.Errorf("%v in\n%s", err, good)
		}
		if _, err := Load(fstest.MapFS{"a.yaml": {Data: []byte(goodFile)}}, fstest.MapFS{"b.yaml": {Data: []byte(good)}}); err != nil {
			t.Errorf("%v in\n%s", err, good)
		}
	}
	for name, c := range map[string]struct{ file, old, new string }{
		"an unknown key":                   {goodFile, "title:", "titel:"},
		"a missing key":                    {goodFile, "    order: 1\n", ""},
		"an impossible label":              {goodFile, "label: code", "label: co-de"},
		"a wrong type":                     {goodFile, "order: 1", "order: first"},
		"an order below 1":                 {goodFile, "order: 1", "order: 0"},
		"an empty title":                   {goodFile, "title: One", "title: ''"},
		"a name with a space":              {goodFile, "name: one", "name: one two"},
		"neither metric nor histogram":     {goodFile, "      metric: requests_total\n", ""},
		"both metric and histogram":        {goodFile, "metric: requests_total", "metric: requests_total\n      histogram: h"},
		"a bucket for a histogram":         {goodFile, "metric: requests_total", "histogram: h_bucket"},
		"an unknown side":                  {goodFile, "order: 1", "order: 1\n    side: peer"},
		"an empty side":                    {goodFile, "order: 1", "order: 1\n    side: ''"},
		"a caller without about":           {goodFile, "order: 1", "order: 1\n    side: caller"},
		"a server with about":              {callerFile, "    side: caller\n", ""},
		"a server with a callee":           {goodFile, "order: 1", "order: 1\n    callee: {label: a, names: pod}"},
		"an about without texts":           {callerFile, `is: ["{service}.{namespace}"]`, "is: []"},
		"an unknown placeholder":           {callerFile, "{service}", "{host}"},
		"an empty text":                    {callerFile, "{service}.{namespace}", ""},
		"half a placeholder":               {callerFile, "{service}", "{service"},
		"a callee that names nothing":      {callerFile, "names: address", "names: node"},
		"an unknown unit":                  {callerFile, "unit: seconds", "unit: hours"},
		"a where with neither":             {callerFile, ", is: a", ""},
		"a where with both":                {callerFile, ", is: a", ", is: a, matches: b"},
		"a where with both, one empty":     {callerFile, ", is: a", ", is: '', matches: b"},
		"a where that matches nothing":     {callerFile, ", is: a", ", matches: ''"},
		"an address and a pod":             {goodFile, "{pod: pod, namespace: namespace}", "{pod: pod, namespace: namespace, address: instance}"},
		"an address and a namespace":       {goodFile, "{pod: pod, namespace: namespace}", "{namespace: namespace, address: instance}"},
		"a pod without a namespace":        {goodFile, "{pod: pod, namespace: namespace}", "{pod: pod}"},
		"an unknown signal":                {resourceFile, "signal: cpu", "signal: disk"},
		"an unknown kind":                  {resourceFile, "kind: counter", "kind: rate"},
		"a resource without a metric":      {resourceFile, "    metric: cpu_ns_total\n", ""},
		"a scale of nothing":               {resourceFile, "scale: 0.000000001", "scale: 0"},
		"a scale below nothing":            {resourceFile, "scale: 0.000000001", "scale: -1"},
		"a not that is neither yes nor no": {resourceFile, "not: true", "not: perhaps"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(c.file, c.old, c.new, 1)
			if text == c.file {
				t.Fatal("nothing was changed")
			}
			if err := schema.checkText(t, text); err == nil {
				t.Error("the schema takes it")
			}
			trees := []fs.FS{fstest.MapFS{"a.yaml": {Data: []byte(goodFile)}}, fstest.MapFS{"b.yaml": {Data: []byte(text)}}}
			if _, err := Load(trees...); err == nil {
				t.Error("the loader takes it")
			}
		})
	}
}

func TestTheSchemaKnowsTheKeysThatTheLoaderKnows(t *testing.T) {
	schema := catalogueSchema(t)
	for name, of := range map[string]any{
		"": file{}, "podLabels": PodLabels{}, "dialect": Dialect{}, "requests": Requests{}, "latency": Latency{},
		"about": About{}, "callee": Callee{}, "resource": Resource{}, "where": Where{},
	} {
		s := schema
		if name != "" {
			s = schema.Defs[name]
		}
		if s.Items != nil {
			s = s.Items
		}
		var keys, known []string
		for i := range reflect.TypeOf(of).NumField() {
			if key := reflect.TypeOf(of).Field(i).Tag.Get("yaml"); key != "" {
				keys = append(keys, key)
			}
		}
		for key := range s.Properties {
			known = append(known, key)
		}
		slices.Sort(keys)
		slices.Sort(known)
		if diff := cmp.Diff(keys, known); diff != "" {
			t.Errorf("%T: loader -, schema +\n%s", of, diff)
		}
	}
}

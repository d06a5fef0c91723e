package signal

import (
	"encoding/json"
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/rules"
)

func TestTheBuiltInCataloguePrefersTheMostPreciseConvention(t *testing.T) {
	want := []string{"opentelemetry", "opentelemetry-old", "prometheus", "prom-client"}
	if diff := cmp.Diff(want, builtin(t).Dialects()); diff != "" {
		t.Error(diff)
	}
}

const goodFile = `pods:
  - {pod: pod, namespace: namespace}
dialects:
  - name: one
    title: One
    order: 1
    requests:
      metric: requests_total
      failure:
        - {label: code, matches: "5.."}
`

func TestAFaultInACatalogueFileIsToldWithFileLineAndColumn(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an unknown key":               {strings.Replace(goodFile, "title:", "titel:", 1), `a.yaml:5:5: unknown field "titel"`},
		"an unknown key at the top":    {goodFile + "dialect: 3\n", `a.yaml:11:1: unknown field "dialect"`},
		"a duplicate key":              {goodFile + "dialects: []\n", `a.yaml:11:1: `},
		"no YAML":                      {"dialects: [\n", "a.yaml:1:"},
		"a wrong type":                 {strings.Replace(goodFile, "order: 1", "order: first", 1), "a.yaml:6:12: cannot unmarshal string"},
		"nothing":                      {"", "a.yaml:1:1: one YAML document is wanted, here are 0"},
		"two documents":                {goodFile + "---\n" + goodFile, "a.yaml:1:1: one YAML document is wanted, here are 2"},
		"a missing title":              {strings.Replace(goodFile, "    title: One\n", "", 1), "a.yaml:4:5: title is missing"},
		"a missing order":              {strings.Replace(goodFile, "    order: 1\n", "", 1), "a.yaml:4:5: order is missing"},
		"a name with a space":          {strings.Replace(goodFile, "name: one", "name: one two", 1), `a.yaml:4:11: "one two" is no name of a dialect`},
		"an impossible metric":         {strings.Replace(goodFile, "requests_total", "requests-total", 1), `a.yaml:8:15: "requests-total" is no metric name`},
		"an impossible label":          {strings.Replace(goodFile, "label: code", "label: co-de", 1), `a.yaml:10:19: "co-de" is no label name`},
		"a bad regular expression":     {strings.Replace(goodFile, "5..", "5(", 1), `a.yaml:10:34: "5(" is no regular expression`},
		"no failure":                   {goodFile[:strings.Index(goodFile, "      failure")], "a.yaml:8:7: failure is missing"},
		"an unknown unit":              {goodFile + "    latency: {metric: m_bucket, unit: hours}\n", `a.yaml:11:39: unit "hours" is neither`},
		"an impossible route":          {goodFile + "    routes: [a, b-c]\n", `a.yaml:11:17: "b-c" is no label name`},
		"a bad route pattern":          {goodFile + "leave_out_routes:\n  - ok\n  - a)(b\n", `a.yaml:13:5: "a)(b" is no regular expression`},
		"the same dialect twice":       {goodFile + strings.Replace(goodFile[strings.Index(goodFile, "  - name"):], "order: 1", "order: 2", 1), "a.yaml:11:11: the dialect one stands already at a.yaml:4"},
		"the same order twice":         {goodFile + strings.Replace(goodFile[strings.Index(goodFile, "  - name"):], "name: one", "name: two", 1), "a.yaml:13:12: order 1 is taken already at a.yaml:6"},
		"no dialect":                   {"pods: [{pod: pod, namespace: namespace}]\n", "no file names a dialect"},
		"no pod labels":                {goodFile[strings.Index(goodFile, "dialects"):], "which labels name the pod"},
		"a pod label without a name":   {strings.Replace(goodFile, "pod: pod, ", "", 1), "a.yaml:2:6: label name (pod) is missing"},
		"a tag":                        {strings.Replace(goodFile, "title: One", "title: !!str One", 1), "a.yaml:5:12: tags, anchors and aliases"},
		"an alias":                     {strings.Replace(goodFile, "title: One", "title: &t One\n    routes: [*t]", 1), "a.yaml:5:12: tags, anchors and aliases"},
		"brackets without end":         {"dialects: " + strings.Repeat("[", 100_000), "more than 64 brackets"},
		"a file of a megabyte":         {strings.Repeat("#\n", 1<<19), "longer than"},
		"an empty dialect in the list": {goodFile + "  -\n", "the dialect is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(fstest.MapFS{"a.yaml": {Data: []byte(c.text)}})
			var faults Faults
			if release.ErrorCode(err) != release.CodeInvalid || !errors.As(err, &faults) {
				t.Fatalf("%v, want faults", err)
			}
			if !strings.Contains(faults.Error(), c.want) {
				t.Errorf("said\n%s\nwant\n%s", faults, c.want)
			}
		})
	}
	if _, err := Load(fstest.MapFS{"a.yaml": {Data: []byte(goodFile)}}); err != nil {
		t.Errorf("the file all others are made from: %v", err)
	}
	if _, err := Load(fstest.MapFS{"readme.md": {}}); release.ErrorCode(err) != release.CodeInvalid {
		t.Errorf("no file at all: %v", err)
	}
}

func TestAllFaultsOfAllFilesAreToldAtOnce(t *testing.T) {
	_, err := Load(fstest.MapFS{
		"a.yaml":     {Data: []byte(strings.Replace(goodFile, "title: One", "title: ''", 1))},
		"sub/b.yaml": {Data: []byte("pods: [{pod: 'x y', namespace: n}, {pod: p, namespace: '0'}]\n")},
	})
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 3 || faults[2].File != "sub/b.yaml" {
		t.Errorf("%v", err)
	}
}

func FuzzACatalogueFileOfAnyBytesIsLoadedOrRefused(f *testing.F) {
	f.Add([]byte(goodFile))
	_ = fs.WalkDir(rules.Signals, ".", func(name string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			text, _ := fs.ReadFile(rules.Signals, name)
			f.Add(text)
		}
		return nil
	})
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Load(fstest.MapFS{"a.yaml": {Data: text}})
		var faults Faults
		switch {
		case err == nil && len(c.Dialects()) == 0:
			t.Error("a catalogue without a dialect")
		case err != nil && !errors.As(err, &faults):
			t.Errorf("%T %v", err, err)
		}
		for _, f := range faults {
			if f.Line < 1 || f.Column < 1 {
				t.Errorf("a fault without a place: %v", f)
			}
		}
	})
}

func TestTheFilesObeyTheirSchemaAndTheSchemaTheLoader(t *testing.T) {
	text, err := fs.ReadFile(rules.Signals, "signals/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	schema := schemaOf(t, text)
	files, _ := fs.Glob(rules.Signals, "signals/*.yaml")
	if len(files) < 4 {
		t.Fatalf("only %v", files)
	}
	valid := func(text []byte) error {
		var doc any
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		return schema.check(schema, doc, "")
	}
	for _, name := range files {
		file, _ := fs.ReadFile(rules.Signals, name)
		if err := valid(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.HasPrefix(string(file), "# yaml-language-server: $schema=schema.json\n") {
			t.Errorf("%s does not name its schema", name)
		}
	}
	for name, change := range map[string][2]string{
		"an unknown key":      {"title:", "titel:"},
		"a missing key":       {"    order: 1\n", ""},
		"an impossible label": {"label: code", "label: co-de"},
		"a wrong type":        {"order: 1", "order: first"},
		"an order below 1":    {"order: 1", "order: 0"},
	} {
		if err := valid([]byte(strings.Replace(goodFile, change[0], change[1], 1))); err == nil {
			t.Errorf("the schema takes %s", name)
		}
	}
	if err := valid([]byte(goodFile)); err != nil {
		t.Error(err)
	}
	for name, of := range map[string]any{"": catalogueFile{}, "podLabels": podLabels{}, "dialect": dialect{}, "requests": requests{}, "latency": buckets{}} {
		s := schema
		if name != "" {
			s = schema.Defs[name]
		}
		var keys []string
		for i := range reflect.TypeOf(of).NumField() {
			if key := reflect.TypeOf(of).Field(i).Tag.Get("yaml"); key != "" {
				keys = append(keys, key)
			}
		}
		var known []string
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

func schemaOf(t *testing.T, text []byte) *jsonSchema {
	t.Helper()
	var s jsonSchema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

package catalogue

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/rules"
)

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

const callerFile = `dialects:
  - name: calls
    title: Calls
    order: 2
    side: caller
    requests:
      histogram: calls_seconds
      where:
        - {label: kind, is: a}
      failure:
        - {label: code, matches: "5.."}
    latency:
      histogram: calls_seconds
      unit: seconds
    about:
      - label: host
        is: ["{service}.{namespace}"]
    callee: {label: host, names: address}
`

const resourceFile = `resources:
  - signal: cpu
    title: CPU time
    metric: cpu_ns_total
    kind: counter
    scale: 0.000000001
    where:
      - {label: container, is: "", not: true}
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
		"an unknown unit":              {goodFile + "    latency: {histogram: m, unit: hours}\n", `a.yaml:11:35: unit "hours" is none of seconds, milliseconds, microseconds, nanoseconds`},
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
		case err == nil && len(c.Dialects) == 0:
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

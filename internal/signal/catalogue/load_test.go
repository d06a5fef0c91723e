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

// caller is the dialect of callerFile, for the list of another file.
var caller = strings.TrimPrefix(callerFile, "dialects:\n")

// callerOf is the same with another text for its callee.
func callerOf(text string) string { return strings.Replace(caller, "{service}.{namespace}", text, 1) }

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
		"metric and histogram":         {strings.Replace(goodFile, "      metric: requests_total", "      metric: requests_total\n      histogram: requests", 1), "a.yaml:8:7: metric and histogram both count requests"},
		"neither of the two":           {strings.Replace(goodFile, "      metric: requests_total\n", "", 1), "a.yaml:8:7: metric (a counter) or histogram (its base name) is missing"},
		"a bucket for a histogram":     {strings.Replace(goodFile, "metric: requests_total", "histogram: h_bucket", 1), "a.yaml:8:18: h_bucket is a part of a histogram: give its base name, h"},
		"an unknown side":              {strings.Replace(goodFile, "order: 1", "order: 1\n    side: peer", 1), `a.yaml:7:11: side "peer" is none of server, caller`},
		"a caller without about":       {strings.Replace(goodFile, "order: 1", "order: 1\n    side: caller", 1), "a.yaml:4:5: about is missing"},
		"a server with about":          {goodFile + "    about: [{label: host, is: ['{service}.{namespace}']}]\n", "a.yaml:11:12: about is only for side: caller"},
		"a server with a callee":       {goodFile + "    callee: {label: host, names: pod}\n", "a.yaml:11:14: callee is only for side: caller"},
		"an unknown placeholder":       {goodFile + callerOf("{host}.{namespace}"), "a.yaml:26:14: {host} is no placeholder; there are {namespace}, {workload}, {service}, {pod_ip}, {any}, {number}"},
		"half a placeholder":           {goodFile + callerOf("{service.{namespace}"), "a.yaml:26:14: \"{service.{namespace}\" has a brace without its other"},
		"three wild placeholders":      {goodFile + callerOf("{service}.{namespace}{any}:{number}{number}"), "has more than 2 of {any} and {number}"},
		"an about for any workload":    {goodFile + callerOf("{namespace}"), "a.yaml:25:7: no label names the workload"},
		"an about for any namespace":   {goodFile + callerOf("{service}"), "a.yaml:25:7: workloads of one name in several namespaces are not told apart"},
		"where with neither":           {goodFile + strings.Replace(caller, ", is: a", "", 1), "a.yaml:18:12: is or matches is missing"},
		"where with both":              {goodFile + strings.Replace(caller, "is: a", "is: '', matches: a", 1), "a.yaml:18:12: is and matches both say"},
		"a bad where":                  {goodFile + strings.Replace(caller, "is: a", "matches: '('", 1), `a.yaml:18:34: "(" is no regular expression`},
		"an address and a pod":         {strings.Replace(goodFile, "pod: pod", "pod: pod, address: instance", 1), "a.yaml:2:6: address stands for pod and namespace"},
		"an unknown signal":            {goodFile + strings.Replace(resourceFile, "cpu", "disk", 1), `a.yaml:12:13: signal "disk" is none of cpu, memory, restarts, oom, ready`},
		"a gauge of CPU time":          {goodFile + strings.Replace(resourceFile, "counter", "gauge", 1), "a.yaml:15:11: cpu is counted from a counter"},
		"a scale below nothing":        {goodFile + strings.Replace(resourceFile, "scale: 0", "scale: -0", 1), "a.yaml:16:12: scale must be above 0"},
		"an empty resource":            {goodFile + "resources:\n  -\n", "the resource is empty"},
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

package catalogue

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/rules"
)

func tree(files ...string) fs.FS {
	out := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		out[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return out
}

func renamed(text, name, order string) string {
	return strings.NewReplacer("name: one", "name: "+name, "order: 1", "order: "+order).Replace(text)
}

func TestUsersFilesExtendTheBuiltInOnes(t *testing.T) {
	users := tree("mine.yaml", renamed(goodFile, "mine", "5")+"leave_out_routes: [internal/.*]\n"+resourceFile)
	c, err := Load(rules.Signals, users)
	if err != nil {
		t.Fatal(err)
	}
	all := builtin(t)
	if diff := cmp.Diff(append([]string{"mine"}, all.Names()...), c.Names()); diff != "" {
		t.Errorf("by order: %s", diff)
	}
	if len(c.Pods) != len(all.Pods)+1 || c.Pods[0].Pod != "pod" {
		t.Errorf("the user's pods do not come first: %v", c.Pods)
	}
	if len(c.Resources) != len(all.Resources)+1 || c.Resources[0].Metric != "cpu_ns_total" {
		t.Errorf("the user's resources do not come first: %v", c.Resources)
	}
	for route, out := range map[string]bool{"/internal/queue": true, "/healthz": true, "GET /readyz/": true, "/cart": false, "": false, "/healthzz": false, "/a\n/healthz": false} {
		if c.LeavesOut(route) != out {
			t.Errorf("route %q is left out: %v", route, !out)
		}
	}
}

func TestAUsersDialectReplacesTheBuiltInOneOfItsName(t *testing.T) {
	for name, order := range map[string]string{"and may keep its order": "110", "and may take another": "7"} {
		t.Run(name, func(t *testing.T) {
			c, err := Load(rules.Signals, tree("mine.yaml", renamed(goodFile, "prometheus", order)))
			if err != nil {
				t.Fatal(err)
			}
			i := slices.Index(c.Names(), "prometheus")
			if len(c.Dialects) != len(builtin(t).Dialects) || c.Dialects[i].Title != "One" {
				t.Errorf("%v, %+v", c.Names(), c.Dialects[i])
			}
		})
	}
}

func TestWhatClashesBetweenFilesIsToldWithBothPlaces(t *testing.T) {
	builtin := tree("built/in.yaml", goodFile)
	for name, c := range map[string]struct {
		trees []fs.FS
		want  string
	}{
		"an order of a built-in one":    {[]fs.FS{builtin, tree("mine.yaml", renamed(goodFile, "mine", "1"))}, "mine.yaml:6:12: order 1 is taken already at built/in.yaml:6"},
		"two of a name in one tree":     {[]fs.FS{builtin, tree("a.yaml", renamed(goodFile, "mine", "2"), "b.yaml", renamed(goodFile, "mine", "3"))}, "b.yaml:4:11: the dialect mine stands already at a.yaml:4"},
		"two of a name in the built-in": {[]fs.FS{tree("a.yaml", goodFile, "b.yaml", renamed(goodFile, "one", "3")), builtin}, "b.yaml:4:11: the dialect one stands already at a.yaml:4"},
		"orders in one file, in lines of two lengths": {
			[]fs.FS{tree("a.yaml", goodFile+strings.TrimPrefix(renamed(goodFile, "two", "1"), "pods:\n  - {pod: pod, namespace: namespace}\ndialects:\n"))},
			"a.yaml:13:12: order 1 is taken already at a.yaml:6",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(c.trees...)
			var faults Faults
			if !errors.As(err, &faults) || len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// A mounted ConfigMap holds its files in a directory with a date for a name,
// which ..data points to, and beside it links to them.
func TestTheFilesOfAMountedConfigMapAreReadOnce(t *testing.T) {
	dir := t.TempDir()
	dated := filepath.Join(dir, "..2026_11_24")
	if err := os.Mkdir(dated, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dated, "mine.yaml"), []byte(goodFile), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"..data": "..2026_11_24", "mine.yaml": "..data/mine.yaml"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := Load(os.DirFS(dir)); err != nil || len(c.Dialects) != 1 {
		t.Errorf("%v", err)
	}
	if _, err := Load(rules.Signals, os.DirFS(t.TempDir())); err == nil || !strings.Contains(err.Error(), "no *.yaml file") {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestThePodIsNamedByTheFirstFormThatASeriesCarriesInFull(t *testing.T) {
	c := builtin(t)
	for name, is := range map[string]struct {
		set            labels.Labels
		form           int
		namespace, pod string
	}{
		"pod and namespace":                       {labels.FromStrings("namespace", "mall", "pod", "a"), 2, "mall", "a"},
		"what the series said itself":             {labels.FromStrings("namespace", "monitoring", "pod", "gateway", "exported_namespace", "mall", "exported_pod", "a"), 0, "mall", "a"},
		"its pod and the namespace of the scrape": {labels.FromStrings("namespace", "mall", "pod", "gateway", "exported_pod", "a"), 1, "mall", "a"},
		"OpenTelemetry's resource":                {labels.FromStrings("k8s_namespace_name", "mall", "k8s_pod_name", "a"), 4, "mall", "a"},
		"a pod of no namespace":                   {labels.FromStrings("pod", "a"), -1, "", ""},
		"an address is not looked at":             {labels.FromStrings("instance", "10.0.0.1:80"), -1, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if form, namespace, pod := c.Identify(is.set); form != is.form || namespace != is.namespace || pod != is.pod {
				t.Errorf("form %d, %s/%s", form, namespace, pod)
			}
		})
	}
	if last := c.Pods[len(c.Pods)-1]; last.Address != "instance" {
		t.Errorf("the address is not the last resort: %v", last)
	}
}

func TestAConditionHoldsForTheWholeValue(t *testing.T) {
	set := labels.FromStrings("code", "500\n", "kind", "a")
	for name, c := range map[string]struct {
		where Where
		holds bool
	}{
		"is":                          {Where{Label: "kind", Is: "a"}, true},
		"is not":                      {Where{Label: "kind", Is: "a", Not: true}, false},
		"matches":                     {Where{Label: "code", Matches: "50.+"}, true},
		"matches a part":              {Where{Label: "code", Matches: "50"}, false},
		"matches not":                 {Where{Label: "code", Matches: "50", Not: true}, true},
		"an alternative is whole too": {Where{Label: "code", Matches: "50|4"}, false},
		"no such label":               {Where{Label: "none"}, true},
		"such a label":                {Where{Label: "kind", Not: true}, true},
		"such a label, not there":     {Where{Label: "none", Not: true}, false},
	} {
		if got := holds([]Where{c.where}, set); got != c.holds {
			t.Errorf("%s: %v", name, got)
		}
	}
}

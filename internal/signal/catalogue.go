package signal

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Catalogue says which series mean requests, failures and latency in each
// dialect. It does not change once it is loaded.
type Catalogue struct {
	dialects []*dialect // by order
	pods     []podLabels
	leaveOut *regexp.Regexp // nil: no route is left out
	// leaveOutText is leaveOut as a PromQL matcher takes it.
	leaveOutText string
}

// dialect is one naming convention.
type dialect struct {
	Name     string   `yaml:"name"`
	Title    string   `yaml:"title"`
	Order    int      `yaml:"order"`
	Requests requests `yaml:"requests"`
	Latency  *buckets `yaml:"latency"`
	Routes   []string `yaml:"routes"`
}

type requests struct {
	Metric  string        `yaml:"metric"`
	Failure []failureRule `yaml:"failure"`

	selector selector
}

// failureRule tells a failed request by a label's value.
type failureRule struct {
	Label   string `yaml:"label"`
	Matches string `yaml:"matches"`

	pattern *regexp.Regexp
}

// buckets are those of a classic histogram.
type buckets struct {
	Metric string      `yaml:"metric"`
	Unit   bucketsUnit `yaml:"unit"`

	selector selector
}

type bucketsUnit string

// perSecond is how many of the unit make a second.
var perSecond = map[bucketsUnit]float64{"seconds": 1, "milliseconds": 1000}

// podLabels name the pod and the namespace of a series.
type podLabels struct {
	Pod       string `yaml:"pod"`
	Namespace string `yaml:"namespace"`
}

// Load reads every *.yaml in a tree of files as one catalogue. What is wrong
// with the files is a *release.Error with CodeInvalid whose cause is a Faults.
func Load(files fs.FS) (*Catalogue, error) {
	var names []string
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path.Ext(name) == ".yaml" {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return nil, release.E(release.CodeInvalid, "list the signal catalogue", err)
	}
	if len(names) == 0 {
		return nil, release.E(release.CodeInvalid, "the signal catalogue has no *.yaml file", nil)
	}
	l := loader{names: map[string]mark{}, orders: map[int]mark{}}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, release.E(release.CodeInvalid, "read "+name+" of the signal catalogue", err)
		}
		l.file(name, text)
	}
	c, err := l.catalogue()
	if err != nil {
		return nil, release.E(release.CodeInvalid, "signal catalogue", err)
	}
	return c, nil
}

// Dialects returns the names of the dialects in order of preference.
func (c *Catalogue) Dialects() []string {
	var out []string
	for _, d := range c.dialects {
		out = append(out, d.Name)
	}
	return out
}

// identify returns which pair of labels names the pod of a series, and the
// pod; -1 when none does.
func (c *Catalogue) identify(set map[string]string) (form int, namespace, pod string) {
	for i, f := range c.pods {
		pod := set[f.Pod]
		if pod == "" {
			continue
		}
		if ns := set[f.Namespace]; ns != "" {
			return i, ns, pod
		}
	}
	return -1, "", ""
}

// fits reports whether a series of the requests metric tells failures.
func (d *dialect) fits(set map[string]string) bool {
	return slices.ContainsFunc(d.Requests.Failure, func(r failureRule) bool { return set[r.Label] != "" })
}

func (d *dialect) failureLabels() string {
	var names []string
	for _, r := range d.Requests.Failure {
		names = append(names, r.Label)
	}
	return strings.Join(names, ", ")
}

// route is the route label of a series and its value; "" when it has none.
func (d *dialect) route(set map[string]string) (label, value string) {
	for _, label := range d.Routes {
		if v := set[label]; v != "" {
			return label, v
		}
	}
	return "", ""
}

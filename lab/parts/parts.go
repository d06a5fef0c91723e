// Package parts builds the programs the lab is made of (a Kubernetes control
// plane, Prometheus, Alertmanager, kube-state-metrics, a forge) from pinned Go
// modules, once, into a cache outside the source tree.
//
// Each folder here holds one set of requirements as part.mod and part.sum: a
// go.mod and a go.sum under another name, because go:embed leaves out folders
// that are modules of their own, and a lab binary must be able to build its
// parts wherever it is run. To change a pin, from the lab's module:
//
//	go get -modfile=parts/prometheus/part.mod -tool github.com/prometheus/prometheus/cmd/prometheus@v0.316.0
package parts

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
)

//go:embed */part.mod */part.sum gitea/sqlite3/part.mod gitea/sqlite3/sqlite3.go
var modules embed.FS

// Part is one program and how it is built.
type Part struct {
	Name     string   // name of the binary, and of the part everywhere in the lab
	Module   string   // folder of its requirements
	Path     string   // module path whose version is the part's version
	Package  string   // main package
	Version  string   // with the leading v
	Tags     string   // build tags, comma separated
	LDFlags  string   // beyond -s -w
	Assets   []string // folders of the module that the program reads at run time
	ColdSecs int      // seconds to build on two cores with an empty build cache
}

const (
	kubernetesVersion = "v1.37.2"
	// Without it `kubectl version` and Helm see a server of no version.
	kubernetesLDFlags = "-X k8s.io/component-base/version.gitVersion=" + kubernetesVersion +
		" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"
)

// all lists the parts in the order they are built: what everything else waits
// for comes first, so that a failure there shows before the long tail.
var all = []Part{
	{
		Name: "etcd", Module: "etcd", Path: "go.etcd.io/etcd/server/v3", Package: "go.etcd.io/etcd/server/v3",
		Version: "v3.7.0", ColdSecs: 22,
	},
	{
		Name: "kube-apiserver", Module: "kubernetes", Path: "k8s.io/kubernetes", Package: "k8s.io/kubernetes/cmd/kube-apiserver",
		Version: kubernetesVersion, LDFlags: kubernetesLDFlags, ColdSecs: 320,
	},
	{
		Name: "kube-controller-manager", Module: "kubernetes", Path: "k8s.io/kubernetes", Package: "k8s.io/kubernetes/cmd/kube-controller-manager",
		Version: kubernetesVersion, LDFlags: kubernetesLDFlags, ColdSecs: 70,
	},
	{
		Name: "prometheus", Module: "prometheus", Path: "github.com/prometheus/prometheus", Package: "github.com/prometheus/prometheus/cmd/prometheus",
		Version: "v0.316.0", Tags: "remove_all_sd,enable_kubernetes_sd", ColdSecs: 111,
	},
	{
		Name: "kube-state-metrics", Module: "kube-state-metrics", Path: "k8s.io/kube-state-metrics/v2", Package: "k8s.io/kube-state-metrics/v2",
		Version: "v2.13.0", ColdSecs: 55,
	},
	{
		Name: "alertmanager", Module: "alertmanager", Path: "github.com/prometheus/alertmanager", Package: "github.com/prometheus/alertmanager/cmd/alertmanager",
		Version: "v0.31.1", ColdSecs: 25,
	},
	{
		Name: "gitea", Module: "gitea", Path: "code.gitea.io/gitea", Package: "code.gitea.io/gitea",
		Version: "v1.26.2", Tags: "sqlite", ColdSecs: 144,
		Assets: []string{"templates", "options", "public"},
	},
	{
		Name: "kubectl", Module: "kubernetes", Path: "k8s.io/kubernetes", Package: "k8s.io/kubernetes/cmd/kubectl",
		Version: kubernetesVersion, LDFlags: kubernetesLDFlags, ColdSecs: 20,
	},
}

// All returns every part in build order.
func All() []Part { return slices.Clone(all) }

// Names returns the names of all parts in build order.
func Names() []string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.Name
	}
	return names
}

// Select returns the named parts in build order, each once. A name that is no
// part is an error that lists the known ones.
func Select(names ...string) ([]Part, error) {
	for _, name := range names {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("no part is called %q (known: %s)", name, strings.Join(Names(), ", "))
		}
	}
	var selected []Part
	for _, p := range all {
		if slices.Contains(names, p.Name) {
			selected = append(selected, p)
		}
	}
	return selected, nil
}

// files returns the part's requirements under the names the go command wants,
// and whatever else its folder holds (modules that replace others).
func (p Part) files(src fs.FS) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(src, p.Module, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(src, name)
		if err != nil {
			return err
		}
		switch path.Base(name) {
		case "part.mod":
			name = path.Join(path.Dir(name), "go.mod")
		case "part.sum":
			name = path.Join(path.Dir(name), "go.sum")
		}
		files[strings.TrimPrefix(name, p.Module+"/")] = data
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read requirements of part %s: %w", p.Name, err)
	}
	return files, nil
}

// hash is of everything that changes the binary, except the Go version: a
// newer Go does not make anybody compile half an hour again.
func hash(p Part, files map[string][]byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00%s\x00%s\x00%q\x00", runtime.GOOS, runtime.GOARCH, p.Package, p.Tags, p.LDFlags, p.Assets)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(h, "%s\x00%d\x00%s", name, len(files[name]), files[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

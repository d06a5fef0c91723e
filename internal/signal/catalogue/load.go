package catalogue

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Load reads every *.yaml in trees of files as one catalogue. A later tree
// extends the earlier ones: its dialects replace theirs of the same name, its
// pods and resources come before theirs, its leave_out_routes add to theirs.
// Hidden files and directories are passed over; a mounted ConfigMap keeps its
// files in some a second time. What is wrong with the files is a *release.Error
// with CodeInvalid whose cause is a Faults.
func Load(trees ...fs.FS) (*Catalogue, error) {
	l := loader{dialects: map[string]placed{}}
	for i, tree := range trees {
		names, err := filesOf(tree)
		if err != nil {
			return nil, err
		}
		l.layer, l.layerPods, l.layerResources = i, nil, nil
		for _, name := range names {
			text, err := fs.ReadFile(tree, name)
			if err != nil {
				return nil, release.E(release.CodeInvalid, "read "+name+" of the signal catalogue", err)
			}
			l.file(name, text)
		}
		l.pods = append(l.layerPods, l.pods...)
		l.resources = append(l.layerResources, l.resources...)
	}
	c, faults := l.catalogue()
	if len(faults) > 0 {
		return nil, release.E(release.CodeInvalid, "signal catalogue", faults)
	}
	return c, nil
}

func filesOf(tree fs.FS) ([]string, error) {
	var names []string
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		hidden := name != "." && strings.HasPrefix(path.Base(name), ".")
		switch {
		case err != nil:
			return err
		case hidden && d.IsDir():
			return fs.SkipDir
		case !hidden && !d.IsDir() && path.Ext(name) == ".yaml":
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, release.E(release.CodeInvalid, "list the signal catalogue", err)
	}
	if len(names) == 0 {
		return nil, release.E(release.CodeInvalid, "the signal catalogue has no *.yaml file: put one there, or name no directory", nil)
	}
	return names, nil
}

// loader puts files together and gathers what is wrong with them.
type loader struct {
	dialects  map[string]placed
	pods      []PodLabels
	resources []*Resource
	leaveOut  []string
	faults    Faults

	// Of the tree that is being read:
	layer          int
	layerPods      []PodLabels
	layerResources []*Resource

	document // that is being read
}

// placed is a dialect and where it stands.
type placed struct {
	*Dialect
	layer       int
	name, order mark
}

// fault keeps what is wrong with the value at a YAML path.
func (l *loader) fault(path, format string, args ...any) {
	l.faults = append(l.faults, l.at(path).fault(format, args...))
}

func (l *loader) file(name string, text []byte) {
	var f file
	doc, fault := parse(name, text, &f)
	if fault != nil {
		l.faults = append(l.faults, *fault)
		return
	}
	l.document = doc
	l.checkPods(f.Pods)
	l.layerPods = append(l.layerPods, f.Pods...)
	l.checkRoutes(f.LeaveOutRoutes)
	l.leaveOut = append(l.leaveOut, f.LeaveOutRoutes...)
	for i, r := range f.Resources {
		if l.checkResource(fmt.Sprintf("$.resources[%d]", i), r) {
			l.layerResources = append(l.layerResources, r)
		}
	}
	for i, d := range f.Dialects {
		at := fmt.Sprintf("$.dialects[%d]", i)
		if l.checkDialect(at, d) {
			l.add(placed{d, l.layer, l.at(at + ".name"), l.at(at + ".order")})
		}
	}
}

// add takes a dialect in; it replaces one of an earlier tree.
func (l *loader) add(p placed) {
	if before, taken := l.dialects[p.Name]; taken && before.layer == p.layer {
		l.faults = append(l.faults, p.name.fault("the dialect %s stands already at %s", p.Name, before.name))
		return
	}
	l.dialects[p.Name] = p
}

// catalogue puts together what all files said.
func (l *loader) catalogue() (*Catalogue, Faults) {
	all := make([]placed, 0, len(l.dialects))
	for _, p := range l.dialects {
		all = append(all, p)
	}
	// Faults should come in the same order every time, those of later trees after
	// those of earlier ones.
	slices.SortFunc(all, func(a, b placed) int {
		return cmp.Or(
			cmp.Compare(a.Order, b.Order), cmp.Compare(a.layer, b.layer),
			cmp.Compare(a.name.file, b.name.file), cmp.Compare(a.name.line, b.name.line), cmp.Compare(a.name.column, b.name.column))
	})
	c := &Catalogue{Pods: l.pods, Resources: l.resources}
	for i, p := range all {
		if i > 0 && p.Order == all[i-1].Order && p.Order > 0 {
			l.faults = append(l.faults, p.order.fault("order %d is taken already at %s: which dialect wins must be told", p.Order, all[i-1].order))
		}
		c.Dialects = append(c.Dialects, p.Dialect)
	}
	if len(l.faults) > 0 {
		return nil, l.faults
	}
	last := mark{file: l.name, line: 1, column: 1}
	if len(c.Dialects) == 0 {
		return nil, Faults{last.fault("no file names a dialect")}
	}
	if len(c.Pods) == 0 {
		return nil, Faults{last.fault("no file says under pods which labels name the pod")}
	}
	if len(l.leaveOut) > 0 {
		c.LeaveOutPattern = leaveOutPattern(l.leaveOut)
		re, err := regexp.Compile(`^(?s:` + c.LeaveOutPattern + `)$`)
		if err != nil {
			return nil, Faults{last.fault("leave_out_routes of all files together: %s", err)}
		}
		c.LeaveOut = re
	}
	return c, nil
}

// leaveOutPattern matches a route that any of the patterns matches; a method
// before it and slashes around it are ignored.
func leaveOutPattern(patterns []string) string {
	return `([A-Z]+ )?/?(` + strings.Join(patterns, "|") + `)/?`
}

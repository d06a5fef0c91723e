// Package patterntest measures how well logs are made into templates.
package patterntest

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/watchtower-verify/watchtower/internal/pattern"
)

// Score is how well lines were grouped.
type Score struct {
	GA  float64 // share of lines whose group holds exactly the lines of their true one
	FGA float64 // F1 of groups that equal a true one
}

// Grade compares the groups of lines with the true ones; both name the group of
// each line.
func Grade(got, want []string) Score {
	type pair struct{ got, want string }
	gots, wants, pairs := map[string]int{}, map[string]int{}, map[pair]int{}
	for i := range want {
		gots[got[i]]++
		wants[want[i]]++
		pairs[pair{got[i], want[i]}]++
	}
	lines, groups := 0, 0
	for p, n := range pairs {
		if gots[p.got] == n && wants[p.want] == n {
			groups++
			lines += n
		}
	}
	if len(want) == 0 {
		return Score{}
	}
	return Score{GA: float64(lines) / float64(len(want)), FGA: 2 * float64(groups) / float64(len(gots)+len(wants))}
}

// Mine returns the template of each line.
func Mine(lines []string, opt pattern.Options) []string {
	opt.Refs = true
	m := pattern.NewMiner(opt)
	refs := make([]pattern.Ref, 0, len(lines))
	s := pattern.NewStream(m, pattern.StreamOptions{OnEvent: func(n uint64, ref pattern.Ref, _ bool) {
		for range n {
			refs = append(refs, ref)
		}
	}})
	for _, line := range lines {
		s.Line([]byte(line))
	}
	s.Close()
	m.Patterns()
	out := make([]string, len(refs))
	for i, ref := range refs {
		out[i] = m.PatternOf(ref).ID
	}
	return out
}

// Set is one data set of loghub.
type Set struct {
	Name      string
	Tuned     bool               // looked at while the rules were made; the others were not
	Published map[string]float64 // GA of other parsers on Content
	Raw       []string           // lines as they were written
	Content   []string           // lines without the header
	Truth     []string           // the event of each line
}

// Parsers are those whose figures are published, in the order of their mean.
var Parsers = []string{"Drain", "Spell", "AEL", "IPLoM", "Brain"}

// ErrAbsent says that the data sets are not there; they may not be distributed
// with the project.
var ErrAbsent = errors.New("the loghub data sets are absent: docs/patterns.md says where they come from")

// sets and the grouping accuracy of Drain, Spell, AEL, IPLoM and Brain on them, as
// published for loghub_2k.
var sets = []struct {
	name   string
	tuned  bool
	others [5]float64
}{
	{"Android", true, [5]float64{.911, .918, .681, .712, .961}},
	{"HPC", true, [5]float64{.887, .654, .903, .829, .945}},
	{"Linux", true, [5]float64{.690, .605, .672, .671, .996}},
	{"Spark", true, [5]float64{.920, .905, .905, .920, .998}},
	{"Apache", false, [5]float64{1, 1, 1, 1, 1}},
	{"HealthApp", false, [5]float64{.780, .639, .568, .822, 1}},
	{"OpenSSH", false, [5]float64{.787, .554, .538, .540, 1}},
	{"Windows", false, [5]float64{.997, .989, .690, .567, .997}},
}

// Loghub reads the data sets from dir; ErrAbsent where they are not there.
func Loghub(dir string) ([]Set, error) {
	var out []Set
	for _, s := range sets {
		set, err := load(dir, s.name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrAbsent
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", s.name, err)
		}
		set.Tuned, set.Published = s.tuned, map[string]float64{}
		for i, parser := range Parsers {
			set.Published[parser] = s.others[i]
		}
		out = append(out, set)
	}
	return out, nil
}

func load(dir, name string) (Set, error) {
	set := Set{Name: name}
	raw, err := os.ReadFile(filepath.Join(dir, name, name+"_2k.log"))
	if err != nil {
		return set, err
	}
	set.Raw = strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	f, err := os.Open(filepath.Join(dir, name, name+"_2k.log_structured_corrected.csv"))
	if err != nil {
		return set, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return set, err
	}
	content, event := column(rows[0], "Content"), column(rows[0], "EventId")
	if content < 0 || event < 0 || len(rows)-1 != len(set.Raw) {
		return set, fmt.Errorf("%d lines and %d rows of truth, or no Content and EventId", len(set.Raw), len(rows)-1)
	}
	for _, row := range rows[1:] {
		set.Content = append(set.Content, row[content])
		set.Truth = append(set.Truth, row[event])
	}
	return set, nil
}

func column(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}

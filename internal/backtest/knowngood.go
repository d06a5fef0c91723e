package backtest

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// ReadKnownGood reads a list of releases that were good, one namespace/replicaset
// a line. Empty lines and what follows a # are left out.
func ReadKnownGood(file string, r io.Reader) ([]string, error) {
	var out []string
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		name := strings.TrimSpace(text)
		if name == "" {
			continue
		}
		namespace, set, ok := strings.Cut(name, "/")
		if !ok || namespace == "" || set == "" || strings.ContainsAny(name, " \t,") || strings.Contains(set, "/") {
			return nil, fmt.Errorf("%s, line %d: %q is not a release: write namespace/replicaset", file, n, name)
		}
		out = append(out, name)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return out, nil
}

// Judge holds the releases that are known to be good against the report.
func (r *Report) Judge(good []string) {
	k := &KnownGood{}
	verdicts := map[string]release.VerdictKind{}
	for _, rel := range r.Releases {
		verdicts[rel.key()] = rel.Verdict
	}
	slices.Sort(good)
	for _, name := range slices.Compact(good) {
		v, ok := verdicts[name]
		switch {
		case !ok:
			k.Unknown = append(k.Unknown, name)
			continue
		case v == release.Regressed:
			k.Regressed++
		}
		k.Releases++
	}
	if k.Releases > 0 {
		k.Rate = float64(k.Regressed) / float64(k.Releases)
	}
	k.Low, k.High = Exact(k.Regressed, k.Releases)
	r.Summary.KnownGood = k
}

// Exact is the exact 95 % interval of a proportion of which x of n were seen:
// Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the
// case of the binomial", Biometrika 26 (1934).
func Exact(x, n int) (low, high float64) {
	const tail = 0.025
	low, high = 0, 1
	if x > 0 {
		low = distuv.Beta{Alpha: float64(x), Beta: float64(n - x + 1)}.Quantile(tail)
	}
	if x < n {
		high = distuv.Beta{Alpha: float64(x + 1), Beta: float64(n - x)}.Quantile(1 - tail)
	}
	return low, high
}

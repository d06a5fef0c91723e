// Command patterns measures how well and how fast log lines are made into
// templates: grouping accuracy on eight sets of loghub beside the published
// figures of other parsers, on a corpus of the project's own, speed on one core,
// allocations, memory, and what redaction finds and touches.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/watchtower-verify/watchtower/internal/pattern"
	"github.com/watchtower-verify/watchtower/internal/pattern/patterntest"
	"github.com/watchtower-verify/watchtower/internal/pattern/redact"
)

func main() {
	dir := flag.String("loghub", "../shared/data/loghub", "directory of the loghub sets")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "patterns:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	sets, err := patterntest.Loghub(dir)
	switch {
	case errors.Is(err, patterntest.ErrAbsent):
		fmt.Printf("skipped: %v (looked in %s)\n", err, dir)
	case err != nil:
		return err
	default:
		accuracy(sets)
	}
	corpus()
	redaction(sets)
	speed(sets)
	return nil
}

func options() pattern.Options {
	return pattern.Options{Redact: redact.New(redact.Options{}).Bytes}
}

// accuracy prints a row for each set, and the means of both halves.
func accuracy(sets []patterntest.Set) {
	fmt.Println("Grouping accuracy (GA) and F1 of it (FGA) on loghub_2k, one configuration for all; Drain to Brain: published GA on Content.")
	fmt.Printf("%-22s %9s %9s %9s %9s", "", "GA", "FGA", "GA raw", "FGA raw")
	for _, p := range patterntest.Parsers {
		fmt.Printf(" %7s", p)
	}
	fmt.Println()
	var all, tuned, held mean
	for _, s := range sets {
		content := patterntest.Grade(patterntest.Mine(s.Content, options()), s.Truth)
		raw := patterntest.Grade(patterntest.Mine(s.Raw, options()), s.Truth)
		row := row{content, raw, s.Published}
		half := "held out"
		if s.Tuned {
			half = "tuned on"
			tuned.add(row)
		} else {
			held.add(row)
		}
		all.add(row)
		row.print(fmt.Sprintf("%-10s %s", s.Name, half))
	}
	tuned.row().print("mean, tuned on")
	held.row().print("mean, held out")
	all.row().print("mean of all")
	fmt.Println()
}

// row is the scores of one set, or the mean of several.
type row struct {
	content, raw patterntest.Score
	published    map[string]float64
}

func (r row) print(name string) {
	fmt.Printf("%-22s %9.3f %9.3f %9.3f %9.3f", name, r.content.GA, r.content.FGA, r.raw.GA, r.raw.FGA)
	for _, p := range patterntest.Parsers {
		fmt.Printf(" %7.3f", r.published[p])
	}
	fmt.Println()
}

type mean struct{ rows []row }

func (m *mean) add(r row) { m.rows = append(m.rows, r) }

func (m *mean) row() row {
	out := row{published: map[string]float64{}}
	n := float64(len(m.rows))
	for _, r := range m.rows {
		out.content.GA += r.content.GA / n
		out.content.FGA += r.content.FGA / n
		out.raw.GA += r.raw.GA / n
		out.raw.FGA += r.raw.FGA / n
		for p, ga := range r.published {
			out.published[p] += ga / n
		}
	}
	return out
}

// corpus prints how the project's own logs are grouped, headers and traces
// included.
func corpus() {
	fmt.Println("The project's own corpus, as the libraries write it:")
	var total patterntest.Score
	logs := patterntest.Corpus(1, 600)
	for _, log := range logs {
		s := patterntest.Grade(patterntest.Mine(log.Lines, options()), log.Truth)
		fmt.Printf("  %-16s GA %.3f  FGA %.3f\n", log.Name, s.GA, s.FGA)
		total.GA += s.GA / float64(len(logs))
		total.FGA += s.FGA / float64(len(logs))
	}
	fmt.Printf("  %-16s GA %.3f  FGA %.3f\n\n", "mean", total.GA, total.FGA)
}

// redaction prints how many planted secrets are gone, and how many ordinary lines
// are touched.
func redaction(sets []patterntest.Set) {
	r := redact.New(redact.Options{})
	planted := patterntest.Planted(1, 5000)
	left := 0
	for _, p := range planted {
		if p.In(r.Bytes([]byte(p.Line))) {
			left++
		}
	}
	fmt.Printf("Redaction: %d secrets planted in ordinary lines, %d left.\n", len(planted), left)
	touched, lines := 0, 0
	count := func(all []string) {
		for _, line := range all {
			lines++
			if string(r.Bytes([]byte(line))) != line {
				touched++
			}
		}
	}
	for _, s := range sets {
		count(s.Raw)
	}
	for _, log := range patterntest.Corpus(1, 600) {
		count(log.Lines)
	}
	fmt.Printf("Ordinary lines touched: %d of %d (%.2f %%).\n\n", touched, lines, 100*float64(touched)/float64(lines))
}

package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/watchtower-verify/watchtower/bench/rivals"
	"github.com/watchtower-verify/watchtower/internal/backtest"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// print prints the tables.
func print(all []outcome) {
	sound := filter(all, func(o outcome) bool { return !o.Regressed })
	bad := filter(all, func(o outcome) bool { return o.Regressed })
	printSound(sound)
	printRegressed(bad)
	printTraffic(filter(bad, func(o outcome) bool { return o.Kind == "errors" && o.Bound > 0 }))
	printTotals(sound, bad)
	if len(all) > 0 && all[0].rivals != nil {
		printRivals(sound, bad)
	}
}

// printRivals prints the same of others on the same rollouts.
func printRivals(sound, bad []outcome) {
	judged := filter(sound, func(o outcome) bool { return !o.Ambiguous })
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Println("\nBeside others, on the same rollouts")
	fmt.Fprintln(t, "\tsound ones rejected\tfailures found\tlatencies found\tstates and silence\tmedian delay")
	row := func(name string, rejected func(outcome) bool, delay func(outcome) float64) {
		part := func(of []outcome) string { return share100(len(filter(of, rejected)), len(of)) }
		kind := func(names ...string) []outcome {
			return filter(bad, func(o outcome) bool {
				return slices.Contains(names, o.Kind) && (o.Bound == 0 || 1.5*o.Bound <= observe.Seconds())
			})
		}
		var delays []float64
		for _, o := range filter(bad, rejected) {
			delays = append(delays, delay(o))
		}
		latencies := filter(kind("latency"), func(o outcome) bool { return o.Bound > 0 })
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", name, part(judged), part(kind("errors")), part(latencies), part(kind("state", "silence")), seconds(quantile(delays, 0.5)))
	}
	row("Watchtower", func(o outcome) bool { return o.said == release.Regressed }, func(o outcome) float64 { return o.after.Seconds() })
	for i, r := range rivals.All() {
		row(r.Name, func(o outcome) bool { return o.rivals[i] >= 0 }, func(o outcome) float64 { return 60 * float64(o.rivals[i]) })
	}
	_ = t.Flush()
	for _, r := range rivals.All() {
		fmt.Printf("  %s: %s\n", r.Name, r.Says)
	}
}

func filter(all []outcome, keep func(outcome) bool) []outcome {
	return slices.DeleteFunc(slices.Clone(all), func(o outcome) bool { return !keep(o) })
}

func families(all []outcome) []string {
	var out []string
	for _, o := range all {
		if !slices.Contains(out, o.Family) {
			out = append(out, o.Family)
		}
	}
	slices.Sort(out)
	return out
}

func count(all []outcome, kind release.VerdictKind) int {
	return len(filter(all, func(o outcome) bool { return o.said == kind }))
}

func printSound(all []outcome) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Println("\nSound releases")
	fmt.Fprintln(t, "family\treleases\tregressed\thealthy\ttoo little\tno source\thealthy after, median\t")
	for _, f := range families(all) {
		of := filter(all, func(o outcome) bool { return o.Family == f })
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t\n", f, len(of), count(of, release.Regressed), count(of, release.Healthy),
			count(of, release.InsufficientData), count(of, release.SourceBroken), seconds(quantile(delays(of, release.Healthy), 0.5)))
	}
	_ = t.Flush()
}

func printRegressed(all []outcome) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Println("\nRegressions")
	fmt.Fprintln(t, "family\treleases\tfound\thealthy\ttoo little\tbound in time ×3\tfound\tbest test\tmedian delay\tp90\tmedian delay/bound\t")
	for _, f := range families(all) {
		of := filter(all, func(o outcome) bool { return o.Family == f })
		due := within(of, 3)
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t%s\t%s\t%s\t\n", f, len(of), count(of, release.Regressed), count(of, release.Healthy),
			count(of, release.InsufficientData), len(due), count(due, release.Regressed), reachable(due)*float64(len(due)),
			seconds(quantile(delays(of, release.Regressed), 0.5)), seconds(quantile(delays(of, release.Regressed), 0.9)), ratio(quantile(overBound(of), 0.5)))
	}
	_ = t.Flush()
}

// printTraffic splits failures by effect and traffic: found of those with the bound
// in time by a factor of 1.5.
func printTraffic(all []outcome) {
	var effects []string
	var rates []float64
	for _, o := range all {
		if !slices.Contains(effects, o.Effect) {
			effects = append(effects, o.Effect)
		}
		if !slices.Contains(rates, o.Requests) {
			rates = append(rates, o.Requests)
		}
	}
	if len(all) == 0 {
		return
	}
	slices.Sort(effects)
	slices.Sort(rates)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Println("\nFailures found, of those whose bound lies within the observation by a factor of 1.5")
	fmt.Fprint(t, "effect\t")
	for _, r := range rates {
		fmt.Fprintf(t, "%g/s\t", r)
	}
	fmt.Fprintln(t)
	for _, e := range effects {
		fmt.Fprintf(t, "%s\t", e)
		for _, r := range rates {
			of := within(filter(all, func(o outcome) bool { return o.Effect == e && o.Requests == r }), 1.5)
			fmt.Fprintf(t, "%d/%d\t", count(of, release.Regressed), len(of))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}

func printTotals(sound, bad []outcome) {
	fmt.Println("\nIn all")
	judged := filter(sound, func(o outcome) bool { return !o.Ambiguous })
	wrong := count(judged, release.Regressed)
	low, high := backtest.Exact(wrong, len(judged))
	fmt.Printf("  false rollbacks: %d of %d, %.3f %% (exact 95 %% interval %.3f %% to %.3f %%), ambiguous ones apart\n",
		wrong, len(judged), 100*float64(wrong)/math.Max(1, float64(len(judged))), 100*low, 100*high)
	for _, factor := range []float64{3, 1.5} {
		due := within(bad, factor)
		fmt.Printf("  recall with the bound in time by a factor of %g: %s; the best of all tests: %.1f %%\n",
			factor, share100(count(due, release.Regressed), len(due)), 100*reachable(due))
	}
	states := filter(bad, func(o outcome) bool { return o.Kind == "state" || o.Kind == "silence" })
	fmt.Printf("  recall of states and silence: %s\n", share100(count(states, release.Regressed), len(states)))
	for _, kind := range []string{"errors", "latency"} {
		over := overBound(filter(bad, func(o outcome) bool { return o.Kind == kind }))
		fmt.Printf("  delay less one scrape and one tick, over the bound, of %s: median %s, p90 %s\n", kind, ratio(quantile(over, 0.5)), ratio(quantile(over, 0.9)))
	}
	all := append(slices.Clone(sound), bad...)
	fmt.Printf("  too little data: %s\n", share100(count(all, release.InsufficientData), len(all)))
	pairs := filter(sound, func(o outcome) bool { return o.Family == "overlap-pair" })
	fmt.Printf("  of overlapping pairs, the caller not blamed: %s; the culprit named: %s\n",
		share100(len(pairs)-count(pairs, release.Regressed), len(pairs)),
		share100(len(filter(pairs, func(o outcome) bool { return o.by == o.AffectedBy })), len(pairs)))
}

// reachable is what the best of all tests would find, a share.
func reachable(all []outcome) float64 {
	sum := 0.0
	for _, o := range all {
		sum += o.Power
	}
	return sum / math.Max(1, float64(len(all)))
}

func share100(n, of int) string {
	if of == 0 {
		return "none"
	}
	return fmt.Sprintf("%d of %d, %.1f %%", n, of, 100*float64(n)/float64(of))
}

// within are those whose bound lies inside the observation by a factor.
func within(all []outcome, factor float64) []outcome {
	return filter(all, func(o outcome) bool { return o.Bound > 0 && factor*o.Bound <= observe.Seconds() })
}

func delays(all []outcome, kind release.VerdictKind) []float64 {
	var out []float64
	for _, o := range all {
		if o.said == kind {
			out = append(out, o.after.Seconds())
		}
	}
	return out
}

// overBound are the delays, less one scrape and one tick, over the bounds. A
// regression that was due and not found took for ever.
func overBound(all []outcome) []float64 {
	var out []float64
	for _, o := range within(all, 1.5) {
		if o.said != release.Regressed {
			out = append(out, math.Inf(1))
			continue
		}
		out = append(out, math.Max(0, (o.after-tick-o.scrape).Seconds())/o.Bound)
	}
	return out
}

func quantile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	return values[min(int(p*float64(len(values))), len(values)-1)]
}

func seconds(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.0f s", v)
}

func ratio(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.1f", v)
}

package release

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// ExplainSignals tells a person what is measured of a workload, as plain text for
// a terminal: first whether anything is, then each signal with its values and
// where they come from, then what is not measured and why, and what to change.
func ExplainSignals(r SignalReport) string {
	var b strings.Builder
	b.WriteString(signalsHeadline(r) + "\n")
	fmt.Fprintf(&b, "%s\n", armsSentence(r))
	measuredSignals(&b, r)
	unmeasuredSignals(&b, r)
	if len(r.Notes) > 0 {
		b.WriteString("\nNotes\n")
		for _, n := range r.Notes {
			b.WriteString("  " + OneLine(n, 1000) + "\n")
		}
	}
	signalQueries(&b, r)
	return b.String()
}

// signalsHeadline says whether requests, on which a verdict stands, are counted.
func signalsHeadline(r SignalReport) string {
	name := OneLine(r.Workload.String(), 200)
	var requests, callers, some bool
	for _, s := range r.Signals {
		some = some || s.Measured
		if s.Measured && s.Signal == SignalErrorRatio {
			requests, callers = requests || s.SeenBy != SeenByCallers, callers || s.SeenBy == SeenByCallers
		}
	}
	switch {
	case requests && callers:
		return name + ": its requests are counted, by its pods and by its callers."
	case requests:
		return name + ": its requests are counted by its pods."
	case callers:
		return name + ": its requests are counted by its callers only."
	case some:
		return name + ": its requests are not counted, so no release of it can be found healthy; what else is measured can only convict."
	}
	return name + ": nothing can be measured but the states of its pods."
}

func armsSentence(r SignalReport) string {
	span := fmt.Sprintf("From %s to %s", clock(r.From), r.To.UTC().Format("15:04:05")+" UTC")
	if r.Release == "" {
		return span + ", all pods of the workload."
	}
	if r.Stable == "" {
		return span + ", the pods of " + OneLine(r.Release, 100) + "; it replaces none."
	}
	return span + ", the pods of " + OneLine(r.Release, 100) + " (release) and of " + OneLine(r.Stable, 100) + " (stable)."
}

func measuredSignals(b *strings.Builder, r SignalReport) {
	if !slices.ContainsFunc(r.Signals, func(s SignalStatus) bool { return s.Measured }) {
		return
	}
	b.WriteString("\nMeasured\n")
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, s := range r.Signals {
		if !s.Measured {
			continue
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", s.name(), s.values(), s.origin())
		for _, a := range s.Arms {
			for _, route := range a.Routes {
				fmt.Fprintf(t, "  \t  %s %s: %s of %s\t\n", a.Arm, routeName(route.Route), Integer(route.Count.Bad), Integer(route.Count.Total))
			}
		}
	}
	_ = t.Flush() // to memory
}

func routeName(route string) string {
	if route == "" {
		return "(other routes)"
	}
	return OneLine(route, 60)
}

// name is the signal's, with whose count it is where that is not the pods' own.
func (s SignalStatus) name() string { return Evidence{Signal: s.Signal, SeenBy: s.SeenBy}.Name() }

// values are those of the arms: "release 4.9 % (31 of 634, 2 pods), stable …".
func (s SignalStatus) values() string {
	var out []string
	for _, a := range s.Arms {
		text := string(a.Arm) + " nothing yet"
		if a.Value != nil {
			text = string(a.Arm) + " " + Value(*a.Value, s.Unit)
		}
		var more []string
		if a.Count != nil && a.Count.Total > 0 {
			if s.Unit == UnitRatio {
				more = append(more, Integer(a.Count.Bad)+" of "+Integer(a.Count.Total))
			} else {
				more = append(more, Integer(a.Count.Total)+" requests")
			}
		}
		if a.Pods > 0 {
			more = append(more, Plural(a.Pods, "pod"))
		}
		if len(more) > 0 {
			text += " (" + strings.Join(more, ", ") + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// Plural counts things in words: 1 pod, 2 pods.
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// origin is where a signal comes from.
func (s SignalStatus) origin() string {
	if s.Dialect == "" || strings.Contains(s.Why, s.Dialect) {
		return OneLine(s.Why, 300)
	}
	return OneLine(s.Dialect, 60) + ": " + OneLine(s.Why, 300)
}

func unmeasuredSignals(b *strings.Builder, r SignalReport) {
	if !slices.ContainsFunc(r.Signals, func(s SignalStatus) bool { return !s.Measured }) {
		return
	}
	b.WriteString("\nNot measured\n")
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, s := range r.Signals {
		if !s.Measured {
			fmt.Fprintf(t, "  %s\t%s\n", s.name(), OneLine(s.Why, 400))
		}
	}
	_ = t.Flush() // to memory
}

func signalQueries(b *strings.Builder, r SignalReport) {
	var seen []string
	for _, s := range r.Signals {
		for _, q := range s.Queries {
			if !slices.Contains(seen, q.Expr) {
				seen = append(seen, q.Expr)
			}
		}
	}
	if len(seen) == 0 {
		return
	}
	b.WriteString("\nSeries\n")
	for _, expr := range seen {
		b.WriteString("  " + OneLine(expr, 4000) + "\n")
	}
}

package doctor

import (
	"fmt"
	"strings"
)

// Text is the report for people: what is wrong first, then what is well.
func Text(r Report) string {
	var b strings.Builder
	counts := map[Status]int{}
	for _, f := range r.Findings {
		counts[f.Status]++
	}
	for _, s := range []Status{Failed, Warning, Skipped, OK} {
		for _, f := range r.Findings {
			if f.Status != s {
				continue
			}
			fmt.Fprintf(&b, "%-8s %s: %s\n", s, f.Check, f.Message)
			if f.Mend != "" {
				fmt.Fprintf(&b, "         %s\n", f.Mend)
			}
		}
	}
	fmt.Fprintf(&b, "\n%d failed, %d warnings, %d ok", counts[Failed], counts[Warning], counts[OK])
	if n := counts[Skipped]; n > 0 {
		fmt.Fprintf(&b, ", %d not tried", n)
	}
	fmt.Fprintf(&b, "; looked at %s by version %s.\n", r.At.UTC().Format("2006-01-02 15:04:05 UTC"), r.Version)
	return b.String()
}

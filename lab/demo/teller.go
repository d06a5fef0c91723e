package demo

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/lab/service"
	"github.com/watchtower-verify/watchtower/lab/stack"
)

// teller prints the story with the time since it began.
type teller struct {
	out   io.Writer
	start time.Time
}

func newTeller(out io.Writer) *teller { return &teller{out: out, start: time.Now()} }

func (t *teller) begin() { t.start = time.Now() }

func (t *teller) line(format string, args ...any) {
	fmt.Fprintf(t.out, "         %s\n", fmt.Sprintf(format, args...))
}

func (t *teller) title(s string) { fmt.Fprintf(t.out, "\n%s\n", s) }

func (t *teller) step(format string, args ...any) {
	d := time.Since(t.start)
	fmt.Fprintf(t.out, "%4d:%04.1f  %s\n", int(d.Minutes()), math.Mod(d.Seconds(), 60), fmt.Sprintf(format, args...))
}

// evidence prints the numbers a verdict rests on.
func (t *teller) evidence(list []service.Evidence) {
	for _, e := range list {
		if e.EValue == nil {
			t.line("%-12s %s", e.Signal, e.Reason)
			continue
		}
		t.line("%-12s %s → %s against the %s arm (%d of %d requests bad, before %d of %d), e-value %.3g",
			e.Signal, value(e.BaselineValue, e.Unit), value(e.ReleaseValue, e.Unit), e.Baseline,
			e.Release.Bad, e.Release.Total, e.Stable.Bad, e.Stable.Total, *e.EValue)
	}
}

func value(x float64, unit string) string {
	switch unit {
	case "ratio":
		return fmt.Sprintf("%.2f %%", 100*x)
	case "seconds":
		return fmt.Sprintf("%.0f ms", 1000*x)
	default:
		return fmt.Sprintf("%.3g", x)
	}
}

func (t *teller) issue(i forgeIssue) {
	t.line("┌─ %s", i.Title)
	for line := range strings.Lines(i.Body) {
		t.line("│ %s", strings.TrimRight(line, "\n"))
	}
	t.line("└─")
}

func (t *teller) figures(f figures) {
	t.title("Figures of this run")
	for _, r := range f.rows() {
		mark := "reached"
		if !r.ok {
			mark = "MISSED"
		}
		t.line("%-52s %10s   %s (at most %s)", r.what, r.got, mark, r.limit)
	}
}

func (t *teller) addresses(info stack.Info, s *service.Service, binary string) {
	t.title("To look at")
	t.line("Watchtower     %s", s.URL)
	t.line("Prometheus     %s", info.PrometheusURL)
	t.line("Alertmanager   %s", info.AlertmanagerURL)
	t.line("Gitea          %s  (user %s, password in %s)", info.ForgeURL, info.ForgeUser, info.ForgePasswordFile)
	t.line("kubectl        bin/lab kubectl --state %s -- get pods -n %s", info.StateDir, namespace)
	t.line("in words       %s explain %s/%s --server %s", binary, namespace, workload, s.URL)
	t.line("your own image bin/lab images add mycompany/yours:1 --state %s --command ./yours", info.StateDir)
}

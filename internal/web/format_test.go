package web

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestFormatValue(t *testing.T) {
	tests := map[string]struct {
		v    float64
		unit release.Unit
		want string
	}{
		"a ratio is a percentage":         {0.0512345, release.UnitRatio, "5.1 %"},
		"a small ratio keeps its digits":  {0.00071, release.UnitRatio, "0.07 %"},
		"no failures":                     {0, release.UnitRatio, "0 %"},
		"a whole percentage has no zeros": {0.5, release.UnitRatio, "50 %"},
		"microseconds":                    {0.00045, release.UnitSeconds, "450 µs"},
		"milliseconds":                    {0.08931, release.UnitSeconds, "89.3 ms"},
		"seconds":                         {12.345, release.UnitSeconds, "12.3 s"},
		"a count":                         {12345, release.UnitCount, "12,345"},
		"not a number is no value":        {math.NaN(), release.UnitRatio, none},
		"an infinite value is none":       {math.Inf(1), release.UnitSeconds, none},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := strings.ReplaceAll(formatValue(tt.v, tt.unit), nbsp, " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFormatEffect(t *testing.T) {
	tests := map[string]struct {
		e    *release.Effect
		want string
	}{
		"with its interval":             {&release.Effect{Ratio: 43.9, Low: 12.6, High: 161}, "× 44 (13 to 161)"},
		"bounded from below only":       {&release.Effect{Ratio: math.MaxFloat64, Low: 12.6, High: math.MaxFloat64}, "× 13 or more"},
		"not to be had":                 {nil, none},
		"not a number is not to be had": {&release.Effect{Ratio: math.NaN()}, none},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := formatEffect(tt.e); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFormatAgo(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 15, 45, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "now", 47 * time.Second: "47 s ago", 119 * time.Second: "1 min ago", 26 * time.Hour: "26 h ago", 50 * time.Hour: "2 d ago", -90 * time.Second: "in 1 min 30 s",
	} {
		if got := formatAgo(now, now.Add(-d)); got != want {
			t.Errorf("%s before is written %q, want %q", d, got, want)
		}
	}
	if got := formatAgo(now, time.Time{}); got != "" {
		t.Errorf("no time is written %q", got)
	}
}

func TestPrometheusLink(t *testing.T) {
	to := time.Date(2026, 3, 2, 10, 15, 45, 0, time.UTC)
	q := func(source, expr string) release.Query {
		return release.Query{Source: source, Expr: expr, From: to.Add(-5 * time.Minute), To: to}
	}
	tests := map[string]struct {
		base string
		q    release.Query
		want string
	}{
		"a range selector is a table at its end": {"http://p:9090", q("prometheus", "up[1m]"), "http://p:9090/graph?g0.expr=up%5B1m%5D&g0.moment_input=2026-03-02+10%3A15%3A45&g0.tab=1"},
		"anything else is a graph of its range":  {"http://p:9090/", q("prometheus", "up"), "http://p:9090/graph?g0.end_input=2026-03-02+10%3A15%3A45&g0.expr=up&g0.range_input=300s&g0.tab=0"},
		"no Prometheus is known":                 {"", q("prometheus", "up"), ""},
		"the base is no web address":             {"javascript:alert(1)//", q("prometheus", "up"), ""},
		"another source":                         {"http://p:9090", q("loki", "{}"), ""},
		"too long for a link":                    {"http://p:9090", q("prometheus", strings.Repeat("x", 5000)), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := prometheusLink(tt.base, tt.q); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestOnlyWebAddressesAreLinked(t *testing.T) {
	for u, want := range map[string]string{
		"https://git.example.com/a/b": "https://git.example.com/a/b",
		"http://x/":                   "http://x/",
		"javascript:alert(1)":         "", "data:text/html,x": "", "//evil.example": "", "ftp://x/y": "", "/relative": "", "": "", "http://": "", "%zz": "",
	} {
		if got := outsideLink(u); got != want {
			t.Errorf("%q is linked as %q, want %q", u, got, want)
		}
	}
}

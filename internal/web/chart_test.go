package web

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

var began = time.Date(2026, 3, 2, 10, 15, 0, 0, time.UTC)

func value(v float64) *float64 { return &v }

func curve(values ...*float64) []release.Point {
	var out []release.Point
	for i, v := range values {
		out = append(out, release.Point{At: began.Add(time.Duration(i) * 10 * time.Second), ReleaseValue: v, EValue: 1})
	}
	return out
}

func draw(points []release.Point, unit release.Unit, decided *time.Time) panel {
	ps := panels(release.Release{StartedAt: began}, release.Verdict{
		Kind: release.Regressed, DecidedAt: decided, Threshold: 1000,
		Evidence: []release.Evidence{{Signal: release.SignalErrorRatio, Baseline: release.ArmStable, Unit: unit, Curve: points}},
	})
	return ps[0]
}

func TestACurveBreaksWhereThereIsNoValue(t *testing.T) {
	p := draw(curve(value(0.1), value(0.2), nil, value(0.3), nil, value(0.1), value(0.1)), release.UnitRatio, nil)
	l := p.Values.Lines[1]
	if l.Class != "release" {
		t.Fatalf("the second line is %s: the release is drawn over its baseline", l.Class)
	}
	if got := strings.Count(l.Path, "M"); got != 2 {
		t.Errorf("path %q has %d pieces, want 2", l.Path, got)
	}
	if len(l.Dots) != 1 {
		t.Errorf("%d dots, want one for the value that stands alone", len(l.Dots))
	}
	if b := p.Values.Lines[0]; b.Path != "" || len(b.Dots) != 0 {
		t.Errorf("a baseline without values is drawn: %+v", b)
	}
}

func TestAxes(t *testing.T) {
	tests := map[string]struct {
		unit  release.Unit
		top   float64
		title string
		marks []string
	}{
		"ratios are percentages":               {release.UnitRatio, 0.043, "Error ratio, %", []string{"0", "2", "4", "6"}},
		"no failures at all still has a scale": {release.UnitRatio, 0, "Error ratio, %", []string{"0", "0.25", "0.5", "0.75", "1"}},
		"every request failing ends at 100":    {release.UnitRatio, 1, "Error ratio, %", []string{"0", "25", "50", "75", "100"}},
		"short latencies are milliseconds":     {release.UnitSeconds, 0.18, "Error ratio, ms", []string{"0", "50", "100", "150", "200"}},
		"long latencies are seconds":           {release.UnitSeconds, 3, "Error ratio, s", []string{"0", "1", "2", "3"}},
		"counts have no unit":                  {release.UnitCount, 7, "Error ratio", []string{"0", "2", "4", "6", "8"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := draw(curve(value(0), value(tt.top)), tt.unit, nil).Values
			var got []string
			for _, m := range c.YMarks {
				got = append(got, m.Label)
			}
			if diff := cmp.Diff(tt.marks, got); diff != "" {
				t.Errorf("marks (-want +got):\n%s", diff)
			}
			if c.AxisTitle != tt.title {
				t.Errorf("axis title %q, want %q", c.AxisTitle, tt.title)
			}
		})
	}
}

func TestTheEValueAxisHoldsTheThresholdAndTheCurve(t *testing.T) {
	points := curve(value(0), value(0), value(0))
	points[1].EValue, points[2].EValue = 0, math.Inf(1) // ruled out, and overflowed
	c := draw(points, release.UnitRatio, nil).EValues
	if c.Threshold == nil || c.Threshold.At <= plotTop || c.Threshold.At >= plotBottom {
		t.Fatalf("threshold %+v is not within the plot", c.Threshold)
	}
	if strings.Count(c.Lines[0].Path, "L") != 2 {
		t.Errorf("the curve %q leaves out a value", c.Lines[0].Path)
	}
}

func TestNamesOfMomentsDoNotTouch(t *testing.T) {
	for _, after := range []time.Duration{time.Second, 20 * time.Second, time.Minute, 5 * time.Minute, 9 * time.Minute} {
		decided := began.Add(after)
		p := draw([]release.Point{{At: began}, {At: began.Add(9 * time.Minute)}}, release.UnitRatio, &decided)
		v := p.Values.Verticals
		if len(v) != 2 || v[0].Label != "rollout" || v[1].Label != "regressed" {
			t.Fatalf("moments %+v", v)
		}
		from := func(x vertical) float64 {
			if x.Anchor == "end" {
				return x.LabelX - labelWidth
			}
			return x.LabelX
		}
		overlap := math.Abs(from(v[0])-from(v[1])) < labelWidth
		if overlap && v[0].LabelY == v[1].LabelY {
			t.Errorf("decided after %s: the names touch: %+v", after, v)
		}
		for _, x := range v {
			if from(x) < 0 || from(x)+labelWidth > chartWidth {
				t.Errorf("decided after %s: %q leaves the drawing: %+v", after, x.Label, x)
			}
		}
	}
}

var number = regexp.MustCompile(`-?[0-9.]+(e[+-]?[0-9]+)?|NaN|Inf`)

// Whatever was measured, everything drawn lies within the plot.
func TestEverythingIsDrawnWithinThePlot(t *testing.T) {
	any := rapid.OneOf(rapid.Float64Range(0, 1), rapid.Float64Range(0, 1e6), rapid.SampledFrom([]float64{0, 1e-300, math.Inf(1), math.NaN()}))
	rapid.Check(t, func(t *rapid.T) {
		var points []release.Point
		for i := range rapid.IntRange(1, 30).Draw(t, "points") {
			p := release.Point{At: began.Add(time.Duration(i) * 5 * time.Second), EValue: any.Draw(t, "e-value")}
			if rapid.Bool().Draw(t, "release has a value") {
				p.ReleaseValue = value(any.Draw(t, "release"))
			}
			if rapid.Bool().Draw(t, "baseline has a value") {
				p.BaselineValue = value(any.Draw(t, "baseline"))
			}
			points = append(points, p)
		}
		unit := rapid.SampledFrom([]release.Unit{release.UnitRatio, release.UnitSeconds, release.UnitCount}).Draw(t, "unit")
		decided := began.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "decided")) * time.Second)
		p := draw(points, unit, &decided)
		for _, c := range []chart{p.Values, p.EValues} {
			for _, l := range c.Lines {
				for i, text := range number.FindAllString(l.Path, -1) {
					v, err := strconv.ParseFloat(text, 64)
					lo, hi := float64(plotLeft), float64(plotRight)
					if i%2 == 1 {
						lo, hi = plotTop, plotBottom
					}
					if err != nil || !(v >= lo && v <= hi) {
						t.Fatalf("%s: %q leaves the plot in %q", c.Title, text, l.Path)
					}
				}
			}
			if n := len(c.YMarks); n < 2 || n > 7 {
				t.Fatalf("%s: %d marks on the vertical axis", c.Title, n)
			}
			if n := len(c.XMarks); n < 1 || n > 5 {
				t.Fatalf("%s: %d marks on the time axis", c.Title, n)
			}
		}
	})
}

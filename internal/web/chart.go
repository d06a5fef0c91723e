package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// The drawing area of a chart, in SVG user units. The margins leave room for
// the larger letters that the style sheet sets on narrow screens.
const (
	chartWidth  = 560
	chartHeight = 262
	plotLeft    = 62
	plotRight   = 546
	plotTop     = 50
	plotBottom  = 212
	// labelWidth is about what the name beside a vertical mark takes.
	labelWidth = 96
	// leastDecade is where the e-value axis ends: less evidence than that is
	// drawn as that.
	leastDecade = -3
	// mostDecade is what a float holds; decadesAbove bounds how far above the
	// threshold the axis reaches, so that the threshold stays in sight.
	mostDecade   = 308
	decadesAbove = 5
)

// chart is one diagram, ready to draw.
type chart struct {
	ID, Title, Description string
	AxisTitle              string
	YMarks, XMarks         []mark
	Lines                  []line
	Verticals              []vertical
	Threshold              *mark
}

// mark is a labelled place on an axis.
type mark struct {
	At    float64
	Label string
}

// line is one curve: a path broken where there is no value, and a dot for each
// value that has no neighbour.
type line struct {
	Class string
	Path  string
	Dots  []dot
}

type dot struct{ X, Y float64 }

// vertical is a moment drawn across the plot.
type vertical struct {
	X, LabelX, LabelY    float64
	Label, Class, Anchor string
}

// panel is the pair of charts of one evidence.
type panel struct {
	Signal, Baseline string
	BaselineArm      release.Arm
	Values, EValues  chart
}

// panels draws every evidence that has a curve.
func panels(rel release.Release, v release.Verdict) []panel {
	var out []panel
	for i, ev := range v.Evidence {
		if len(ev.Curve) == 0 {
			continue
		}
		axis := newTimeAxis(rel, v, ev.Curve)
		name := signalName(ev.Signal)
		if ev.SeenBy == release.SeenByCallers {
			name += ", as callers see it"
		}
		p := panel{Signal: name, Baseline: baselineName(ev.Baseline), BaselineArm: ev.Baseline}
		p.Values = valueChart(axis, ev)
		p.EValues = eValueChart(axis, ev, v.Threshold)
		id := "evidence-" + strconv.Itoa(i)
		p.Values.ID, p.EValues.ID = id+"-values", id+"-e-values"
		out = append(out, p)
	}
	return out
}

// timeAxis places moments and holds the marks both charts of a panel share.
type timeAxis struct {
	from, to  time.Time
	marks     []mark
	verticals []vertical
}

func newTimeAxis(rel release.Release, v release.Verdict, curve []release.Point) timeAxis {
	a := timeAxis{from: curve[0].At, to: curve[len(curve)-1].At}
	start := rel.StartedAt
	if !start.IsZero() && start.Before(a.from) {
		a.from = start
	}
	if v.DecidedAt != nil && v.DecidedAt.After(a.to) {
		a.to = *v.DecidedAt
	}
	if a.to.Sub(a.from) < time.Second {
		a.to = a.from.Add(time.Second)
	}
	// A little air keeps the outermost marks off the frame.
	air := a.to.Sub(a.from) / 40
	a.from, a.to = a.from.Add(-air), a.to.Add(air)
	for _, t := range timeMarks(a.from, a.to, 4) {
		a.marks = append(a.marks, mark{At: a.x(t), Label: formatClock(t)})
	}
	if !start.IsZero() && !start.After(a.to) {
		a.add(start, "rollout", "rollout")
	}
	if v.DecidedAt != nil && !v.DecidedAt.Before(a.from) && v.Kind != release.Pending {
		a.add(*v.DecidedAt, strings.ToLower(verdictName(v.Kind)), verdictClass(v.Kind))
	}
	return a
}

// x is where a moment lies, to a tenth of a unit.
func (a timeAxis) x(t time.Time) float64 {
	share := float64(t.Sub(a.from)) / float64(a.to.Sub(a.from))
	return tenth(plotLeft + share*(plotRight-plotLeft))
}

// add draws a moment, its name on the side that has room and below the name
// before it where they would touch.
func (a *timeAxis) add(t time.Time, label, class string) {
	v := vertical{X: a.x(t), Label: label, Class: class, Anchor: "start", LabelY: plotTop - 7}
	v.LabelX = v.X - 1
	if v.X > (plotLeft+plotRight)/2 {
		v.Anchor, v.LabelX = "end", v.X+1
	}
	for _, before := range a.verticals {
		if math.Abs(before.X-v.X) < labelWidth || (before.Anchor != v.Anchor && math.Abs(before.X-v.X) < 2*labelWidth) {
			v.LabelY, v.LabelX = plotTop+17, v.X+5
			if v.Anchor == "end" {
				v.LabelX = v.X - 5
			}
		}
	}
	a.verticals = append(a.verticals, v)
}

// valueChart draws what both arms measured.
func valueChart(a timeAxis, ev release.Evidence) chart {
	top := 0.0
	for _, p := range ev.Curve {
		for _, v := range []*float64{p.ReleaseValue, p.BaselineValue} {
			if finite(v) {
				top = max(top, *v)
			}
		}
	}
	factor, unit := axisUnit(ev.Unit, top)
	if top == 0 {
		top = emptyTop(ev.Unit)
	}
	step := niceStep(top*factor, 4)
	high := math.Ceil(top*factor/step*(1-1e-9)) * step
	y := func(v float64) float64 { return plotY(v*factor, 0, high) }

	name := signalName(ev.Signal)
	c := chart{
		Title:       name + " of the release and of " + baselineName(ev.Baseline),
		Description: describeValues(ev),
		AxisTitle:   name + unit,
		XMarks:      a.marks,
		Verticals:   a.verticals,
		Lines: []line{
			curveLine("baseline", a, ev.Curve, func(p release.Point) *float64 { return p.BaselineValue }, y),
			curveLine("release", a, ev.Curve, func(p release.Point) *float64 { return p.ReleaseValue }, y),
		},
	}
	for i := 0; float64(i)*step <= high*(1+1e-9); i++ {
		v := float64(i) * step
		c.YMarks = append(c.YMarks, mark{At: plotY(v, 0, high), Label: significant(v)})
	}
	return c
}

// axisUnit is what values are multiplied with on the axis, and its name.
func axisUnit(unit release.Unit, top float64) (factor float64, name string) {
	switch unit {
	case release.UnitRatio:
		return 100, ", %"
	case release.UnitSeconds:
		if top < 1 {
			return 1000, ", ms"
		}
		return 1, ", s"
	}
	return 1, ""
}

// emptyTop is the height of the axis when every value is zero.
func emptyTop(unit release.Unit) float64 {
	if unit == release.UnitRatio {
		return 0.01
	}
	return 1
}

func describeValues(ev release.Evidence) string {
	return fmt.Sprintf("Over the whole time: release %s of %s requests, %s %s of %s requests.",
		formatValue(ev.ReleaseValue, ev.Unit), release.Integer(ev.Release.Total),
		baselineName(ev.Baseline), formatValue(ev.BaselineValue, ev.Unit), release.Integer(ev.Stable.Total))
}

// eValueChart draws the evidence against "no regression" on a log scale.
func eValueChart(a timeAxis, ev release.Evidence, threshold float64) chart {
	lo, hi, most := 0.0, 1.0, float64(mostDecade)
	bounded := threshold > 0 && threshold < unbounded
	if bounded {
		hi = decade(threshold) + 0.5
		most = hi + decadesAbove
	}
	for _, p := range ev.Curve {
		d := min(decade(p.EValue), most)
		lo, hi = min(lo, d), max(hi, d)
	}
	lo = min(math.Floor(lo*4)/4, -0.5)
	y := func(v float64) float64 { return plotY(min(decade(v), hi), lo, hi) }
	c := chart{
		Title: "Evidence of a regression from " + strings.ToLower(signalName(ev.Signal)) + " alone",
		Description: "The e-value grows while the release does worse than its baseline. " +
			"The release is regressed when the weighted mean over all signals reaches the threshold.",
		AxisTitle: "e-value, log scale",
		XMarks:    a.marks,
		Verticals: a.verticals,
		Lines: []line{curveLine("evidence", a, ev.Curve, func(p release.Point) *float64 {
			e := p.EValue
			if math.IsInf(e, 1) {
				e = math.MaxFloat64
			}
			return &e
		}, y)},
	}
	for _, e := range decadeMarks(lo, hi, 4) {
		c.YMarks = append(c.YMarks, mark{At: plotY(float64(e), lo, hi), Label: decadeLabel(e)})
	}
	if bounded {
		c.Threshold = &mark{At: y(threshold), Label: "threshold " + formatEValue(threshold)}
	}
	return c
}

// decade is the power of ten of an e-value, held within what can be drawn.
func decade(v float64) float64 {
	if math.IsNaN(v) || v <= 0 {
		return leastDecade
	}
	return min(max(math.Log10(v), leastDecade), mostDecade)
}

func decadeLabel(e int) string {
	if e >= -2 && e <= 3 {
		return significant(math.Pow(10, float64(e)))
	}
	return "10" + superscript(e)
}

// curveLine draws one value of every point; a tick without it is a gap.
func curveLine(class string, a timeAxis, curve []release.Point, value func(release.Point) *float64, y func(float64) float64) line {
	l := line{Class: class}
	var path strings.Builder
	var run []dot
	end := func() {
		if len(run) == 1 {
			l.Dots = append(l.Dots, run[0])
		}
		for i, d := range run {
			if len(run) == 1 {
				break
			}
			letter := "L"
			if i == 0 {
				letter = "M"
			}
			fmt.Fprintf(&path, "%s%g %g", letter, d.X, d.Y)
		}
		run = run[:0]
	}
	for _, p := range curve {
		if v := value(p); finite(v) {
			run = append(run, dot{a.x(p.At), y(*v)})
			continue
		}
		end()
	}
	end()
	l.Path = path.String()
	return l
}

func finite(v *float64) bool { return v != nil && !math.IsNaN(*v) && !math.IsInf(*v, 0) }

// plotY is where a value lies between lo (bottom) and hi (top).
func plotY(v, lo, hi float64) float64 {
	return tenth(plotBottom - (v-lo)/(hi-lo)*(plotBottom-plotTop))
}

func tenth(v float64) float64 { return math.Round(v*10) / 10 }

// coordinate writes a place for an SVG attribute.
func coordinate(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// baselineName is the arm a release is compared with.
func baselineName(a release.Arm) string {
	switch a {
	case release.ArmStable:
		return "the previous version"
	case release.ArmHistory:
		return "the time before the rollout"
	case release.ArmPeers:
		return "other workloads"
	case release.BaselineAbsolute:
		return "a fixed limit"
	case release.BaselineNone, "":
		return "no baseline"
	}
	return string(a)
}

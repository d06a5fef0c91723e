// Package curve draws how a signal of a release went, as a picture for
// receivers that show one.
package curve

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/plain"
)

const (
	width     = 18 * vg.Centimeter
	height    = 8 * vg.Centimeter
	margin    = vg.Length(6) // points around the plot
	maxPoints = 1000
	maxTitle  = 70
	maxAlt    = 500
	// Nothing Watchtower measures is beyond this; the axes of a picture end well
	// before the largest number there is.
	maxValue = 1e15
)

// The colours differ in lightness as well as in hue, and stand on a ground of
// their own, so that they can be told apart on light and dark screens, in grey
// and by the colour-blind.
var (
	ground   = color.RGBA{R: 0xff, G: 0xff, B: 0xff, A: 0xff}
	ink      = color.RGBA{R: 0x33, G: 0x33, B: 0x33, A: 0xff}
	faint    = color.RGBA{R: 0xdd, G: 0xdd, B: 0xdd, A: 0xff}
	released = color.RGBA{R: 0xb3, G: 0x30, B: 0x00, A: 0xff}
	baseline = color.RGBA{R: 0x4a, G: 0x90, B: 0xd9, A: 0xff}
)

// Picture is a drawn curve.
type Picture struct {
	PNG []byte
	Alt string // what it shows, in words
}

// Has reports whether a message has a curve that Of would draw.
func Has(m release.Message) bool {
	return slices.ContainsFunc(m.HowBad, func(c release.Change) bool {
		now, _ := points(m, c)
		return len(now) >= 2
	})
}

// turn is whose turn it is to draw: one at a time, so that a burst of pictures
// leaves processors to what else is to be told.
var turn = make(chan struct{}, 1)

// Of draws the first change of a message that has a curve. ok is false where
// there is none to draw.
func Of(m release.Message) (p Picture, ok bool, err error) {
	turn <- struct{}{}
	defer func() { <-turn }()
	for _, c := range m.HowBad {
		now, before := points(m, c)
		if len(now) < 2 {
			continue
		}
		png, err := sketch(c, now, before)
		if err != nil {
			return Picture{}, false, fmt.Errorf("draw the curve of %s: %w", c.Signal, err)
		}
		return Picture{PNG: png, Alt: plain.Cut(c.Name+" of the release against what ran before: "+c.Sentence, maxAlt)}, true, nil
	}
	return Picture{}, false, nil
}

// points are both arms in minutes since the rollout began, thinned out where
// there are more than can be seen.
func points(m release.Message, c release.Change) (now, before plotter.XYs) {
	scale := 1.0
	if c.Unit == release.UnitRatio {
		scale = 100
	}
	step := 1 + len(c.Curve)/maxPoints
	for i := 0; i < len(c.Curve); i += step {
		at := c.Curve[i]
		x := at.At.Sub(m.StartedAt).Minutes()
		now = add(now, x, at.ReleaseValue, scale)
		before = add(before, x, at.BaselineValue, scale)
	}
	return now, before
}

func add(to plotter.XYs, x float64, value *float64, scale float64) plotter.XYs {
	if value == nil || math.IsNaN(*value) || math.Abs(*value) > maxValue || math.Abs(x) > maxValue {
		return to
	}
	return append(to, plotter.XY{X: x, Y: *value * scale})
}

func sketch(c release.Change, now, before plotter.XYs) ([]byte, error) {
	p := plot.New()
	p.BackgroundColor = ground
	p.Title.Text = plain.Cut(c.Name, maxTitle)
	p.Title.Padding, p.Legend.YOffs = vg.Points(4), vg.Points(-4)
	p.X.Label.Text = "minutes since the rollout began"
	p.Y.Label.Text = unit(c.Unit)
	p.Title.TextStyle.Color, p.X.Label.TextStyle.Color, p.Y.Label.TextStyle.Color = ink, ink, ink
	p.Y.Min = 0
	p.Legend.Top, p.Legend.Left = true, true
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = faint, faint
	p.Add(grid)
	if err := line(p, "before", before, baseline, []vg.Length{vg.Points(4), vg.Points(3)}); err != nil {
		return nil, err
	}
	if err := line(p, "release", now, released, nil); err != nil {
		return nil, err
	}
	canvas := vgimg.New(width, height)
	p.Draw(draw.Crop(draw.New(canvas), margin, -margin, margin, -margin))
	return encode(canvas.Image())
}

func line(p *plot.Plot, name string, at plotter.XYs, c color.Color, dashes []vg.Length) error {
	if len(at) == 0 {
		return nil
	}
	l, err := plotter.NewLine(at)
	if err != nil {
		return err
	}
	l.Color, l.Width, l.Dashes = c, vg.Points(2), dashes
	p.Add(l)
	p.Legend.Add(name, l)
	return nil
}

func unit(u release.Unit) string {
	switch u {
	case release.UnitRatio:
		return "%"
	case release.UnitPerSecond:
		return "per second"
	}
	return string(u)
}

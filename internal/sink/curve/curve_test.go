package curve

import (
	"bytes"
	"image/png"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
)

func TestAPictureShowsBothArms(t *testing.T) {
	p, ok, err := Of(sinktest.Regressed("abc"))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	im, err := png.Decode(bytes.NewReader(p.PNG))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[3]uint32]int{}
	for y := im.Bounds().Min.Y; y < im.Bounds().Max.Y; y++ {
		for x := im.Bounds().Min.X; x < im.Bounds().Max.X; x++ {
			r, g, b, a := im.At(x, y).RGBA()
			if a != 0xffff {
				t.Fatalf("the ground at %d,%d lets the screen through", x, y)
			}
			seen[[3]uint32{r >> 8, g >> 8, b >> 8}]++
		}
	}
	for name, c := range map[string][3]uint32{"release": {0xb3, 0x30, 0}, "before": {0x4a, 0x90, 0xd9}} {
		if seen[c] < 20 {
			t.Errorf("the line of %s has %d points", name, seen[c])
		}
	}
	if !strings.Contains(p.Alt, "4.9 %") || len(p.PNG) > 200_000 {
		t.Errorf("alt %q, %d bytes", p.Alt, len(p.PNG))
	}
}

func TestNoCurveIsNoPicture(t *testing.T) {
	m := sinktest.Regressed("abc")
	m.HowBad[0].Curve = m.HowBad[0].Curve[:1]
	if _, ok, err := Of(m); ok || err != nil {
		t.Error(ok, err)
	}
	if _, ok, err := Of(release.Message{}); ok || err != nil {
		t.Error(ok, err)
	}
}

func TestExtremeValuesCanBeDrawn(t *testing.T) {
	big, tiny := math.MaxFloat64, math.SmallestNonzeroFloat64
	for title, values := range map[string][]float64{
		"all the same": {5, 5, 5}, "all zero": {0, 0, 0}, "below zero": {-3, -2, -1}, "what is no number": {math.NaN(), 1, math.Inf(1), 2, math.Inf(-1)},
		"the largest": {big, -big, big, 1, 2}, "the smallest": {tiny, 0, tiny}, "up to the bound": {0, maxValue, -maxValue},
	} {
		t.Run(title, func(t *testing.T) {
			m := release.Message{StartedAt: time.Unix(0, 0), HowBad: []release.Change{{Name: strings.Repeat("語", 300), Unit: release.UnitRatio}}}
			for i, v := range values {
				m.HowBad[0].Curve = append(m.HowBad[0].Curve, release.Point{At: time.Unix(int64(i), 0), ReleaseValue: &v, BaselineValue: &v})
			}
			if p, ok, err := Of(m); err != nil || !ok || len(p.PNG) == 0 {
				t.Errorf("%v %v", ok, err)
			}
		})
	}
}

func TestWhatIsDrawnIsFiniteAndNotMoreThanCanBeSeen(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64}))
		m := release.Message{StartedAt: time.Unix(0, 0)}
		c := release.Change{Unit: release.UnitRatio}
		for range rapid.IntRange(0, 3*maxPoints).Draw(rt, "points") / 50 {
			now := value.Draw(rt, "now")
			for range 50 {
				c.Curve = append(c.Curve, release.Point{At: time.Unix(rapid.Int64().Draw(rt, "at")>>20, 0), ReleaseValue: &now})
			}
		}
		now, before := points(m, c)
		if len(now) > maxPoints || len(before) > 0 {
			rt.Fatalf("%d and %d points", len(now), len(before))
		}
		for _, p := range now {
			if math.Abs(p.X) > maxValue || math.IsNaN(p.Y) || math.Abs(p.Y) > 100*maxValue {
				rt.Fatalf("drawn at %v", p)
			}
		}
	})
}

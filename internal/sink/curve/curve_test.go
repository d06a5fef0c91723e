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

func TestAnyValuesCanBeDrawn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 5, 5}))
		m := release.Message{StartedAt: time.Unix(0, 0)}
		c := release.Change{Name: rapid.String().Draw(rt, "name"), Unit: release.UnitRatio}
		for i := range rapid.IntRange(0, 12).Draw(rt, "points") {
			now, before := value.Draw(rt, "now"), value.Draw(rt, "before")
			c.Curve = append(c.Curve, release.Point{At: time.Unix(int64(i)*rapid.Int64Range(0, 100).Draw(rt, "seconds"), 0), ReleaseValue: &now, BaselineValue: &before})
		}
		m.HowBad = []release.Change{c}
		if p, ok, err := Of(m); err != nil || ok && len(p.PNG) == 0 {
			rt.Fatalf("%v %v", ok, err)
		}
	})
}

package store

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func anyValue(t *rapid.T, c release.Count) *float64 {
	switch rapid.IntRange(0, 2).Draw(t, "kind of value") {
	case 0:
		return nil
	case 1:
		v := c.Ratio()
		return &v
	}
	v := rapid.Float64().Draw(t, "value")
	return &v
}

func anyCurves(t *rapid.T) [][]release.Point {
	curves := make([][]release.Point, rapid.IntRange(0, 4).Draw(t, "curves"))
	for i := range curves {
		at := time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "start")).UTC()
		for range rapid.IntRange(0, 30).Draw(t, "points") {
			at = at.Add(time.Duration(rapid.IntRange(0, 1e6).Draw(t, "step")) * time.Millisecond)
			count := func() release.Count {
				return release.Count{Total: rapid.Int64().Draw(t, "total"), Bad: rapid.Int64().Draw(t, "bad")}
			}
			p := release.Point{At: at, Release: count(), Stable: count(), EValue: rapid.Float64().Draw(t, "e-value")}
			p.ReleaseValue, p.BaselineValue = anyValue(t, p.Release), anyValue(t, p.Stable)
			curves[i] = append(curves[i], p)
		}
	}
	return curves
}

func TestACurveIsUnpackedAsItWasPackedToSevenDigits(t *testing.T) {
	close := cmp.Comparer(func(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-7*math.Abs(a) })
	rapid.Check(t, func(t *rapid.T) {
		want := anyCurves(t)
		got, err := unpackCurves(packCurves(want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, close); diff != "" {
			t.Fatal(diff)
		}
		again, err := unpackCurves(packCurves(got))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Fatalf("packed again it changes:\n%s", diff)
		}
	})
}

func TestTextIsUnpackedAsItWasPacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		got, err := unpack(pack(want))
		if err != nil || string(got) != string(want) {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	})
}

// A field that is added to a point must be packed too.
func TestEveryFieldOfAPointIsPacked(t *testing.T) {
	if n := reflect.TypeFor[release.Point]().NumField(); n != 6 {
		t.Errorf("a point has %d fields; teach packCurves the new one, and count it here", n)
	}
}

func FuzzUnpackCurves(f *testing.F) {
	v := 0.25
	f.Add(packCurves(nil))
	f.Add(packCurves([][]release.Point{{{At: time.UnixMilli(1), Release: release.Count{Total: 4, Bad: 1}, ReleaseValue: &v, EValue: 3}}, nil}))
	f.Add([]byte{packedForm, 0xff, 0xff})
	f.Add(pack([]byte{1, 0xff, 0xff, 0xff, 0x0f}))
	f.Add(pack([]byte{1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}))
	f.Fuzz(func(t *testing.T, packed []byte) {
		curves, err := unpackCurves(packed)
		if err != nil {
			return
		}
		if _, err := unpackCurves(packCurves(curves)); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzUnpackColumns has what is under the deflate altered.
func FuzzUnpackColumns(f *testing.F) {
	f.Add([]byte{1, 1, 0, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 9, 9})
	f.Fuzz(func(t *testing.T, columns []byte) { _, _ = unpackCurves(pack(columns)) })
}

package judge

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTheBlameListHoldsAsManyAsTheEvidenceCarries(t *testing.T) {
	for _, c := range []struct {
		says string
		es   []float64
		want []int
	}{
		{"nobody", nil, nil},
		{"one below the bar", []float64{999}, nil},
		{"one at the bar", []float64{1000}, []int{0}},
		{"one of ten must pay for all of them", []float64{1, 1, 9999, 1, 1, 1, 1, 1, 1, 1}, nil},
		{"and does", []float64{1, 1, 10000, 1, 1, 1, 1, 1, 1, 1}, []int{2}},
		{"five of ten help one another", []float64{2000, 3000, 2500, 2000, 1e6, 1, 1, 1, 1, 1}, []int{4, 1, 2, 0, 3}},
	} {
		t.Run(c.says, func(t *testing.T) {
			if got := BlameList(c.es, 0.001); !slices.Equal(got, c.want) {
				t.Errorf("blamed %v, want %v", got, c.want)
			}
		})
	}
}

func TestMoreEvidenceNeverTakesAReleaseOffTheBlameList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		es := rapid.SliceOfN(rapid.Float64Range(0, 1e6), 1, 30).Draw(t, "e-values")
		before := BlameList(es, 0.01)
		for _, i := range before {
			more := slices.Clone(es)
			more[i] *= 2
			if !slices.Contains(BlameList(more, 0.01), i) {
				t.Fatalf("release %d was blamed at %v and is not at twice that", i, es[i])
			}
		}
		if len(before) > 0 && es[before[len(before)-1]] < 1/0.01 {
			t.Fatalf("blamed at %v, below 1/α", es[before[len(before)-1]])
		}
	})
}

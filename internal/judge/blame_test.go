package judge

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestBlameIsRankedAndPaidForByHowManyThereAre(t *testing.T) {
	for _, c := range []struct {
		says   string
		e      []float64
		order  []int
		blamed int
	}{
		{"nobody is there", nil, []int{}, 0},
		{"one that reaches the level alone", []float64{20}, []int{0}, 1},
		{"the same among ten does not", []float64{20, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 0},
		{"two bear each other out", []float64{1, 50, 60, 1}, []int{2, 1, 0, 3}, 2},
		{"the strongest first", []float64{3, 1e6, 200}, []int{1, 2, 0}, 2},
	} {
		t.Run(c.says, func(t *testing.T) {
			order, blamed := BlameList(c.e, 0.05)
			if !slices.Equal(order, c.order) || blamed != c.blamed {
				t.Errorf("%v, %d to blame, want %v, %d", order, blamed, c.order, c.blamed)
			}
		})
	}
}

func TestMoreEvidenceNeverClearsAnybody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := rapid.SliceOfN(rapid.Float64Range(0, 1e4), 1, 20).Draw(t, "e")
		alpha := rapid.Float64Range(0.001, 0.5).Draw(t, "alpha")
		order, before := BlameList(e, alpha)
		if !slices.IsSortedFunc(order, func(i, j int) int { return cmp.Compare(e[j], e[i]) }) {
			t.Fatalf("%v is not in order of %v", order, e)
		}
		e[rapid.IntRange(0, len(e)-1).Draw(t, "whose")] *= 10
		if _, after := BlameList(e, alpha); after < before {
			t.Fatalf("%d to blame, then %d", before, after)
		}
	})
}

package pattern

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
)

// mergeForms makes one of forms that turn out to be one: those that differ only
// in words that look like values, and those that differ in one column that holds
// more words than a column of one form may. Their roots differed because some
// value of theirs was frequent.
func mergeForms(forms []form) []form {
	forms = mergeBy(forms, skeleton)
	for {
		merged, changed := mergeOnce(forms)
		if !changed {
			return merged
		}
		forms = mergeBy(merged, skeleton)
	}
}

// mergeBy merges the forms of which key says the same.
func mergeBy(forms []form, key func([]string) string) []form {
	at := map[string]int{}
	out := forms[:0:0]
	for _, f := range forms {
		k := key(f.words)
		i, ok := at[k]
		if !ok {
			at[k] = len(out)
			out = append(out, f)
			continue
		}
		one := form{words: slices.Clone(out[i].words), members: slices.Concat(out[i].members, f.members)}
		for c, w := range f.words {
			if w != one.words[c] {
				one.words[c] = together(one.words[c], w)
			}
		}
		out[i] = one
	}
	return out
}

// together is what stands for two different words of a column.
func together(a, b string) string {
	if head := headOf(a); head == headOf(b) {
		return head + wildWord
	}
	return wildWord
}

// skeleton is the words of a form without those that look like values. The first
// word stays unless it is one beyond doubt.
func skeleton(words []string) string {
	var b strings.Builder
	for c, w := range words {
		if kindOf(w) == kindValue && (c > 0 || strings.IndexByte(w, wild) >= 0) {
			w = headOf(w) + wildWord
		}
		b.WriteString(w)
		b.WriteByte(' ')
	}
	return b.String()
}

// family is the forms that are equal but for one column.
type family struct {
	column int
	of     []int
}

// hashSeed differs from process to process, so that nobody makes words of one
// hash. No result depends on it.
var hashSeed = maphash.MakeSeed()

// wordHash is the part of a word in the hash of a form, which is their sum.
func wordHash(word string, column int) uint64 {
	h := maphash.String(hashSeed, word) + uint64(column)*0x9e3779b97f4a7c15
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

func mergeOnce(forms []form) ([]form, bool) {
	families := map[uint64]*family{}
	var order []*family
	for i, f := range forms {
		sum := uint64(len(f.words))
		for c, w := range f.words {
			sum += wordHash(w, c)
		}
		for c, w := range f.words {
			if kindOf(w) == kindFixed {
				continue
			}
			key := sum - wordHash(w, c) + wordHash("\x00", c)
			fam := families[key]
			if fam == nil {
				families[key] = &family{column: c, of: []int{i}}
				continue
			}
			if fam.column != c || fam.of[len(fam.of)-1] == i {
				continue // a collision of hashes
			}
			if len(fam.of) == 1 {
				order = append(order, fam)
			}
			fam.of = append(fam.of, i)
		}
	}
	slices.SortStableFunc(order, func(a, b *family) int {
		return cmp.Or(cmp.Compare(len(b.of), len(a.of)), cmp.Compare(a.of[0], b.of[0]), cmp.Compare(a.column, b.column))
	})
	gone := make([]bool, len(forms))
	changed := false
	for _, fam := range order {
		of := slices.DeleteFunc(fam.of, func(i int) bool { return gone[i] })
		if !varies(forms, of, fam.column) {
			continue
		}
		one := form{words: slices.Clone(forms[of[0]].words)}
		one.words[fam.column] = headOf(one.words[fam.column]) + wildWord
		for _, i := range of {
			one.members = append(one.members, forms[i].members...)
			gone[i] = true
		}
		forms = append(forms, one)
		gone = append(gone, false)
		changed = true
	}
	kept := forms[:0:0]
	for i, f := range forms {
		if !gone[i] {
			kept = append(kept, f)
		}
	}
	slices.SortFunc(kept, func(a, b form) int { return slices.Compare(a.words, b.words) })
	return kept, changed
}

// varies tells whether the words of a column of these forms are one wildcard.
func varies(forms []form, of []int, column int) bool {
	if len(of) < 2 {
		return false
	}
	constant := 0
	for c, w := range forms[of[0]].words {
		if c != column && kindOf(w) != kindValue {
			constant++
		}
	}
	limit := maxPlainWords
	if column == 0 {
		limit = maxFirstWords
	}
	if constant < 2 {
		return false // nothing else holds them together
	}
	head := headOf(forms[of[0]].words[column])
	values := 0
	for _, i := range of {
		w := forms[i].words[column]
		if headOf(w) != head {
			return false
		}
		if kindOf(w) == kindValue {
			values++
		}
	}
	return len(of) > limit || values == len(of) || column > 0 && 2*values >= len(of)
}

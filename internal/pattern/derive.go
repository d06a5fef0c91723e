package pattern

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// Bounds of what a column may hold before it is a wildcard.
const (
	// maxPlainWords may stand in a column that divides.
	maxPlainWords = 3
	// maxFirstWords may stand in the first one: lines seldom begin with a value.
	maxFirstWords = 12
	// maxHeads is how many names of values may stand in a column that divides.
	maxHeads = 8
	// A root is made of words at least half as frequent as the most frequent one
	// of their line.
	rootShare = 0.5
)

// form is a template of a fixed number of words, and the entries it stands for.
type form struct {
	words   []string
	members []*entry
}

// unit is one entry as derive sees it.
type unit struct {
	entry *entry
	words []int32 // numbers of words, 0 for a wildcard
	count float64
}

// vocabulary numbers words; 0 is the wildcard.
type vocabulary struct {
	numbers map[string]int32
	words   []wordInfo
}

func newVocabulary() *vocabulary {
	v := &vocabulary{numbers: map[string]int32{}}
	v.number(wildWord)
	return v
}

func (v *vocabulary) number(word string) int32 {
	if n, ok := v.numbers[word]; ok {
		return n
	}
	n := int32(len(v.words))
	v.numbers[word] = n
	v.words = append(v.words, wordInfo{word, kindOf(word), headOf(word)})
	return n
}

// derive makes forms of entries. The order of the entries does not matter.
func derive(entries []*entry) []form {
	v := newVocabulary()
	byLength := map[int][]unit{}
	for _, e := range entries {
		words := strings.Split(e.text, " ")
		u := unit{entry: e, words: make([]int32, len(words)), count: float64(max(e.count, 1))}
		for i, w := range words {
			u.words[i] = v.number(w)
		}
		byLength[len(words)] = append(byLength[len(words)], u)
	}
	var forms []form
	for _, units := range byLength {
		slices.SortFunc(units, func(a, b unit) int { return strings.Compare(a.entry.text, b.entry.text) })
		for _, part := range byRoot(units) {
			d := divider{vocabulary: v, wild: make([]bool, len(part[0].words))}
			d.divide(part)
			forms = append(forms, d.forms...)
		}
	}
	slices.SortFunc(forms, func(a, b form) int { return slices.Compare(a.words, b.words) })
	return forms
}

// byRoot divides units of one length by their roots: the most words of a line
// that are equally frequent in their columns.
func byRoot(units []unit) [][]unit {
	type cell struct {
		column int
		word   int32
	}
	frequency := map[cell]float64{}
	for _, u := range units {
		for c, w := range u.words {
			frequency[cell{c, w}] += u.count
		}
	}
	parts := map[string]int{}
	var out [][]unit
	of := make([]float64, 0, maxWords)
	var key []byte
	for _, u := range units {
		of = of[:0]
		for c, w := range u.words {
			if w != 0 {
				of = append(of, frequency[cell{c, w}])
			} else {
				of = append(of, 0)
			}
		}
		root := rootFrequency(of)
		key = key[:0]
		for c, w := range u.words {
			if w != 0 && of[c] == root {
				key = binary.AppendUvarint(key, uint64(c))
				key = binary.AppendUvarint(key, uint64(w))
			}
		}
		at, ok := parts[string(key)]
		if !ok {
			at = len(out)
			parts[string(key)] = at
			out = append(out, nil)
		}
		out[at] = append(out[at], u)
	}
	return out
}

// rootFrequency is the frequency that most words have, among those at least
// rootShare of the highest; of several the highest. Wildcards have frequency 0.
func rootFrequency(of []float64) float64 {
	sorted := slices.Clone(of)
	slices.SortFunc(sorted, func(a, b float64) int { return cmp.Compare(b, a) })
	best, most := 0.0, 0
	for i := 0; i < len(sorted) && sorted[i] > 0 && sorted[i] >= sorted[0]*rootShare; {
		n := i
		for n < len(sorted) && sorted[n] == sorted[i] {
			n++
		}
		if n-i > most {
			best, most = sorted[i], n-i
		}
		i = n
	}
	return best
}

// divider divides the units of one root into forms.
type divider struct {
	*vocabulary
	wild  []bool // columns found to vary beyond the bound
	forms []form
}

func (d *divider) divide(part []unit) {
	column, keys, byHead := d.next(part)
	if column < 0 {
		d.emit(part)
		return
	}
	wild := slices.Clone(d.wild)
	for _, key := range keys {
		var sub []unit
		for _, u := range part {
			if d.key(u.words[column], byHead) == key {
				sub = append(sub, u)
			}
		}
		copy(d.wild, wild)
		d.divide(sub)
	}
	copy(d.wild, wild)
}

// key is what a word is divided by: itself, or the name of its value.
func (d *divider) key(word int32, byHead bool) string {
	w := &d.words[word]
	if byHead && w.kind != kindFixed {
		return w.head + wildWord // apart from the name without a value
	}
	return w.text
}

// next is the column to divide by, the one with the fewest keys, or -1 where none
// divides. It marks the columns that are wildcards.
func (d *divider) next(part []unit) (column int, keys []string, byHead bool) {
	column = -1
	for c := range d.wild {
		if d.wild[c] {
			continue
		}
		here, heads, wild := d.column(part, c)
		d.wild[c] = wild
		if !wild && len(here) > 1 && (column < 0 || len(here) < len(keys)) {
			column, keys, byHead = c, here, heads
		}
	}
	return column, keys, byHead
}

// column says by what a column divides, words or names of values, or that it is a
// wildcard.
func (d *divider) column(part []unit, c int) (keys []string, byHead, wild bool) {
	limit := maxPlainWords
	if c == 0 {
		limit = maxFirstWords
	}
	var words []int32
	var heads []string
	named, values := false, 0
	for _, u := range part {
		if slices.Contains(words, u.words[c]) {
			continue
		}
		if len(words) > maxDistinct {
			break
		}
		words = append(words, u.words[c])
		w := &d.words[u.words[c]]
		named = named || w.head != "" || w.kind == kindFixed
		if key := d.key(u.words[c], true); !slices.Contains(heads, key) {
			heads = append(heads, key)
		}
		if w.kind == kindValue {
			values++
		}
	}
	for _, w := range words {
		keys = append(keys, d.words[w].text)
	}
	switch {
	case len(words) == 1:
		return keys, false, false
	case named && len(heads) > 1 && len(heads) <= maxHeads:
		return heads, true, false
	case len(words) > limit, c > 0 && 2*values >= len(words), values == len(words):
		return nil, false, true
	}
	return keys, false, false
}

// maxDistinct is how many words of a column are looked at; more are many.
const maxDistinct = 64

func (d *divider) emit(part []unit) {
	f := form{words: make([]string, len(d.wild)), members: make([]*entry, len(part))}
	for c, w := range part[0].words {
		f.words[c] = d.words[w].text
		if d.wild[c] {
			f.words[c] = d.wildcard(part, c)
		}
	}
	for i, u := range part {
		f.members[i] = u.entry
	}
	d.forms = append(d.forms, f)
}

// wildcard is what stands for a column that varies: a wildcard, after the name of
// its value where all have the same.
func (d *divider) wildcard(part []unit, c int) string {
	head := d.words[part[0].words[c]].head
	for _, u := range part[1:] {
		if d.words[u.words[c]].head != head {
			return wildWord
		}
	}
	return head + wildWord
}

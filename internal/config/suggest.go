package config

import "strings"

// closest returns the known word that word is most likely a slip of.
func closest(word string, known []string) (string, bool) {
	plain := func(s string) string {
		return strings.NewReplacer("_", "", "-", "", ".", "").Replace(strings.ToLower(s))
	}
	if len(word) > 64 {
		return "", false
	}
	best, bestAt := "", 3
	for _, k := range known {
		limit := 1 + len(k)/5 // a slip in a short word is another word
		if n := distance(plain(word), plain(k)); n < bestAt && n <= limit {
			best, bestAt = k, n
		}
	}
	return best, best != ""
}

// distance is the number of letters to change, add, drop or swap with their
// neighbour (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}

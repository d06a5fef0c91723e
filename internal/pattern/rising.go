package pattern

const (
	// leastRising is how many lines must agree that a column rises.
	leastRising = 6
	// risingColumns are looked at.
	risingColumns = 3
	// risingDigits is how many digits a time has at least: hhmmss.
	risingDigits = 6
)

// risingColumn is the first column that holds as many digits in each of nearly all
// lines and never falls from one to the next, but does rise: a time without marks,
// or the number of the line. -1 where there is none.
func risingColumn(lines [][]byte) int {
	for p := range risingColumns {
		if len(lines) >= leastRising && rises(lines, p) {
			return p
		}
	}
	return -1
}

func rises(lines [][]byte, p int) bool {
	var last []byte
	digits, up := 0, false
	for _, line := range lines {
		from, to := 0, 0
		for range p + 1 {
			from, to = headToken(line, to)
		}
		token := line[from:to]
		if len(token) < risingDigits || !allDigits(token) {
			continue
		}
		digits++
		if last != nil {
			if len(token) != len(last) || string(token) < string(last) {
				return false
			}
			up = up || string(token) > string(last)
		}
		last = token
	}
	return up && float64(digits) >= nearlyAll*float64(len(lines))
}

func allDigits(token []byte) bool {
	for _, b := range token {
		if classOf[b]&isDigit == 0 {
			return false
		}
	}
	return len(token) > 0
}

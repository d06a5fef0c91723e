package pattern

import (
	"bytes"

	"github.com/watchtower-verify/watchtower/internal/pattern/redact"
)

// header is what the lines of one source begin with: time, process, host, level,
// logger, in columns that were learned.
type header struct {
	columns []column // up to the last that is part of the header
}

// column says what stands in one column of a header; 0 for a word that may be
// anything, because columns after it are known.
type column uint16

const (
	colNumber  column = 1 << iota // digits and punctuation, or part of a date
	colTime                       // a time, a date or seconds since 1970
	colLevel                      // the name of a level
	colLetter                     // a level as one letter
	colName                       // a word that ends with a colon
	colMark                       // punctuation alone
	colBracket                    // in brackets
	colPadded                     // a word with the spaces of a table after it

	columnKinds = 8

	colCounter column = 1 << columnKinds // digits that rise from line to line: a time without marks
)

const (
	maxColumns = 14
	// nearlyAll of the different lines of a source agree in a column of its header.
	nearlyAll = 0.9
	// mostNames of them name their logger; some lines of syslog do not.
	mostNames = 0.75
	// maxGap is how many words of any kind may stand between known columns.
	maxGap = 3
	// idLength is how long an id in brackets is at least.
	idLength = 32
	// fewLines are too few to tell what is a header beyond what is plain.
	fewLines = 12
)

// headToken is the next token of a header: up to a space or bar, or a pair of
// brackets with all in it.
func headToken(line []byte, i int) (from, to int) {
	for i < len(line) && (classOf[line[i]]&isSpace != 0 || line[i] == '|') {
		i++
	}
	from = i
	if i < len(line) && line[i] == '[' {
		depth := 0
		for to = i; to < len(line) && to-i < 256; to++ {
			switch line[to] {
			case '[':
				depth++
			case ']':
				if depth--; depth == 0 {
					to++
					if to < len(line) && (line[to] == ':' || line[to] == ',') {
						to++
					}
					return from, to
				}
			}
		}
	}
	for i < len(line) && classOf[line[i]]&isSpace == 0 && line[i] != '|' {
		i++
	}
	return from, i
}

// classifyToken says what line[from:to] may be in a header.
func classifyToken(line []byte, from, to int) column {
	token := line[from:to]
	var c column
	if token[0] == '[' && (token[len(token)-1] == ']' || token[len(token)-1] == ':') && len(token) > 2 {
		c |= colBracket
	}
	if to+1 < len(line) && (line[to] == '\t' || line[to] == ' ' && line[to+1] == ' ') {
		c |= colPadded
	}
	inner := bytes.Trim(token, "[](),:;")
	if len(inner) == 0 {
		return c | colMark
	}
	if len(token) > 1 && token[len(token)-1] == ':' && classOf[inner[len(inner)-1]]&(isLetter|isDigit) != 0 && !bytes.ContainsAny(inner, `=@"'`) && !bytes.Contains(inner, []byte("://")) {
		c |= colName
	}
	if len(inner) == 1 && letterLevel(inner[0]) != LevelUnknown {
		return c | colLetter
	}
	if ParseLevel(inner) != LevelUnknown {
		return c | colLevel
	}
	digits, letters, marks := 0, 0, 0
	for i, b := range inner {
		switch class := classOf[b]; {
		case class&isDigit != 0:
			digits++
		case class&isLetter != 0:
			// T and Z of a time stand after a digit, months and days alone.
			if (b == 'T' || b == 'Z') && i > 0 && classOf[inner[i-1]]&isDigit != 0 {
				continue
			}
			if i+3 <= len(inner) && (isMonth(inner[i:i+3]) || isWeekday(inner[i:i+3])) && (i == 0 || classOf[inner[i-1]]&isLetter == 0) &&
				(i+3 == len(inner) || classOf[inner[i+3]]&isLetter == 0) {
				letters -= 2
				digits++
				continue
			}
			letters++
		case b == ':' || b == '-' || b == '/' || b == '.':
			marks++
		}
	}
	switch {
	case digits == 0 && letters <= 0:
		c |= colMark
	case digits > 0 && letters <= 0:
		c |= colNumber
		if marks >= 2 && digits >= 4 || marks == 0 && (digits == 10 || digits == 13) && inner[0] == '1' {
			c |= colTime
		}
	case digits > letters && marks >= 3 && c&colBracket != 0:
		c |= colNumber | colTime
	case 2*digits > letters && len(inner) >= idLength && c&colBracket != 0:
		c |= colNumber // ids of requests, of which some have more letters
	}
	return c
}

// learnHeader finds the header of lines, each different from the others once its
// values are masked, or nil where they have none: no column holds a time in half
// of them. Lines without it, such as those of stack traces, are left out.
func learnHeader(lines [][]byte) *header {
	rows := make([][maxColumns]column, len(lines))
	var timed [maxColumns]int
	for n, line := range lines {
		i := 0
		for p := range maxColumns {
			from, to := headToken(line, i)
			if from == to {
				break
			}
			rows[n][p] = classifyToken(line, from, to)
			if rows[n][p]&colTime != 0 {
				timed[p]++
			}
			i = to
		}
	}
	best := 0
	for p, n := range timed {
		if n > timed[best] {
			best = p
		}
	}
	counter := -1
	if 2*timed[best] < len(lines) {
		if counter = risingColumn(lines); counter < 0 {
			return nil
		}
		best, timed[best] = counter, 0
		for n := range rows {
			if rows[n][counter]&colNumber != 0 {
				rows[n][counter] |= colTime
				timed[counter]++
			}
		}
	}
	if len(lines) == 0 {
		return nil
	}
	var counts [maxColumns][columnKinds]int
	for _, row := range rows {
		if row[best]&colTime == 0 {
			continue
		}
		for p, c := range row {
			for bit := range columnKinds {
				if c&(1<<bit) != 0 {
					counts[p][bit]++
				}
			}
		}
	}
	h := headerOf(counts, timed[best])
	if h != nil && counter >= 0 {
		h.columns[counter] |= colCounter
	}
	return h
}

// headerOf makes a header of how often each kind stands in each column of lines.
func headerOf(counts [maxColumns][columnKinds]int, lines int) *header {
	h := &header{}
	var timed, named bool
	gap := 0
	for p := range maxColumns {
		c := known(counts[p], lines, gap, named)
		if c == 0 {
			if gap++; gap > maxGap || named || (lines < fewLines && gap > 1) {
				break
			}
			continue
		}
		for len(h.columns) < p {
			h.columns = append(h.columns, 0)
		}
		h.columns = append(h.columns, c)
		timed = timed || c&colTime != 0
		named = named || timed && c&(colName|colMark) != 0 && p > 1
		gap = 0
	}
	if !timed {
		return nil
	}
	return h
}

// known is what nearly all lines have in a column, 0 where they have nothing in
// common that makes it part of a header.
func known(counts [columnKinds]int, lines, gap int, named bool) column {
	share := func(c column) float64 {
		for bit := range columnKinds {
			if c == 1<<bit {
				return float64(counts[bit]) / float64(lines)
			}
		}
		return 0
	}
	var c column
	for _, kind := range []column{colNumber, colTime, colLevel, colLetter, colMark} {
		if share(kind) >= nearlyAll {
			c |= kind
		}
	}
	if share(colLevel)+share(colLetter) >= nearlyAll {
		c |= colLevel
	}
	if !named && share(colName) >= mostNames {
		c |= colName
	}
	if gap == 0 && !named {
		if share(colBracket) >= nearlyAll {
			c |= colBracket
		}
		if lines >= fewLines && share(colPadded) >= nearlyAll {
			c |= colPadded
		}
	}
	return c
}

// strip takes the header off a line and reads its level and logger into r. A line
// that has only the beginning of a header loses that.
func (h *header) strip(line []byte, r *record) []byte {
	i, end := 0, 0
	var last []byte // the word before a mark
	for p := 0; p < len(h.columns); p++ {
		want := h.columns[p]
		from, to := headToken(line, i)
		if from == to {
			break
		}
		if want == 0 {
			last = line[from:to]
			i = to
			continue
		}
		c := classifyToken(line, from, to)
		if want&colCounter != 0 && allDigits(line[from:to]) {
			c |= colTime
		}
		if c&want == 0 && want&(colName|colMark) != 0 {
			from, to, c = h.sooner(line, from, to, want)
		}
		if c&want == 0 || c&colName != 0 && redact.Names(bytes.TrimRight(line[from:to], ":"), line[to:]) {
			break // the name of a secret must stay before it
		}
		token := line[from:to]
		switch {
		case c&want&(colLevel|colLetter) != 0 || c&colLevel != 0:
			if r.level == LevelUnknown {
				inner := bytes.Trim(token, "[](),:;")
				if r.level = ParseLevel(inner); len(inner) == 1 {
					r.level = letterLevel(inner[0])
				}
			}
		case want&colName != 0 && c&colName != 0, want&colPadded != 0 && c&(colNumber|colTime|colMark) == 0:
			r.logger = loggerName(token)
		case want&colMark != 0 && last != nil:
			r.logger = loggerName(last)
		}
		last = nil
		if c&(colNumber|colTime|colMark|colLevel) == 0 {
			last = token
		}
		r.headed = r.headed || c&colTime != 0
		i, end = to, to
	}
	if !r.headed {
		r.level, r.logger = LevelUnknown, nil
		return line
	}
	for end < len(line) && (classOf[line[end]]&isSpace != 0 || line[end] == '|') {
		end++
	}
	return line[end:]
}

// sooner looks for the colon or mark of a header one or two words on: names of
// programs may have spaces.
func (h *header) sooner(line []byte, from, to int, want column) (int, int, column) {
	first := from
	for range 2 {
		f, t := headToken(line, to)
		if f == t || t-first > 80 {
			break
		}
		if c := classifyToken(line, f, t); c&want&(colName|colMark) != 0 || want&colName != 0 && bytes.HasSuffix(line[f:t], []byte("):")) {
			if want&colName != 0 && c&colName == 0 {
				c |= colName
			}
			return first, t, c
		}
		to = t
	}
	return first, to, 0
}

// loggerName is the name in a token: without colon, brackets and process.
func loggerName(token []byte) []byte {
	token = bytes.Trim(token, "[]():,")
	if i := bytes.IndexByte(token, '['); i > 0 {
		token = token[:i]
	}
	return token
}

package pattern

import "bytes"

// wild stands for a masked value in a shape. No control character gets into a
// shape otherwise.
const wild = 0x01

// maxWords bounds the words of a shape; what comes after them is one wildcard.
const maxWords = 160

// Classes of bytes.
const (
	isSpace = 1 << iota // and control characters
	isDigit
	isLetter // and every byte beyond ASCII
	isHex
	isConnector // may stand between the parts of one number, time or address
	isOpening   // what a value may come after
)

var classOf = func() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c <= ' ' || c == 0x7f:
			t[c] = isSpace
		case c >= '0' && c <= '9':
			t[c] = isDigit | isHex
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			t[c] = isLetter | isHex
		case c >= 'g' && c <= 'z', c >= 'G' && c <= 'Z', c >= 0x80:
			t[c] = isLetter
		}
	}
	for _, c := range ".:/-_,+@" {
		t[c] |= isConnector
	}
	for _, c := range `=:([{,;<|` {
		t[c] |= isOpening
	}
	return t
}()

// masker turns a message into its shape: words with one space between them, in
// which every value is one wild byte. The buffer is used again for the next one.
type masker struct {
	out  []byte
	word int // where the current word begins in out
}

// mask returns the shape of msg, valid until the next call.
func (m *masker) mask(msg []byte) []byte {
	m.out = m.out[:0]
	words := 0
	last := wordStart{-1, -1}
	for i := 0; ; {
		for i < len(msg) && classOf[msg[i]]&isSpace != 0 {
			i++
		}
		if i == len(msg) {
			return m.out
		}
		if words == maxWords {
			m.out = append(m.out, ' ', wild)
			return m.out
		}
		before := len(m.out)
		if before > 0 {
			m.out = append(m.out, ' ')
		}
		m.word = len(m.out)
		from := i
		if c := msg[i]; c >= 'A' && c <= 'W' && calendarWord(msg, i) {
			m.out = append(m.out, wild)
			i += 3
		}
		if status := m.status(msg, i, last.at, before); status > i {
			i = status
		} else {
			i = m.maskWord(msg, i)
		}
		if m.collapse(before, last.at, msg[from:i]) {
			continue
		}
		last = wordStart{m.word, i}
		words++
	}
}

// status writes the HTTP status that stands at i in an access log, after the word
// of out from prev to before, and returns where it ends; i where there is none.
func (m *masker) status(msg []byte, i, prev, before int) int {
	if prev < 0 || before-prev != 7 || string(m.out[prev:before]) != "HTTP/\x01\"" || i+3 > len(msg) || i+3 < len(msg) && msg[i+3] != ' ' {
		return i
	}
	for _, c := range msg[i : i+3] {
		if classOf[c]&isDigit == 0 {
			return i
		}
	}
	m.out = append(m.out, msg[i:i+3]...)
	return i + 3
}

type wordStart struct{ at, end int }

// collapse makes the word just written part of the one before where both are
// one value: numbers in a row, the unit of a number, the half of the day. before
// is the length of out without the word, prev where the word before begins.
func (m *masker) collapse(before, prev int, source []byte) bool {
	if prev < 0 {
		return false
	}
	a, b := m.out[prev:before], m.out[m.word:]
	if a[0] != wild || len(a) > 2 {
		if len(b) <= 4 && a[len(a)-1] == wild && b[0] != wild {
			if n := unitLength(source); n > 0 && len(source)-n <= 1 {
				m.out = append(m.out[:before], source[n:]...)
				return true
			}
		}
		return false
	}
	if b[0] == wild {
		switch {
		case len(b) == 1 && (len(a) == 1 || a[1] == ','), len(b) == 2 && b[1] == ',' && (len(a) == 1 || a[1] == ','):
			m.out = append(m.out[:prev], b...)
			return true
		}
		return false
	}
	if len(a) == 1 && len(b) <= 5 {
		if n := unitLength(source); n > 0 && (n == len(source) || classOf[source[n]]&isLetter == 0) {
			m.out = append(m.out[:before], source[n:]...)
			return true
		}
	}
	return false
}

// maskWord writes the word of msg that begins at i and returns where it ends. A
// quoted string is part of its word, with its spaces.
func (m *masker) maskWord(msg []byte, i int) int {
	path := false
	for i < len(msg) {
		c := msg[i]
		class := classOf[c]
		switch {
		case class&(isLetter|isDigit) != 0:
			i = m.maskRun(msg, i)
			continue
		case class&isSpace != 0:
			return i
		}
		switch c {
		case '"', '\'', '`':
			if end := m.maskQuoted(msg, i); end > i {
				i = end
				continue
			}
		case '-', '+':
			if i+1 < len(msg) && classOf[msg[i+1]]&isDigit != 0 && !m.afterName() {
				i++
				continue
			}
		case '/':
			path = true
		case '?':
			if path && i+1 < len(msg) && classOf[msg[i+1]]&isLetter != 0 {
				if end := endOfQuery(msg, i); end > i {
					m.out = append(m.out, '?', wild)
					i = end
					continue
				}
			}
		case '@':
			if end := m.maskAddress(msg, i); end > i {
				i = end
				continue
			}
		}
		m.out = append(m.out, c)
		i++
	}
	return i
}

// afterName tells whether the word so far ends in a letter, digit or value.
func (m *masker) afterName() bool {
	if len(m.out) == m.word {
		return false
	}
	c := m.out[len(m.out)-1]
	return c == wild || classOf[c]&(isLetter|isDigit) != 0 || c == ')' || c == ']'
}

// maskRun writes the letters and digits from i on.
func (m *masker) maskRun(msg []byte, i int) int {
	from := i
	var all uint8
	hex := uint8(isHex)
	for i < len(msg) {
		class := classOf[msg[i]]
		if class&(isLetter|isDigit) == 0 {
			break
		}
		all |= class
		hex &= class
		i++
	}
	run := msg[from:i]
	switch {
	case all&isDigit == 0:
		if (len(run) <= 5 && m.isConstantValue(msg, from, i)) || (hex != 0 && m.continuesHex(msg, run, i)) {
			m.value()
		} else {
			m.out = append(m.out, run...)
		}
	case all&isLetter == 0, hex != 0 && (len(run) >= 4 || m.continuesHex(msg, run, i)), opaque(run):
		m.value()
	default:
		m.partly(run)
	}
	return i
}

// value writes a wildcard. A value that goes on from the one before, such as the
// minutes after the hours, is the same one.
func (m *masker) value() {
	n := len(m.out)
	for k := n - 1; k >= m.word && n-k <= 3; k-- {
		if m.out[k] == wild {
			m.out = m.out[:k+1]
			return
		}
		if classOf[m.out[k]]&isConnector == 0 {
			break
		}
	}
	m.out = append(m.out, wild)
}

// partly writes a name with its numbers masked: eth0, node12.
func (m *masker) partly(run []byte) {
	for i := 0; i < len(run); {
		if classOf[run[i]]&isDigit == 0 {
			m.out = append(m.out, run[i])
			i++
			continue
		}
		for i < len(run) && classOf[run[i]]&isDigit != 0 {
			i++
		}
		m.out = append(m.out, wild)
	}
}

// opaque tells whether letters and digits are no name with a number in it but
// one value: 0x7f, 12ms, 20T15, 1920x1080, or so mixed that nobody named it so.
func opaque(run []byte) bool {
	if run[0] == '0' && len(run) > 2 && run[1]|0x20 == 'x' {
		return true
	}
	changes, digits := 0, 0
	for i, c := range run {
		d := classOf[c]&isDigit != 0
		if d {
			digits++
		}
		if i > 0 && d != (classOf[run[i-1]]&isDigit != 0) {
			changes++
		}
	}
	if changes >= 3 || (len(run) >= 12 && digits >= 4) {
		return true
	}
	if classOf[run[0]]&isDigit == 0 {
		return false
	}
	i := 0
	for classOf[run[i]]&isDigit != 0 {
		i++
	}
	if changes == 2 {
		return run[i+1]&0xf0 <= '0' && bytes.IndexByte([]byte("TxXmhsd"), run[i]) >= 0
	}
	return unitLength(run[i:]) == len(run)-i || (len(run)-i == 1 && (run[i] == 'Z' || run[i] == 'T'))
}

// continuesHex tells whether a group of hexadecimal letters is the next part of
// a value: the groups of a UUID, the bytes of a MAC address.
func (m *masker) continuesHex(msg, run []byte, end int) bool {
	n := len(m.out)
	if n-m.word < 2 {
		return false
	}
	c := m.out[n-1]
	if c != '-' && c != ':' || m.out[n-2] != wild && (m.out[n-2] != ':' || n-m.word < 3 || m.out[n-3] != wild) {
		return false
	}
	if c == ':' && len(run) <= 4 && end < len(msg) && msg[end] == ':' || len(run) == 4 || len(run) == 12 || len(run) == 8 {
		return true
	}
	return len(run) <= 2 && (end == len(msg) || msg[end] == c || classOf[msg[end]]&(isSpace|isOpening) != 0)
}

// isConstantValue tells whether the letters msg[from:end] are true, false, null
// and the like where a value is expected.
func (m *masker) isConstantValue(msg []byte, from, end int) bool {
	n := end - from
	if n < 3 || (end < len(msg) && (msg[end] == '_' || msg[end] == '-' || msg[end] == '.' && end+1 < len(msg) && classOf[msg[end+1]]&isSpace == 0)) {
		return false
	}
	if k := len(m.out); k > m.word && classOf[m.out[k-1]]&isOpening == 0 {
		return false
	}
	switch string(msg[from:end]) {
	case "true", "false", "True", "False", "TRUE", "FALSE":
		return true
	case "null", "None", "nil", "NULL": // but not in the middle of a sentence
		return len(m.out) > m.word || end == len(msg) || msg[end] != ' '
	}
	return false
}

// maskQuoted writes the quoted string at i as one value and returns where it
// ends, or i where there is none. The names of a JSON object are kept, and the
// request of an access log.
func (m *masker) maskQuoted(msg []byte, i int) int {
	if k := len(m.out); k > m.word && classOf[m.out[k-1]]&isOpening == 0 && m.out[k-1] != '\\' {
		return i
	}
	const longest = 1024
	quote := msg[i]
	end := i + 1
	for {
		if end == len(msg) || end-i > longest {
			return i
		}
		if msg[end] == quote && (quote == '"' || end+1 == len(msg) || classOf[msg[end+1]]&isLetter == 0) {
			break
		}
		end++
	}
	if end == i+1 || (quote == '"' && end+1 < len(msg) && msg[end+1] == ':') {
		return i
	}
	if quote == '"' && isRequest(msg[i+1:end]) {
		return i
	}
	m.out = append(m.out, quote, wild, quote)
	return end + 1
}

// isRequest tells whether s is the first line of an HTTP request.
func isRequest(s []byte) bool {
	switch method, rest, _ := bytes.Cut(s, []byte{' '}); string(method) {
	case "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT":
		return len(rest) > 0
	}
	return false
}

// maskAddress makes the e-mail address around the @ at i one value and returns
// where it ends, or i where there is none.
func (m *masker) maskAddress(msg []byte, i int) int {
	end, dots := i+1, 0
	for end < len(msg) && (classOf[msg[end]]&(isLetter|isDigit) != 0 || msg[end] == '-' || msg[end] == '.') {
		if msg[end] == '.' && classOf[msg[end-1]]&(isLetter|isDigit) != 0 {
			dots++
		}
		end++
	}
	for end > i+1 && msg[end-1] == '.' {
		end--
		dots--
	}
	from := len(m.out)
	for from > m.word && (classOf[m.out[from-1]]&(isLetter|isDigit) != 0 || bytes.IndexByte([]byte("._%+-\x01"), m.out[from-1]) >= 0) {
		from--
	}
	if dots < 1 || from == len(m.out) {
		return i
	}
	m.out = append(m.out[:from], wild)
	return end
}

// endOfQuery is where the query string that begins at i ends; i where what
// follows is none.
func endOfQuery(msg []byte, i int) int {
	end, named := i, false
	for end < len(msg) && classOf[msg[end]]&isSpace == 0 && bytes.IndexByte([]byte(`"'<>)]`), msg[end]) < 0 {
		named = named || msg[end] == '='
		end++
	}
	if !named {
		return i
	}
	return end
}

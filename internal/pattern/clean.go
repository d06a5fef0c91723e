package pattern

import "bytes"

// clean takes the sequences of ANSI terminals, control characters and the marks
// that change the direction of text out of a line. A line without any, which is
// almost every line, is returned as it is; otherwise the cleaned one is written
// into buf.
func clean(line, buf []byte) (cleaned, newBuf []byte) {
	first := -1
	for i, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f || c == 0xe2 || c == 0xef {
			first = i
			break
		}
	}
	if first < 0 {
		return line, buf
	}
	buf = append(buf[:0], line[:first]...)
	for i := first; i < len(line); {
		switch c := line[i]; {
		case c == 0x1b:
			i = endOfEscape(line, i)
		case c == 0xe2 && i+2 < len(line) && isDirection(line[i+1], line[i+2]), c == 0xef && bytes.HasPrefix(line[i:], []byte("\ufeff")):
			i += 3
		case c < ' ' && c != '\t' || c == 0x7f:
			i++
		default:
			buf = append(buf, c)
			i++
		}
	}
	return buf, buf
}

// isDirection tells the last two bytes of U+200B to U+200F, U+202A to U+202E and
// U+2066 to U+2069: marks that are not seen and turn what is.
func isDirection(b, c byte) bool {
	return b == 0x80 && (c >= 0x8b && c <= 0x8f || c >= 0xaa && c <= 0xae) || b == 0x81 && c >= 0xa6 && c <= 0xa9
}

// endOfEscape is where the escape sequence at i ends (ECMA-48).
func endOfEscape(line []byte, i int) int {
	i++
	if i == len(line) {
		return i
	}
	switch line[i] {
	case '[':
		for i++; i < len(line); i++ {
			if c := line[i]; c >= 0x40 && c <= 0x7e {
				return i + 1
			}
		}
		return i
	case ']': // ends with BEL or ESC \
		for i++; i < len(line); i++ {
			if line[i] == 0x07 {
				return i + 1
			}
			if line[i] == 0x1b {
				return min(i+2, len(line))
			}
		}
		return i
	}
	return i + 1
}

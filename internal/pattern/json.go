package pattern

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// maxNesting is how deep a value of a JSON line may nest; one that is deeper is
// not read as JSON.
const maxNesting = 10_000

// object reads the members of the JSON object that line is, without recursion,
// and tells whether it is one. Keys and strings are given without their quotes,
// escapes as they stand; other values as they stand. yield returns false to stop.
func object(line []byte, yield func(key, value []byte, isString bool) bool) bool {
	i := skipSpace(line, 0)
	if i == len(line) || line[i] != '{' {
		return false
	}
	i = skipSpace(line, i+1)
	if i < len(line) && line[i] == '}' {
		return skipSpace(line, i+1) == len(line)
	}
	for i < len(line) && line[i] == '"' {
		end := endOfString(line, i)
		if end < 0 {
			return false
		}
		key := line[i+1 : end-1]
		i = skipSpace(line, end)
		if i == len(line) || line[i] != ':' {
			return false
		}
		i = skipSpace(line, i+1)
		if end = endOfJSON(line, i); end < 0 {
			return false
		}
		value, isString := line[i:end], line[i] == '"'
		if isString {
			value = line[i+1 : end-1]
		}
		if !yield(key, value, isString) {
			return true
		}
		i = skipSpace(line, end)
		switch {
		case i == len(line):
			return false
		case line[i] == '}':
			return skipSpace(line, i+1) == len(line)
		case line[i] != ',':
			return false
		}
		i = skipSpace(line, i+1)
	}
	return false
}

func skipSpace(s []byte, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}

// endOfString is where the string that begins at i ends, after its quote; -1
// where it does not.
func endOfString(s []byte, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// endOfJSON is where the value that begins at i ends, -1 where it does not or
// nests too deep. What is inside of arrays and objects is not checked.
func endOfJSON(s []byte, i int) int {
	if i == len(s) {
		return -1
	}
	switch s[i] {
	case '"':
		return endOfString(s, i)
	case '{', '[':
	default:
		from := i
		for i < len(s) && s[i] != ',' && s[i] != '}' && s[i] != ']' && s[i] > ' ' {
			i++
		}
		if i == from {
			return -1
		}
		return i
	}
	depth := 0
	for i < len(s) {
		switch s[i] {
		case '"':
			if i = endOfString(s, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			if depth++; depth > maxNesting {
				return -1
			}
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// unescape appends the string s, which stands in JSON, to buf.
func unescape(s, buf []byte) []byte {
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 || i+1 == len(s) {
			return append(buf, s...)
		}
		buf = append(buf, s[:i]...)
		c := s[i+1]
		s = s[i+2:]
		switch c {
		case 'n':
			buf = append(buf, '\n')
		case 't':
			buf = append(buf, '\t')
		case 'r':
			buf = append(buf, '\r')
		case 'b', 'f':
			buf = append(buf, ' ')
		case 'u':
			r, ok := hexRune(s)
			if !ok {
				buf = append(buf, '\\', 'u')
				continue
			}
			s = s[4:]
			if utf16.IsSurrogate(r) && len(s) >= 6 && s[0] == '\\' && s[1] == 'u' {
				if low, ok := hexRune(s[2:]); ok {
					r = utf16.DecodeRune(r, low)
					s = s[6:]
				}
			}
			buf = utf8.AppendRune(buf, r)
		default:
			buf = append(buf, c)
		}
	}
}

func hexRune(s []byte) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range s[:4] {
		if classOf[c]&isHex == 0 {
			return 0, false
		}
		d := rune(c & 0x0f)
		if c >= 'A' {
			d += 9
		}
		r = r<<4 | d
	}
	return r, true
}

package wire

import (
	"unicode/utf16"
	"unicode/utf8"
)

// quoted takes a text and returns what stands between its quotes, as written.
// plain is true where that is what it means: no escapes, nothing beyond ASCII.
func (r *reader) quoted() (raw []byte, plain bool, err error) {
	if err := r.take('"'); err != nil {
		return nil, false, err
	}
	plain = true
	for i := r.pos; ; {
		for ; i < r.end; i++ {
			switch class[r.buf[i]] {
			case ordinary:
			case beyond:
				plain = false
			case quote:
				raw = r.buf[r.pos:i]
				r.pos = i + 1
				return raw, plain, nil
			case control:
				return nil, false, r.fault("a text holds a control character")
			case backslash:
				plain = false
				if i+1 == r.end {
					goto refill // with the backslash still ahead
				}
				i++
			}
		}
	refill:
		ahead := i - r.pos
		if err := r.more(); err != nil {
			return nil, false, err
		}
		i = r.pos + ahead
	}
}

// What a byte is to a text.
const (
	ordinary = iota
	quote
	backslash
	control
	beyond // ASCII
)

var class = func() (t [256]byte) {
	for c := range t {
		switch {
		case c == '"':
			t[c] = quote
		case c == '\\':
			t[c] = backslash
		case c < ' ':
			t[c] = control
		case c >= utf8.RuneSelf:
			t[c] = beyond
		}
	}
	return t
}()

// text takes a text and returns what it means.
func (r *reader) text() ([]byte, error) {
	raw, plain, err := r.quoted()
	if err != nil || plain {
		return raw, err
	}
	var ok bool
	r.scratch, ok = appendText(r.scratch[:0], raw)
	if !ok {
		return nil, r.fault("a text holds an escape that JSON does not know")
	}
	return r.scratch, nil
}

// appendText appends what raw means, which stood between quotes. Bytes that are
// no UTF-8 and halves of surrogate pairs become U+FFFD, as with encoding/json.
func appendText(dst, raw []byte) ([]byte, bool) {
	for i := 0; i < len(raw); {
		c := raw[i]
		switch {
		case c == '\\':
			char, size, ok := escape(raw[i:])
			if !ok {
				return dst, false
			}
			dst = utf8.AppendRune(dst, char)
			i += size
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			char, size := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, char)
			i += size
		}
	}
	return dst, true
}

// escape reads the escape that raw begins with.
func escape(raw []byte) (char rune, size int, ok bool) {
	if len(raw) < 2 {
		return 0, 0, false
	}
	switch raw[1] {
	case '"', '\\', '/':
		return rune(raw[1]), 2, true
	case 'b':
		return '\b', 2, true
	case 'f':
		return '\f', 2, true
	case 'n':
		return '\n', 2, true
	case 'r':
		return '\r', 2, true
	case 't':
		return '\t', 2, true
	}
	first, ok := hex4(raw)
	if !ok {
		return 0, 0, false
	}
	if !utf16.IsSurrogate(first) {
		return first, 6, true
	}
	if second, ok := hex4(raw[6:]); ok {
		if char := utf16.DecodeRune(first, second); char != utf8.RuneError {
			return char, 12, true
		}
	}
	return utf8.RuneError, 6, true
}

// hex4 reads \uXXXX.
func hex4(raw []byte) (rune, bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	var n rune
	for _, c := range raw[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | rune(c)
	}
	return n, true
}

package wire

import (
	"strconv"
	"unsafe"
)

// number takes a number and returns it as written.
func (r *reader) number() ([]byte, error) {
	if _, err := r.peek(); err != nil {
		return nil, err
	}
	n := 0
	for {
		for ; r.pos+n < r.end; n++ {
			switch c := r.buf[r.pos+n]; {
			case c >= '0' && c <= '9', c == '.', c == '-', c == '+', c == 'e', c == 'E':
				continue
			}
			text := r.buf[r.pos : r.pos+n]
			if !isNumber(text) {
				return nil, r.fault("this is no value")
			}
			r.pos += n
			return text, nil
		}
		// A number ends with what follows it; nothing may follow the last bracket
		// only.
		if err := r.more(); err != nil {
			return nil, err
		}
	}
}

// isNumber tells whether text is a number of JSON.
func isNumber(text []byte) bool {
	i, n := 0, len(text)
	digits := func() bool {
		from := i
		for i < n && text[i] >= '0' && text[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < n && text[i] == '-' {
		i++
	}
	if i < n && text[i] == '0' {
		i++
	} else if !digits() {
		return false
	}
	if i < n && text[i] == '.' {
		if i++; !digits() {
			return false
		}
	}
	if i < n && (text[i] == 'e' || text[i] == 'E') {
		if i++; i < n && (text[i] == '+' || text[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == n
}

// millis reads a time in seconds, with or without a fraction, as milliseconds.
// What is finer than a millisecond is cut off. It is read digit by digit, since
// as a float it could be a millisecond off.
func millis(text []byte) (int64, bool) {
	i, negative := 0, false
	if len(text) > 0 && text[0] == '-' {
		i, negative = 1, true
	}
	var ms int64
	begin := i
	for ; i < len(text) && text[i] >= '0' && text[i] <= '9'; i++ {
		if ms = ms*10 + int64(text[i]-'0'); ms > 1e15 {
			return 0, false // 30 million years
		}
	}
	if i == begin {
		return 0, false
	}
	fraction := int64(0)
	if i < len(text) && text[i] == '.' {
		i++
		begin = i
		for weight := int64(100); i < len(text) && text[i] >= '0' && text[i] <= '9'; i++ {
			fraction += int64(text[i]-'0') * weight
			weight /= 10
		}
		if i == begin {
			return 0, false
		}
	}
	if i != len(text) {
		return 0, false
	}
	ms = ms*1000 + fraction
	if negative {
		ms = -ms
	}
	return ms, true
}

// powers of ten that a float holds exactly, as far as they are needed here.
var powers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// float reads a value as Prometheus writes it: "NaN", "+Inf" and exponents too.
func float(text []byte) (float64, bool) {
	if f, ok := shortFloat(text); ok {
		return f, true
	}
	if len(text) == 0 {
		return 0, false
	}
	// The string lives as long as the call; the error, which holds a copy, is
	// dropped.
	f, err := strconv.ParseFloat(unsafe.String(&text[0], len(text)), 64)
	return f, err == nil
}

// shortFloat reads what has at most 15 digits and no exponent. Digits and power
// of ten are both exact then, so that their quotient is rounded once: rightly.
func shortFloat(text []byte) (float64, bool) {
	if len(text) == 0 || len(text) > 16 {
		return 0, false
	}
	var digits uint64
	point := -1
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9':
			digits = digits*10 + uint64(c-'0')
		case c == '.' && point < 0 && i > 0:
			point = i
		default:
			return 0, false
		}
	}
	switch {
	case point < 0 && len(text) <= 15:
		return float64(digits), true
	case point > 0 && point < len(text)-1:
		return float64(digits) / powers[len(text)-1-point], true
	}
	return 0, false
}

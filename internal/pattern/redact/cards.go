package redact

// cards finds numbers of payment cards: 13 to 19 digits, alone or in groups with
// one space or dash between them, of a network's range and length, whose check
// digit is right (Luhn).
func cards(text []byte, add func(from, to int, kind string)) {
	for i := 0; i < len(text); {
		if !isDigit(text[i]) {
			i++
			continue
		}
		from := i
		var digits [20]byte
		n, groups, group := 0, 1, 0
		var mark byte
		to := i
		for i < len(text) {
			c := text[i]
			if isDigit(c) {
				if n < len(digits) {
					digits[n] = c - '0'
				}
				n++
				group++
				i++
				to = i
				continue
			}
			if (c == ' ' || c == '-') && (mark == 0 || mark == c) && group >= 4 && group <= 6 && i+1 < len(text) && isDigit(text[i+1]) && n < 19 {
				mark = c
				groups++
				group = 0
				i++
				continue
			}
			break
		}
		if n < 13 || n > 19 || partOfName(text, from, to) || groups > 5 {
			continue
		}
		if inRange(digits[:n]) && luhn(digits[:n]) {
			add(from, to, "card")
		}
	}
}

// partOfName tells whether digits are part of something longer.
func partOfName(text []byte, from, to int) bool {
	if from > 0 {
		if c := text[from-1]; isAlnum(c) || c == '_' || c == '-' || c == '.' || c == '+' || c == '/' {
			return true
		}
	}
	if to < len(text) {
		c := text[to]
		if isAlnum(c) || c == '_' || c == '-' || c == '/' {
			return true
		}
		return c == '.' && to+1 < len(text) && isDigit(text[to+1])
	}
	return false
}

func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i])
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// inRange tells whether a number begins and is as long as a network issues them.
func inRange(digits []byte) bool {
	four := int(digits[0])*1000 + int(digits[1])*100 + int(digits[2])*10 + int(digits[3])
	two, n := four/100, len(digits)
	switch {
	case four/1000 == 4: // Visa
		return n == 13 || n == 16 || n == 19
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720: // Mastercard
		return n == 16
	case two == 34 || two == 37: // American Express
		return n == 15
	case four == 6011, two == 65, four >= 6440 && four <= 6499: // Discover
		return n == 16 || n == 19
	case four >= 3000 && four <= 3059, two == 36, two == 38, two == 39: // Diners Club
		return n == 14 || n == 16
	case four >= 3528 && four <= 3589: // JCB
		return n == 16
	case two == 62, two == 81: // UnionPay
		return n >= 16
	case two == 50, two >= 56 && two <= 58, two == 63, two == 67: // Maestro
		return n >= 16
	}
	return false
}

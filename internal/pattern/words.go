package pattern

import "strings"

// wildWord is the word that is a wildcard.
const wildWord = "\x01"

// wordInfo is what is known of a word of a shape.
type wordInfo struct {
	text string
	kind wordKind
	head string // the name of its value: "user=" of "user=bob"
}

// wordKind says what a word is likely to be.
type wordKind uint8

const (
	kindPlain wordKind = iota // letters and punctuation
	kindValue                 // a value, or a word that looks like one
	kindFixed                 // never a wildcard: a status, a name without its value
)

// kindOf tells the kind of a word by its letters.
func kindOf(word string) wordKind {
	if word == "" {
		return kindFixed
	}
	tail := word[len(headOf(word)):]
	if tail == "" && word[len(word)-1] == '=' {
		return kindFixed
	}
	var digits, letters, wilds, inner int
	for i := 0; i < len(tail); i++ {
		c := tail[i]
		switch {
		case c == wild:
			wilds++
		case classOf[c]&isDigit != 0:
			digits++
		case classOf[c]&isLetter != 0:
			letters++
		case i+1 < len(tail) && classOf[tail[i+1]]&(isLetter|isDigit) != 0 && strings.IndexByte(`/\@.:`, c) >= 0, c == '_' || c == '-':
			inner++
		}
	}
	switch {
	case digits > 0 && digits == len(word):
		return kindFixed
	case letters == 0 && wilds > 0, inner > 0 && (wilds > 0 || strings.ContainsAny(tail, `/\@.`)):
		return kindValue
	case wilds > 1:
		return kindValue
	}
	return kindPlain
}

// headOf is the name that a word gives its value, with the mark after it: up to the
// last "=", or to an opening bracket or colon after letters. A word that ends with
// its mark names no value, except with "=".
func headOf(word string) string {
	if i := strings.LastIndexByte(word, '='); i > 0 {
		if i > 0 && classOf[word[i-1]]&(isLetter|isDigit) != 0 {
			return word[:i+1]
		}
		return ""
	}
	i := 0
	for i < len(word) && (classOf[word[i]]&isLetter != 0 || word[i] == '_') {
		i++
	}
	if i > 0 && i+1 < len(word) && strings.IndexByte(":([{", word[i]) >= 0 && word[i+1] != '/' {
		return word[:i+1]
	}
	return ""
}

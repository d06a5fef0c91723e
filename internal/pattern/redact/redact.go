// Package redact takes secrets out of text before it is kept or sent: tokens,
// keys, passwords, cookies, card numbers. It finds them by their form and by the
// names they are given, with scanners that read a text a bounded number of times;
// regular expressions are only a user's own.
//
// What is found is replaced by [redacted:KIND], so that a reader knows what stood
// there and redacting twice changes nothing.
package redact

import (
	"bytes"
	"fmt"
	"regexp"
)

// Options says what is redacted beyond what always is.
type Options struct {
	// Email redacts e-mail addresses too.
	Email bool
	// Rules are a user's own regular expressions (RE2). The first group is
	// redacted where there is one, otherwise the whole match.
	Rules []*regexp.Regexp
}

// Redactor takes secrets out of texts. It is safe for concurrent use.
type Redactor struct{ opt Options }

// New returns a Redactor.
func New(opt Options) *Redactor { return &Redactor{opt} }

// Compile reads a user's rules; the error names the one that cannot be read.
func Compile(rules []string) ([]*regexp.Regexp, error) {
	out := make([]*regexp.Regexp, len(rules))
	for i, rule := range rules {
		re, err := regexp.Compile(rule)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", rule, err)
		}
		if re.MatchString("") {
			return nil, fmt.Errorf("rule %q matches the empty text: it would redact everything", rule)
		}
		out[i] = re
	}
	return out, nil
}

// span is a part of a text that is secret.
type span struct {
	from, to int
	kind     string
}

// Bytes returns text without its secrets: text itself where there is none,
// otherwise a new slice.
func (r *Redactor) Bytes(text []byte) []byte {
	spans := r.find(text)
	if len(spans) == 0 {
		return text
	}
	out := make([]byte, 0, len(text)+16*len(spans))
	at := 0
	for _, s := range spans {
		out = append(out, text[at:s.from]...)
		out = append(out, "[redacted:"...)
		out = append(out, s.kind...)
		out = append(out, ']')
		at = s.to
	}
	return append(out, text[at:]...)
}

// find is the secrets of text, in order and apart from one another.
func (r *Redactor) find(text []byte) []span {
	var spans []span
	add := func(from, to int, kind string) {
		if to > from && !bytes.HasPrefix(text[from:to], []byte("[redacted:")) {
			spans = append(spans, span{from, to, kind})
		}
	}
	privateKeys(text, add)
	words(text, func(from, to int) { known(text, from, to, add) })
	named(text, add)
	urls(text, add)
	cards(text, add)
	if r.opt.Email {
		emails(text, add)
	}
	for _, rule := range r.opt.Rules {
		for _, at := range rule.FindAllSubmatchIndex(text, -1) {
			if len(at) >= 4 && at[2] >= 0 {
				at = at[2:4]
			}
			add(at[0], at[1], "rule")
		}
	}
	return apart(spans)
}

// apart sorts spans and makes one of those that overlap.
func apart(spans []span) []span {
	if len(spans) < 2 {
		return spans
	}
	sortSpans(spans)
	out := spans[:1]
	for _, s := range spans[1:] {
		last := &out[len(out)-1]
		if s.from < last.to {
			last.to = max(last.to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

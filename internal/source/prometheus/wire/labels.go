package wire

import (
	"unsafe"

	"github.com/prometheus/prometheus/model/labels"
)

// labelReader reads label sets, which are objects of texts.
type labelReader struct {
	builder labels.ScratchBuilder
	text    []byte // what the buffer does not hold as it is meant
}

// wholeObject sees to it that the object that comes is in the buffer up to its
// end, without taking it. What is no object is left to whoever takes it.
func (r *reader) wholeObject() error {
	if c, err := r.peek(); err != nil || c != '{' {
		return err
	}
	within, escaped := false, false // a text, and behind a backslash in it
	for n, depth := 0, 0; ; {
		for ; r.pos+n < r.end; n++ {
			c := r.buf[r.pos+n]
			switch {
			case escaped:
				escaped = false
			case within:
				within, escaped = c != '"', c == '\\'
			case c == '"':
				within = true
			case c == '{':
				depth++
			case c == '}':
				if depth--; depth == 0 {
					return nil
				}
			}
		}
		if err := r.more(); err != nil {
			return err
		}
	}
}

// read takes one label set; labels without a value are none. The buffer holds
// the set as a whole, so that it does not move while the builder refers to it.
//
// To remember sets between answers by their bytes was measured: it saves a tenth
// of the time at four samples a series, which is not worth the memory.
func (l *labelReader) read(r *reader) (labels.Labels, error) {
	if err := r.wholeObject(); err != nil {
		return labels.Labels{}, err
	}
	l.builder.Reset()
	l.text = l.text[:0]
	sorted, last, bare := true, "", false
	err := r.object(func(k []byte) error {
		name := l.keep(r, k)
		value, err := r.text()
		if err != nil {
			return err
		}
		l.builder.Add(name, l.keep(r, value))
		bare = bare || len(value) == 0
		sorted = sorted && (last < name || last == "")
		last = name
		return nil
	})
	if err != nil {
		return labels.Labels{}, err
	}
	if !sorted {
		l.builder.Sort()
	}
	set := l.builder.Labels()
	if _, twice := set.HasDuplicateLabelNames(); twice {
		return labels.Labels{}, r.fault("a label stands twice in a series")
	}
	if bare {
		set = set.WithoutEmpty()
	}
	return set, nil
}

// keep is b as a string that is good until the next read. What stands in the
// buffer stays there; the rest would be overwritten by the next text.
func (l *labelReader) keep(r *reader, b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if at := unsafe.SliceData(b); at == unsafe.SliceData(r.scratch) || at == unsafe.SliceData(r.moved) {
		begin := len(l.text)
		l.text = append(l.text, b...) // a longer array leaves the old one to its strings
		b = l.text[begin:]
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}

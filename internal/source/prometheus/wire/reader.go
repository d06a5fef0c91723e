// Package wire decodes the answers of the Prometheus HTTP API as they stream
// in: what is counted must be counted exactly, from answers of millions of
// samples, with a bounded buffer. It reads the JSON of RFC 8259, keys in any
// order and unknown ones skipped, and refuses what does not end.
package wire

import (
	"errors"
	"fmt"
	"io"
)

const (
	bufferBytes = 64 << 10
	// maxTokenBytes bounds one text, number or label set, which must fit the
	// buffer as a whole.
	maxTokenBytes = 4 << 20
	// maxDepth bounds values within values, since skipping them recurses.
	maxDepth = 1000
)

// SyntaxError is an answer that is not the JSON that was expected, or that ends
// too early. What the other side wrote does not stand in it.
type SyntaxError struct {
	What string
	At   int64 // bytes from the beginning
}

// Error says what is wrong and where.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s, at byte %d", e.What, e.At) }

// reader is a stream of JSON. The slices it hands out are its buffer's, and
// are good until the next call.
type reader struct {
	src      io.Reader
	buf      []byte
	pos, end int
	base     int64  // bytes of the stream before buf
	scratch  []byte // what a text with escapes means
	moved    []byte // a key that could not stay in buf
}

func (r *reader) reset(src io.Reader) {
	if r.buf == nil {
		r.buf = make([]byte, bufferBytes)
	}
	r.src, r.pos, r.end, r.base = src, 0, 0, 0
}

func (r *reader) fault(format string, args ...any) error {
	return &SyntaxError{fmt.Sprintf(format, args...), r.base + int64(r.pos)}
}

// fill reads more behind what is there from pos on. It moves what is there to
// the front, so that offsets from pos stay and slices do not.
func (r *reader) fill() error {
	if r.pos > 0 {
		copy(r.buf, r.buf[r.pos:r.end])
		r.base += int64(r.pos)
		r.end -= r.pos
		r.pos = 0
	}
	if r.end == len(r.buf) {
		if len(r.buf) >= maxTokenBytes {
			return r.fault("one value is longer than %d bytes", maxTokenBytes)
		}
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		switch {
		case n > 0:
			return nil // an error comes again with the next call
		case errors.Is(err, io.EOF):
			return io.EOF
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// more is fill where the answer must not end.
func (r *reader) more() error {
	err := r.fill()
	if errors.Is(err, io.EOF) {
		return r.fault("the answer ends too early")
	}
	return err
}

// peek returns the next byte that is no white space, without taking it.
func (r *reader) peek() (byte, error) {
	for {
		for ; r.pos < r.end; r.pos++ {
			switch c := r.buf[r.pos]; c {
			case ' ', '\t', '\n', '\r':
			default:
				return c, nil
			}
		}
		if err := r.more(); err != nil {
			return 0, err
		}
	}
}

// take takes the next byte that is no white space, which must be want.
func (r *reader) take(want byte) error {
	c, err := r.peek()
	if err != nil {
		return err
	}
	if c != want {
		return r.fault("%q is missing", want)
	}
	r.pos++
	return nil
}

// finish takes white space up to the end of the stream.
func (r *reader) finish() error {
	for {
		for ; r.pos < r.end; r.pos++ {
			switch r.buf[r.pos] {
			case ' ', '\t', '\n', '\r':
			default:
				return r.fault("something stands behind the answer")
			}
		}
		switch err := r.fill(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// null takes a null if one comes.
func (r *reader) null() (bool, error) {
	c, err := r.peek()
	if err != nil || c != 'n' {
		return false, err
	}
	return true, r.literal("null")
}

func (r *reader) literal(word string) error {
	for r.end-r.pos < len(word) {
		if err := r.more(); err != nil {
			return err
		}
	}
	if string(r.buf[r.pos:r.pos+len(word)]) != word {
		return r.fault("%s is missing", word)
	}
	r.pos += len(word)
	return nil
}

// array calls item for each value of an array; null is an empty one.
func (r *reader) array(item func() error) error {
	if null, err := r.null(); null || err != nil {
		return err
	}
	if err := r.take('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		c, err := r.peek()
		switch {
		case err != nil:
			return err
		case c == ']' && first:
			r.pos++
			return nil
		}
		if err := item(); err != nil {
			return err
		}
		if done, err := r.comma(']'); done || err != nil {
			return err
		}
	}
}

// comma takes a comma, or the end of what is being read.
func (r *reader) comma(end byte) (done bool, err error) {
	c, err := r.peek()
	switch {
	case err != nil:
		return false, err
	case c == end || c == ',':
		r.pos++
		return c == end, nil
	}
	return false, r.fault("a comma is missing")
}

// object calls field for each pair of an object, before its value; null is an
// empty one. The key is good until the next call.
func (r *reader) object(field func(key []byte) error) error {
	if null, err := r.null(); null || err != nil {
		return err
	}
	if err := r.take('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		c, err := r.peek()
		switch {
		case err != nil:
			return err
		case c == '}' && first:
			r.pos++
			return nil
		}
		key, err := r.key()
		if err != nil {
			return err
		}
		if err := field(key); err != nil {
			return err
		}
		if done, err := r.comma('}'); done || err != nil {
			return err
		}
	}
}

// key takes a key and the colon behind it.
func (r *reader) key() ([]byte, error) {
	key, err := r.text()
	if err != nil {
		return nil, err
	}
	if r.pos < r.end && r.buf[r.pos] == ':' {
		r.pos++
		return key, nil
	}
	// Looking for the colon may move the buffer, and the key with it.
	r.moved = append(r.moved[:0], key...)
	return r.moved, r.take(':')
}

// skip takes one value of any kind.
func (r *reader) skip(depth int) error {
	if depth > maxDepth {
		return r.fault("more than %d values within each other", maxDepth)
	}
	c, err := r.peek()
	if err != nil {
		return err
	}
	switch c {
	case '{':
		return r.object(func([]byte) error { return r.skip(depth + 1) })
	case '[':
		return r.array(func() error { return r.skip(depth + 1) })
	case '"':
		_, err = r.text()
	case 't':
		err = r.literal("true")
	case 'f':
		err = r.literal("false")
	case 'n':
		err = r.literal("null")
	default:
		_, err = r.number()
	}
	return err
}

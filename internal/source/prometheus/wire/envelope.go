package wire

import (
	"io"
	"strings"
)

const (
	maxWarnings = 20 // that are kept, and of each so many bytes
	maxWords    = 1000
)

// Envelope is what stands around the data of each answer.
type Envelope struct {
	Status    string // success or error
	ErrorType string
	Error     string
	// Warnings say that the data may not be whole; only the first ones are kept.
	// Infos, which do not, are left out.
	Warnings []string
}

// Data takes what an answer is about.
type Data interface {
	read(r *reader) error
}

// Decode reads one answer to its end, its data into data; where that is nil
// they are skipped. The error is a *SyntaxError, one of data, or what src failed
// with. Data after an error, a warning or another status than success are of no
// use.
func Decode(src io.Reader, data Data) (Envelope, error) {
	var e Envelope
	var r reader
	r.reset(src)
	if err := e.read(&r, data); err != nil {
		return e, err
	}
	return e, r.finish()
}

func (e *Envelope) read(r *reader, data Data) error {
	if c, err := r.peek(); err != nil || c != '{' {
		if err == nil {
			err = r.fault("the answer is no object")
		}
		return err
	}
	var seen seen
	return r.object(func(key []byte) error {
		switch string(key) {
		case "status":
			return seen.once(r, 0, r.words(&e.Status))
		case "errorType":
			return seen.once(r, 1, r.words(&e.ErrorType))
		case "error":
			return seen.once(r, 2, r.words(&e.Error))
		case "warnings":
			return seen.once(r, 3, func() error { return e.warnings(r) })
		case "data":
			return seen.once(r, 4, func() error {
				if data == nil {
					return r.skip(0)
				}
				return data.read(r)
			})
		}
		return r.skip(0)
	})
}

func (e *Envelope) warnings(r *reader) error {
	return r.array(func() error {
		var w string
		if err := r.words(&w)(); err != nil {
			return err
		}
		if len(e.Warnings) < maxWarnings {
			e.Warnings = append(e.Warnings, w)
		}
		return nil
	})
}

// words reads a text for people into s, of which the beginning is kept; null
// leaves it empty.
func (r *reader) words(s *string) func() error {
	return func() error {
		if null, err := r.null(); null || err != nil {
			return err
		}
		text, err := r.text()
		if err != nil {
			return err
		}
		*s = strings.ToValidUTF8(string(text[:min(len(text), maxWords)]), "")
		return nil
	}
}

// seen remembers which keys of an object came: with one given twice nobody
// knows which counts.
type seen uint

func (s *seen) once(r *reader, bit int, value func() error) error {
	if *s&(1<<bit) != 0 {
		return r.fault("a key is given twice")
	}
	*s |= 1 << bit
	return value()
}

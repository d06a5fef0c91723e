package pattern

import (
	"bytes"
	"errors"
	"io"
)

// MaxLine is how many bytes of a line are read; the rest of a longer one is passed
// over, and the line counted as truncated.
const MaxLine = 1 << 20

// ReadLines calls yield with every line of r without its end, valid until yield
// returns. truncated tells that the line was longer than MaxLine. It returns the
// error of r, or of yield.
func ReadLines(r io.Reader, yield func(line []byte, truncated bool) error) error {
	buf := make([]byte, 64<<10)
	from, to := 0, 0
	skipping := false // the rest of a line longer than MaxLine
	for {
		if i := bytes.IndexByte(buf[from:to], '\n'); i >= 0 {
			line := buf[from : from+i]
			from += i + 1
			if skipping {
				skipping = false
				continue
			}
			if err := yield(line, false); err != nil {
				return err
			}
			continue
		}
		if skipping {
			from, to = 0, 0
		}
		if to-from >= MaxLine {
			if err := yield(buf[from:from+MaxLine], true); err != nil {
				return err
			}
			from, to, skipping = 0, 0, true
		}
		if from > 0 {
			to = copy(buf, buf[from:to])
			from = 0
		}
		if to == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		n, err := r.Read(buf[to:])
		to += n
		if err != nil {
			for rest := buf[from:to]; len(rest) > 0 && !skipping; {
				line, more, _ := bytes.Cut(rest, []byte{'\n'})
				if e := yield(line, false); e != nil {
					return e
				}
				rest = more
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

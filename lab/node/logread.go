package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// followPoll is how often a log that is followed is looked at.
const followPoll = 200 * time.Millisecond

// logView says which part of a log to show, and how.
type logView struct {
	since, until time.Time // until zero: no end
	tail, limit  int64     // lines and bytes; -1: all
	follow       bool
	timestamps   bool
}

// readLog sends a container's log, the rotated part first.
func readLog(ctx context.Context, w io.Writer, flush func(), path string, view logView, running func() bool) error {
	var lines [][]byte
	if old, err := os.Open(path + ".1"); err == nil {
		lines = view.collect(bufio.NewReader(old), lines)
		_ = old.Close()
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	reader := bufio.NewReader(file)
	lines = view.collect(reader, lines)
	if view.tail >= 0 && int64(len(lines)) > view.tail {
		lines = lines[int64(len(lines))-view.tail:]
	}
	out := &limitedWriter{w: w, left: view.limit}
	for _, line := range lines {
		out.write(line)
	}
	for view.follow && out.err == nil {
		flush()
		ends := !running()
		for _, line := range view.collect(reader, nil) {
			out.write(line)
		}
		if ends || !sleep(ctx, followPoll) {
			break
		}
	}
	flush()
	return out.err
}

// collect adds the lines that can be read now and are within the view. The
// parts of a long line are one line again.
func (v logView) collect(r *bufio.Reader, lines [][]byte) [][]byte {
	joins := false // the line before has not ended
	for {
		entry, err := r.ReadBytes('\n')
		if err != nil { // entries are written whole: nothing is left behind
			return lines
		}
		shown, ok := v.show(entry, joins)
		switch {
		case !ok:
			continue
		case joins:
			lines[len(lines)-1] = append(lines[len(lines)-1], shown...)
		default:
			lines = append(lines, shown)
		}
		joins = !bytes.HasSuffix(shown, []byte{'\n'})
	}
}

// show takes an entry "<time> <stream> <tag> <line>" apart.
func (v logView) show(entry []byte, joins bool) ([]byte, bool) {
	stamp, rest, ok := bytes.Cut(entry, []byte{' '})
	if !ok {
		return nil, false
	}
	_, rest, ok = bytes.Cut(rest, []byte{' '})
	if !ok {
		return nil, false
	}
	tag, line, ok := bytes.Cut(rest, []byte{' '})
	if !ok {
		return nil, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil || at.Before(v.since) || !v.until.IsZero() && !at.Before(v.until) {
		return nil, false
	}
	if string(tag) == "P" {
		line = bytes.TrimSuffix(line, []byte{'\n'})
	}
	if v.timestamps && !joins {
		line = append(append(append([]byte{}, stamp...), ' '), line...)
	}
	return line, true
}

// limitedWriter writes so many bytes at most; -1: any number.
type limitedWriter struct {
	w    io.Writer
	left int64
	err  error
}

func (l *limitedWriter) write(p []byte) {
	if l.err != nil || l.left == 0 {
		return
	}
	if l.left > 0 {
		p = p[:min(int64(len(p)), l.left)]
		l.left -= int64(len(p))
	}
	_, l.err = l.w.Write(p)
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/watchtower-verify/watchtower/internal/app"
	"github.com/watchtower-verify/watchtower/internal/pattern"
)

// falseDiscoveries is the share of changes that may be chance.
const falseDiscoveries = 0.01

// patternsRun is one run of `patterns`.
type patternsRun struct {
	patternsFlags
	in    io.Reader
	out   io.Writer
	miner *pattern.Miner
}

// open opens a log; - is standard input.
func (r *patternsRun) open(name string) (io.Reader, func(), error) {
	if name == "-" {
		return r.in, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil
}

// stream is a reader of lines into the miner.
func (r *patternsRun) stream(arm int, onEvent func(uint64, pattern.Ref, bool)) *pattern.Stream {
	return pattern.NewStream(r.miner, pattern.StreamOptions{
		Arm: arm, MinLevel: pattern.ParseLevel([]byte(r.level.value)), OnEvent: onEvent,
	})
}

// read reads a whole log. When it is interrupted what was read until then counts.
func (r *patternsRun) read(ctx context.Context, name string, s *pattern.Stream) error {
	in, closeIn, err := r.open(name)
	if err != nil {
		return err
	}
	defer closeIn()
	stop := context.AfterFunc(ctx, closeIn) // a pipe may never end
	defer stop()
	err = pattern.ReadLines(in, func(line []byte, truncated bool) error {
		if truncated {
			s.Truncated()
		}
		s.Line(line)
		return ctx.Err()
	})
	s.Close()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("read %s: %w", displayName(name), err)
	}
	return nil
}

func displayName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

// mine says what one log says.
func (r *patternsRun) mine(ctx context.Context, name string) error {
	var rows rows
	var onEvent func(uint64, pattern.Ref, bool)
	if r.output.value == "jsonl" {
		onEvent = rows.add
	}
	if err := r.read(ctx, name, r.stream(0, onEvent)); err != nil {
		return err
	}
	out := bufio.NewWriterSize(r.out, 64<<10)
	patterns := r.miner.Patterns()
	switch r.output.value {
	case "jsonl":
		rows.print(out, r.miner)
	case "json":
		if err := printAs(out, "json", patternsJSON(patterns, r.miner.Stats())); err != nil {
			return err
		}
	default:
		printPatterns(out, patterns, r.miner.Stats(), r.limit)
	}
	return out.Flush()
}

// compare says what is new in a log, and what is gone.
func (r *patternsRun) compare(ctx context.Context, older, newer string) error {
	if older == "-" && newer == "-" {
		return usageError{errors.New("both logs are standard input: name a file for one"), "watchtower patterns"}
	}
	for arm, name := range []string{older, newer} {
		if err := r.read(ctx, name, r.stream(arm, nil)); err != nil {
			return err
		}
	}
	changes := app.ComparePatterns(r.miner.Patterns(), falseDiscoveries)
	out := bufio.NewWriter(r.out)
	if r.output.value == "json" {
		if err := printAs(out, "json", changesJSON(changes, r.miner.Stats())); err != nil {
			return err
		}
	} else {
		printChanges(out, changes, r.miner.Stats(), r.limit)
	}
	return out.Flush()
}

// follow tells of patterns as they appear, and counts them at the end.
func (r *patternsRun) follow(ctx context.Context, name string) error {
	lines, done := make(chan []byte, 1024), make(chan error, 1)
	s := r.stream(0, nil)
	in, closeIn, err := r.open(name)
	if err != nil {
		return err
	}
	defer closeIn()
	go func() {
		done <- pattern.ReadLines(in, func(line []byte, truncated bool) error {
			select {
			case lines <- append([]byte(nil), line...):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(lines)
	}()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	told := map[uint64]bool{}
	for open := true; open; {
		select {
		case line, more := <-lines:
			if open = more; more {
				s.Line(line)
			}
		case <-ticker.C:
			s.Learn()
			r.tell(told)
		case <-ctx.Done():
			open = false
		}
	}
	s.Close()
	r.tell(told)
	fmt.Fprintln(r.out)
	printPatterns(r.out, r.miner.Patterns(), r.miner.Stats(), r.limit)
	if ctx.Err() != nil {
		return nil
	}
	if err := <-done; err != nil {
		return fmt.Errorf("read %s: %w", displayName(name), err)
	}
	return nil
}

// tell prints the patterns whose first line was not told of.
func (r *patternsRun) tell(told map[uint64]bool) {
	if !r.miner.Changed() {
		return
	}
	for _, p := range r.miner.Patterns() {
		if told[p.First] {
			continue
		}
		told[p.First] = true
		fmt.Fprintf(r.out, "line %-8d %-5s  %s  %s\n", p.First, p.Level, p.ID, shorten(printable(p.Template)))
	}
}

// rows are the events of all lines, until it is known which patterns they are of.
type rows struct {
	events []rowEvent
}

// rowEvent is the events in a row that are of one entry.
type rowEvent struct {
	ref     pattern.Ref
	lines   uint32
	counted bool
}

func (r *rows) add(lines uint64, ref pattern.Ref, counted bool) {
	if n := len(r.events); n > 0 {
		if last := &r.events[n-1]; last.ref == ref && last.counted == counted && uint64(last.lines)+lines < 1<<32 {
			last.lines += uint32(lines)
			return
		}
	}
	r.events = append(r.events, rowEvent{ref, uint32(lines), counted})
}

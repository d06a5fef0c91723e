package parts

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Estimate says how long the parts left will take. The figures of the parts
// are of two idle cores; scale is how this machine compares with it.
type Estimate struct {
	spent, figured float64 // seconds of the finished parts, and their figures
}

// priorSecs is how many seconds of figures the first guess of the machine's
// speed weighs: the first short part alone must not swing the estimate.
const priorSecs = 60

// Done adds a finished part.
func (e *Estimate) Done(p Part, took time.Duration) {
	e.spent += took.Seconds()
	e.figured += float64(p.ColdSecs)
}

// Scale is the factor between the figures and this machine.
func (e *Estimate) Scale() float64 {
	prior := max(0.25, 2/float64(runtime.NumCPU()))
	return (prior*priorSecs + e.spent) / (priorSecs + e.figured)
}

// Remaining is for a part that has run for elapsed and those after it. A part
// that takes longer than expected never counts as nothing.
func (e *Estimate) Remaining(current Part, elapsed time.Duration, after []Part) time.Duration {
	scale := e.Scale()
	secs := max(float64(current.ColdSecs)*scale-elapsed.Seconds(), 0.05*float64(current.ColdSecs))
	for _, p := range after {
		secs += float64(p.ColdSecs) * scale
	}
	return time.Duration(secs * float64(time.Second))
}

// progress writes what the build is doing and how long it will take.
type progress struct {
	out      io.Writer
	every    time.Duration
	terminal bool
	parts    []Part
	next     int
	estimate Estimate
	began    time.Time
	partAt   time.Time
	quit     chan struct{}
	done     chan struct{}

	mu       sync.Mutex
	compiled int
	fetching string
}

func newProgress(out io.Writer, every time.Duration, missing []Part) *progress {
	p := &progress{out: out, every: every, parts: missing, terminal: isTerminal(out)}
	if p.every == 0 {
		p.every = 10 * time.Second
		if p.terminal {
			p.every = time.Second
		}
	}
	return p
}

func (p *progress) begin() {
	p.began = time.Now()
	if len(p.parts) == 0 {
		return
	}
	names := make([]string, len(p.parts))
	for i, part := range p.parts {
		names[i] = part.Name
	}
	fmt.Fprintf(p.out, "compiling %d missing parts of the lab, once: %s; about %s\n",
		len(p.parts), strings.Join(names, ", "), roundUp(p.estimate.Remaining(p.parts[0], 0, p.parts[1:])))
}

func (p *progress) start(part Part) {
	p.partAt = time.Now()
	p.mu.Lock()
	p.compiled, p.fetching = 0, ""
	p.mu.Unlock()
	p.quit, p.done = make(chan struct{}), make(chan struct{})
	go func(quit, done chan struct{}) {
		defer close(done)
		tick := time.NewTicker(p.every)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				p.line(part)
			}
		}
	}(p.quit, p.done)
}

func (p *progress) line(part Part) {
	p.mu.Lock()
	doing := fmt.Sprintf("%d packages", p.compiled)
	if p.compiled == 0 && p.fetching != "" {
		doing = "downloading " + p.fetching
	}
	p.mu.Unlock()
	left := p.estimate.Remaining(part, time.Since(p.partAt), p.parts[p.next+1:])
	line := fmt.Sprintf("[%d/%d] %s: %s, %s elapsed, about %s left",
		p.next+1, len(p.parts), part.Name, doing, time.Since(p.began).Round(time.Second), roundUp(left))
	if p.terminal {
		fmt.Fprintf(p.out, "\r\033[K%s", line)
		return
	}
	fmt.Fprintln(p.out, line)
}

// stop ends the lines of the part that runs.
func (p *progress) stop() {
	close(p.quit)
	<-p.done
	if p.terminal {
		fmt.Fprint(p.out, "\r\033[K")
	}
}

func (p *progress) finish() {
	p.stop()
	part, took := p.parts[p.next], time.Since(p.partAt)
	p.estimate.Done(part, took)
	p.next++
	tail := ""
	if p.next < len(p.parts) {
		tail = fmt.Sprintf("; about %s left", roundUp(p.estimate.Remaining(p.parts[p.next], 0, p.parts[p.next+1:])))
	}
	fmt.Fprintf(p.out, "[%d/%d] %s %s built in %s%s\n", p.next, len(p.parts), part.Name, part.Version, took.Round(time.Second/10), tail)
}

// roundUp keeps an estimate from looking more exact than it is.
func roundUp(d time.Duration) time.Duration {
	step := 5 * time.Second
	if d > 2*time.Minute {
		step = 30 * time.Second
	}
	return (d + step - 1).Truncate(step)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// compilerLog reads what `go build -v` prints: it counts the packages and
// keeps the rest, which is what went wrong.
type compilerLog struct {
	progress *progress
	partial  []byte
	lines    []string
}

const tailLines = 40

// Write is called by one goroutine at a time: os/exec copies both outputs
// through the same one when they are the same writer.
func (c *compilerLog) Write(data []byte) (int, error) {
	c.partial = append(c.partial, data...)
	for {
		line, rest, found := bytes.Cut(c.partial, []byte("\n"))
		if !found {
			return len(data), nil
		}
		c.line(string(line))
		c.partial = append(c.partial[:0], rest...)
	}
}

func (c *compilerLog) line(line string) {
	if module, found := strings.CutPrefix(line, "go: downloading "); found {
		c.progress.mu.Lock()
		c.progress.fetching = module
		c.progress.mu.Unlock()
		return
	}
	if !strings.ContainsAny(line, " \t:") && line != "" {
		c.progress.mu.Lock()
		c.progress.compiled++
		c.progress.mu.Unlock()
		return
	}
	c.lines = append(c.lines, line)
	if len(c.lines) > tailLines {
		c.lines = c.lines[1:]
	}
}

func (c *compilerLog) tail() string {
	lines := c.lines
	if len(c.partial) > 0 {
		lines = append(lines, string(c.partial))
	}
	return strings.Join(lines, "\n")
}

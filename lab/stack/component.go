package stack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// component is one part of a lab and how it is started.
type component struct {
	name    string
	after   []string      // parts that have to be ready before it starts
	timeout time.Duration // to be ready
	grace   time.Duration // to end
	logFile string

	launch func(ctx context.Context) (*running, error)
	ready  func(ctx context.Context) error // asked until it is nil
	setup  func(ctx context.Context) error // once, when it is ready for the first time; may be nil

	up chan struct{} // closed when it is set up

	mu  sync.Mutex // held while it is started or stopped
	run *running   // nil: stopped
}

// Failure is a part that ended without being told to.
type Failure struct {
	Part string
	Err  error  // how it ended
	Tail string // last lines of its log
}

// Error tells of the part and shows the end of its log.
func (f *Failure) Error() string {
	return fmt.Sprintf("%s ended: %v; last lines of its log:\n%s", f.Part, f.Err, f.Tail)
}

// Unwrap is how the part ended.
func (f *Failure) Unwrap() error { return f.Err }

var errNotStopped = errors.New("it is running")

// start launches the part and waits until it is ready. A part that does not
// get ready is ended again.
func (c *component) start(ctx context.Context, report func(*Failure)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run != nil {
		select {
		case <-c.run.done: // died by itself
		default:
			return fmt.Errorf("start %s: %w", c.name, errNotStopped)
		}
	}
	run, err := c.launch(ctx)
	if err != nil {
		return err
	}
	if err := c.waitReady(ctx, run); err != nil {
		run.stop(0)
		return err
	}
	c.run = run
	go func() {
		<-run.done
		if !run.wasTold() {
			report(&Failure{Part: c.name, Err: run.err, Tail: logTail(c.logFile)})
		}
	}()
	return nil
}

// stop ends the part; it is no error if it is not running.
func (c *component) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run == nil {
		return
	}
	c.run.stop(c.grace)
	c.run = nil
}

func (c *component) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run == nil {
		return 0
	}
	return c.run.pid
}

const (
	readyEvery = 50 * time.Millisecond
	askTimeout = 2 * time.Second
)

func (c *component) waitReady(ctx context.Context, run *running) error {
	deadline := time.NewTimer(c.timeout)
	defer deadline.Stop()
	for {
		ask, cancel := context.WithTimeout(ctx, askTimeout)
		err := c.ready(ask)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-run.done:
			return &Failure{Part: c.name, Err: run.err, Tail: logTail(c.logFile)}
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", c.name, context.Cause(ctx))
		case <-deadline.C:
			return fmt.Errorf("%s is not ready after %s: %w; last lines of its log:\n%s", c.name, c.timeout, err, logTail(c.logFile))
		case <-time.After(readyEvery):
		}
	}
}

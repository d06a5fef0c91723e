package stack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// spawner starts processes that die with this one. Linux sends a child its
// parent-death signal when the *thread* that started it ends, so all are
// started by one thread that lives as long as the lab.
type spawner struct {
	work chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{work: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for f := range s.work {
			f()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = childAttr()
	result := make(chan error)
	s.work <- func() { result <- cmd.Start() }
	return <-result
}

// close ends the thread, and with it every child that is still there.
func (s *spawner) close() {
	close(s.work)
	<-s.done
}

// running is a part that was started: a process or a goroutine of this one.
type running struct {
	pid  int
	done chan struct{} // closed when it has ended
	err  error         // why, once done is closed
	kill func(grace time.Duration)

	mu   sync.Mutex
	told bool // to end
}

// command is a program to run as a part.
type command struct {
	path string
	args []string
	env  []string // added to this process's
	dir  string
	// grace is how long it may take to end when told; 0: it is killed, because
	// it has nothing to put in order.
	grace time.Duration
}

// run starts a command with its output appended to logFile.
func (s *spawner) run(name string, c command, logFile string) (*running, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close() // the child has its own
	// No context ends a part: it lives until it is stopped.
	cmd := exec.CommandContext(context.Background(), c.path, c.args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := s.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	r := &running{pid: cmd.Process.Pid, done: make(chan struct{})}
	r.kill = func(grace time.Duration) {
		if grace > 0 {
			_ = syscall.Kill(-r.pid, syscall.SIGTERM)
			select {
			case <-r.done:
			case <-time.After(grace):
			}
		}
		// The group: what a part has started goes with it.
		_ = syscall.Kill(-r.pid, syscall.SIGKILL)
		<-r.done
	}
	go func() {
		r.err = cmd.Wait()
		if r.err == nil {
			r.err = fmt.Errorf("exit status 0")
		}
		close(r.done)
	}()
	return r, nil
}

// stop ends the part and returns when it has ended. Ending it twice is fine.
func (r *running) stop(grace time.Duration) {
	r.mu.Lock()
	r.told = true
	r.mu.Unlock()
	r.kill(grace)
}

func (r *running) wasTold() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told
}

const (
	tailBytes = 16 << 10
	tailLines = 15
)

// logTail returns the last lines of a log; the reason why there are none, when
// it cannot be read.
func logTail(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}

package node

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// spawner starts every process from one OS thread that lives as long as the
// agent: the kernel kills a child with Pdeathsig when the *thread* that started
// it ends, and Go's threads come and go.
type spawner struct {
	requests chan spawnRequest
	groups   *groups
	done     chan struct{}
}

type spawnRequest struct {
	cmd    *exec.Cmd
	result chan error
}

// newSpawner's thread ends when ctx does, and with it every process that is
// left.
func newSpawner(ctx context.Context, groups *groups) *spawner {
	s := &spawner{requests: make(chan spawnRequest), groups: groups, done: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		defer close(s.done)
		for {
			select {
			case <-ctx.Done():
				return
			case r := <-s.requests:
				r.result <- r.cmd.Start()
			}
		}
	}()
	return s
}

// process is a running process group.
type process struct {
	pid       int
	startedAt time.Time
	outOfMem  atomic.Bool  // it was killed for its memory
	ticks     atomic.Int64 // of CPU, as far as they were measured

	done chan struct{} // closed once the whole group is gone
	exit exit          // valid when done is closed
}

// exit is how a process ended.
type exit struct {
	code   int // 128 + signal when a signal ended it, as a shell has it
	signal int
	at     time.Time
}

// command is what to start.
type command struct {
	argv []string
	env  []string
	dir  string
	log  *logFile
}

var errStopped = errors.New("the node agent has stopped")

// start runs a command as the leader of a process group of its own.
func (s *spawner) start(c command) (*process, error) {
	path, err := lookPath(c.argv[0], c.env, c.dir)
	if err != nil {
		return nil, err
	}
	// It ends by stop, which asks first, and not by a context.
	cmd := exec.CommandContext(context.Background(), path, c.argv[1:]...)
	cmd.Args[0] = c.argv[0]
	cmd.Env, cmd.Dir = c.env, c.dir
	stdout, stderr := c.log.stream("stdout"), c.log.stream("stderr")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// A grandchild that keeps the pipe open must not hold up the end.
	cmd.WaitDelay = time.Second
	startedAt := time.Now() // before its first line of output
	r := spawnRequest{cmd, make(chan error, 1)}
	select {
	case s.requests <- r:
	case <-s.done:
		return nil, errStopped
	}
	if err := <-r.result; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.argv[0], err)
	}
	p := &process{pid: cmd.Process.Pid, startedAt: startedAt, done: make(chan struct{})}
	s.groups.add(p.pid)
	go func() {
		defer close(p.done)
		// The leader stays a zombie until its group is killed, so that the number
		// of the group cannot have gone to somebody else.
		for {
			err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
		p.exit.at = time.Now()
		_ = unix.Kill(-p.pid, unix.SIGKILL)
		_ = cmd.Wait()
		stdout.flush()
		stderr.flush()
		s.groups.remove(p.pid)
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		switch {
		case !ok:
			p.exit.code = cmd.ProcessState.ExitCode()
		case status.Signaled():
			p.exit.signal = int(status.Signal())
			p.exit.code = 128 + p.exit.signal
		default:
			p.exit.code = status.ExitStatus()
		}
	}()
	return p, nil
}

// signal sends a signal to the whole group, if it still is there.
func (p *process) signal(sig syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = unix.Kill(-p.pid, sig)
	}
}

// stop asks the group to end and kills it when force ends first. It returns
// once the group is gone.
func (p *process) stop(force context.Context) {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return
	case <-force.Done():
	}
	p.signal(syscall.SIGKILL)
	<-p.done
}

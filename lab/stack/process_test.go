package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func shell(script string, grace time.Duration) command {
	return command{path: "/bin/sh", args: []string{"-c", script}, grace: grace}
}

// component of a shell script; ready when a file is there.
func testComponent(t *testing.T, script, readyFile string) *component {
	t.Helper()
	s := newSpawner()
	c := &component{name: "part", timeout: 5 * time.Second, logFile: filepath.Join(t.TempDir(), "part.log")}
	c.launch = func(context.Context) (*running, error) { return s.run("part", shell(script, 0), c.logFile) }
	c.ready = func(context.Context) error { _, err := os.Stat(readyFile); return err }
	t.Cleanup(func() { c.stop(); s.close() })
	return c
}

func alive(pid int) bool {
	// A zombie still takes signals; its parent here is this process, which
	// waits for its children at once.
	return syscall.Kill(pid, 0) == nil
}

func TestAPartThatDiesIsReportedWithTheEndOfItsLog(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	c := testComponent(t, "touch "+ready+"; echo about to fail; sleep 0.3; echo 'fatal: no disk' >&2; exit 3", ready)
	failed := make(chan *Failure, 1)
	if err := c.start(t.Context(), func(f *Failure) { failed <- f }); err != nil {
		t.Fatal(err)
	}
	f := <-failed
	if f.Part != "part" || f.Tail != "about to fail\nfatal: no disk" || !strings.Contains(f.Error(), "exit status 3") {
		t.Errorf("failure is %v", f)
	}
	// It may be started again after that.
	if err := c.start(t.Context(), func(*Failure) {}); err != nil {
		t.Errorf("a part that died cannot be started again: %v", err)
	}
}

func TestAPartThatIsStoppedIsNotReported(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	c := testComponent(t, "touch "+ready+"; sleep 60", ready)
	reported := make(chan *Failure, 1)
	if err := c.start(t.Context(), func(f *Failure) { reported <- f }); err != nil {
		t.Fatal(err)
	}
	run, pid := c.run, c.pid()
	if err := c.start(t.Context(), nil); !errors.Is(err, errNotStopped) {
		t.Errorf("a second start: %v, want that it runs", err)
	}
	c.stop()
	<-run.done
	if alive(pid) {
		t.Error("the process is still there")
	}
	c.stop()
	select {
	case f := <-reported:
		t.Errorf("stopping it was reported as %v", f)
	default:
	}
}

func TestAPartThatEndsBeforeItIsReadySaysWhy(t *testing.T) {
	c := testComponent(t, "echo 'listen: address in use'; exit 1", "/does/not/exist")
	err := c.start(t.Context(), nil)
	var f *Failure
	if !errors.As(err, &f) || !strings.Contains(err.Error(), "address in use") {
		t.Errorf("error = %v, want the end of the log", err)
	}
}

func TestAPartThatIsNeverReadyIsEndedAfterItsTime(t *testing.T) {
	c := testComponent(t, "echo waiting for godot; sleep 60", "/does/not/exist")
	c.timeout = 300 * time.Millisecond
	err := c.start(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "not ready after 300ms") || !strings.Contains(err.Error(), "godot") || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("error = %v, want the time, what was missing and the end of the log", err)
	}
	if c.pid() != 0 {
		t.Error("it was left running")
	}
}

func TestStopTakesWhatThePartHasStarted(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "child")
	c := testComponent(t, "trap '' TERM; sleep 60 & echo $! > "+file+".new; mv "+file+".new "+file+"; wait", file)
	if err := c.start(t.Context(), func(*Failure) {}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		t.Fatal(err)
	}
	c.grace = 50 * time.Millisecond // it ignores SIGTERM
	c.stop()
	await(t, func() error { return gone(child) })
}

// gone is nil when a process is not there, or only waits for its parent to
// read its end.
func gone(pid int) error {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(content), ") ")
	if errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(rest, "Z") {
		return nil
	}
	return fmt.Errorf("process %d is still there", pid)
}

// parent is what TestMain does in a child process: it starts one and says
// which.
func parent(file string) {
	s := newSpawner()
	run, err := s.run("child", shell("sleep 60", 0), file+".log")
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(file+".new", []byte(strconv.Itoa(run.pid)), 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		panic(err)
	}
	select {}
}

func TestChildrenDieWithAParentThatIsKilled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	lab := exec.Command(os.Args[0])
	lab.Env = append(os.Environ(), "LAB_TEST_PARENT="+file)
	if err := lab.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	await(t, func() error {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		pid, err = strconv.Atoi(string(content))
		return err
	})
	if !alive(pid) {
		t.Fatal("the child was never there")
	}
	if err := lab.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = lab.Wait()
	await(t, func() error { return gone(pid) })
}

func TestAnswersWantsOK(t *testing.T) {
	server := testServer(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not yet", http.StatusServiceUnavailable) })
	err := answers(t.Context(), http.DefaultClient, server)
	if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("error = %v, want the status and the body", err)
	}
}

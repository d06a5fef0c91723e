// Package smalldisk gives tests a disk that can really be full, or really be
// read-only: a file system of their own in memory.
package smalldisk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// inside holds the name of the test that has a disk of its own.
const inside = "WATCHTOWER_TEST_SMALL_DISK"

// On runs f with the path of an empty file system of a size, such as "4m". The
// test runs in a process of its own for that, whose mounts nobody else sees and
// which end with it. Call it first in a test, with nothing after it. Where
// mounting is not permitted the test is skipped.
func On(t *testing.T, size string, f func(t *testing.T, dir string)) {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		dir := t.TempDir()
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // other users of the test must reach it
			t.Fatal(err)
		}
		if err := syscall.Mount("watchtower-test", dir, "tmpfs", 0, "size="+size+",mode=0755"); err != nil {
			if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
				t.Skipf("mounting is not permitted here: %v", err)
			}
			t.Fatalf("mount a file system in memory: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }) // it ends with the process too
		f(t, dir)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root may mount a disk that can be full")
	}
	elsewhere(t)
}

// elsewhere runs the test once more, in a process with mounts of its own.
func elsewhere(t *testing.T) {
	t.Helper()
	var pattern []string
	for _, part := range strings.Split(t.Name(), "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	runtime.LockOSThread() // the signal is sent when this thread ends
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.v", "-test.count=1", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	switch said := string(out); {
	case errors.Is(err, fs.ErrPermission):
		t.Skipf("mounts of one's own are not permitted here: %v", err)
	case err != nil:
		t.Fatalf("%v\n%s", err, said)
	case strings.Contains(said, "--- SKIP: "+t.Name()):
		t.Skip(said)
	default:
		t.Log(said)
	}
}

// Fill takes all the room there is left in a directory's file system, and answers
// with what gives it back.
func Fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<16); len(chunk) > 0; {
		_, err := f.Write(chunk)
		if errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2] // the last corner too
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// ReadOnly makes the file system of a directory read-only. No file of it may be
// open for writing.
func ReadOnly(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}

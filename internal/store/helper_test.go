package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// helperEnv makes the test's binary another process that has to do with a file:
// it says what, and the path.
const helperEnv = "WATCHTOWER_TEST_HELPER"

// runHelper does not return in such a process.
func runHelper() {
	what, path, _ := strings.Cut(os.Getenv(helperEnv), " ")
	switch what {
	case "":
		return
	case "lock":
		lockFile(path)
	case "nobody":
		tryAsNobody(path)
	}
	os.Exit(0)
}

// lockFile writes in a file, as another program would, until it is told to end.
func lockFile(path string) {
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		panic(err)
	}
	tx, err := db.Begin() //nolint:noctx // a process of its own
	if err != nil {
		panic(err)
	}
	fmt.Println("locked")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test is done with it
	if err := tx.Rollback(); err != nil {
		panic(err)
	}
}

// said is what became of an attempt.
type said struct {
	Code    release.Code
	Message string
}

// tryAsNobody opens a store as somebody who owns nothing.
func tryAsNobody(path string) {
	const nobody = 65534
	if os.Getuid() == 0 {
		for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)} {
			if err != nil {
				panic(err)
			}
		}
	}
	s, err := store.Open(context.Background(), path, quiet)
	if err == nil {
		s.Close()
		return
	}
	_ = json.NewEncoder(os.Stdout).Encode(said{release.ErrorCode(err), err.Error()})
}

func helper(t *testing.T, what, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test
	cmd.Env = append(os.Environ(), helperEnv+"="+what+" "+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// locker has another process lock a file for writing until unlock is called.
func locker(t *testing.T, path string) (unlock func()) {
	t.Helper()
	cmd := helper(t, "lock", path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	return func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// openAsNobody is the error with which somebody else cannot open a store.
func openAsNobody(t *testing.T, path string) error {
	t.Helper()
	if err := os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755); err != nil { // he must come as far as there
		t.Fatal(err)
	}
	out, err := helper(t, "nobody", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got said
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("it was opened, or %v: %s", err, out)
	}
	return release.E(got.Code, got.Message, nil)
}

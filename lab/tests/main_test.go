// Package tests tries Watchtower against a real cluster: the rollouts it must
// judge, the faults it must bear, the deaths it must survive.
package tests

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/lab/stack"
)

// theLab is shared by all tests; each has a namespace of its own.
var theLab *stack.Lab

// binary is the watchtower under test, standins those of the services that tell
// people.
var binary, standins string

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("skipped: the tests against a real cluster do not run with -short")
		os.Exit(0)
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "watchtower-lab-tests-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if binary, err = build(ctx, dir, "WATCHTOWER_BINARY", "watchtower", "./cmd/watchtower"); err != nil {
		return 1, err
	}
	if standins, err = build(ctx, dir, "STANDINS_BINARY", "standins", "./tools/standins"); err != nil {
		return 1, err
	}
	start := time.Now()
	fmt.Println("starting the lab that all tests share")
	theLab, err = stack.Up(ctx, stack.Options{StateDir: filepath.Join(dir, "lab"), Progress: os.Stderr})
	if err != nil {
		return 1, err
	}
	defer theLab.Down()
	fmt.Printf("the lab is up after %s\n", time.Since(start).Round(100*time.Millisecond))
	return m.Run(), nil
}

// build builds a command from this checkout, or takes the one that a variable of
// the environment names.
func build(ctx context.Context, dir, variable, name, pkg string) (string, error) {
	if given := os.Getenv(variable); given != "" {
		return given, nil
	}
	out := filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "nomsgpack", "-o", out, pkg)
	cmd.Dir = filepath.Join("..", "..")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, text)
	}
	return out, nil
}

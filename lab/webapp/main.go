// Command webapp is the lab's sample service: a small shop with the seams a
// real one has, and faults that environment variables switch on (README.md).
// With CALLEE set it is a caller of another workload instead.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/watchtower-verify/watchtower/lab/caller"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the service until ctx ends; it returns the exit code: 2 for a bad
// setting, 1 for a fault.
func run(ctx context.Context, env map[string]string, stdout, stderr io.Writer) int {
	if env["CALLEE"] != "" {
		if err := caller.Run(ctx, env, slog.New(slog.NewJSONHandler(stdout, nil))); err != nil {
			_, _ = fmt.Fprintf(stderr, "caller: %v\n", err)
			if errors.Is(err, caller.ErrSettings) {
				return 2
			}
			return 1
		}
		return 0
	}
	set, err := readSettings(env)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "webapp: %v\n", err)
		return 2
	}
	log := newLogger(set, stdout)
	if err := serve(ctx, set, log); err != nil {
		log.Error("webapp ends", "error", err)
		return 1
	}
	return 0
}

func environ() map[string]string {
	env := map[string]string{}
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	return env
}

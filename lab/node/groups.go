package node

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// groups remembers on disk which process groups run, so that none outlives the
// agent: a watchdog kills those on record when the agent is gone, however it
// went, and the next agent looks again. Pdeathsig alone reaches the leader of
// a group, not what the leader has started.
type groups struct {
	dir      string // of this agent: a late watchdog must not touch another's
	log      *slog.Logger
	watchdog *exec.Cmd
	lifeline *os.File // open as long as the agent lives
}

// watchdogScript waits for the end of its standard input, which is the end of
// the agent, and kills the groups on record.
const watchdogScript = `while read -r _; do :; done
cd "$1" || exit 0
for g in *; do case $g in *[!0-9]*) ;; *) kill -s KILL -- "-$g" 2>/dev/null ;; esac; done
exit 0`

// openGroups kills what earlier agents left and starts the watchdog.
func openGroups(root string, log *slog.Logger) (*groups, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("record of process groups: %w", err)
	}
	if err := killLeftovers(root, log); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(root, "agent-")
	if err != nil {
		return nil, fmt.Errorf("record of process groups: %w", err)
	}
	g := &groups{dir: dir, log: log}
	if err := g.startWatchdog(); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *groups) startWatchdog() error {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	// No context may end it: it outlives the agent by design.
	cmd := exec.CommandContext(context.Background(), "/bin/sh", "-c", watchdogScript, "lab-watchdog", g.dir)
	cmd.Stdin = read
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a Ctrl-C is not for it
	err = cmd.Start()
	_ = read.Close()
	if err != nil {
		_ = write.Close()
		return fmt.Errorf("watchdog: %w", err)
	}
	g.watchdog, g.lifeline = cmd, write
	return nil
}

// close ends the watchdog, which kills what is on record still.
func (g *groups) close() {
	_ = g.lifeline.Close()
	_ = g.watchdog.Wait()
	_ = os.RemoveAll(g.dir)
}

func (g *groups) path(pgid int) string { return filepath.Join(g.dir, strconv.Itoa(pgid)) }

// add puts a group on record, with the time its leader started: a number alone
// may be somebody else's by the next boot.
func (g *groups) add(pgid int) {
	born, err := processStart(pgid)
	if err != nil {
		return // it is gone already
	}
	if err := os.WriteFile(g.path(pgid), []byte(born), 0o644); err != nil {
		g.log.Warn("process group not put on record", "pgid", pgid, "error", err)
	}
}

func (g *groups) remove(pgid int) { _ = os.Remove(g.path(pgid)) }

// killLeftovers kills the groups earlier agents had on record, where the
// leader is still the process that was meant.
func killLeftovers(root string, log *slog.Logger) error {
	paths, err := filepath.Glob(filepath.Join(root, "agent-*", "*"))
	if err != nil {
		return fmt.Errorf("record of process groups: %w", err)
	}
	for _, path := range paths {
		pgid, err := strconv.Atoi(filepath.Base(path))
		if err != nil || pgid <= 1 {
			continue
		}
		recorded, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if born, err := processStart(pgid); err != nil || born != string(recorded) {
			continue
		}
		log.Warn("killing a process group left by an earlier agent", "pgid", pgid)
		_ = unix.Kill(-pgid, unix.SIGKILL)
	}
	dirs, err := filepath.Glob(filepath.Join(root, "agent-*"))
	if err != nil {
		return fmt.Errorf("record of process groups: %w", err)
	}
	for _, dir := range dirs {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("record of process groups: %w", err)
		}
	}
	return nil
}

// processStart is the start time of a process in clock ticks since boot, with
// the boot it belongs to.
func processStart(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The name of the command stands in parentheses and may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("stat of process %d has %d fields", pid, len(fields))
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return fields[19] + " " + strings.TrimSpace(string(boot)), nil
}

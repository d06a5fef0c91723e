package node

import (
	"bytes"
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
	dir      string
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

// openGroups kills what an earlier agent left and starts the watchdog.
func openGroups(dir string, log *slog.Logger) (*groups, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("record of process groups: %w", err)
	}
	g := &groups{dir: dir, log: log}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("record of process groups: %w", err)
	}
	for _, e := range entries {
		g.killLeftover(e.Name())
	}
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
	cmd := exec.Command("/bin/sh", "-c", watchdogScript, "lab-watchdog", g.dir)
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

// killLeftover kills a group an earlier agent had on record, if its leader is
// still the process that was meant.
func (g *groups) killLeftover(name string) {
	defer func() { _ = os.Remove(filepath.Join(g.dir, name)) }()
	pgid, err := strconv.Atoi(name)
	if err != nil || pgid <= 1 {
		return
	}
	recorded, err := os.ReadFile(g.path(pgid))
	if err != nil {
		return
	}
	if born, err := processStart(pgid); err != nil || born != string(recorded) {
		return
	}
	g.log.Warn("killing a process group left by an earlier agent", "pgid", pgid)
	_ = unix.Kill(-pgid, unix.SIGKILL)
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

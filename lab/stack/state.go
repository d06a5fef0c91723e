package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Files of a state folder.
const (
	lockName                 = "lab.lock"
	infoName                 = "lab.json"
	catalogueName            = "images.json"
	kubeconfigFile           = "kubeconfig"
	watchtowerKubeconfigFile = "watchtower.kubeconfig"
)

// ErrNotRunning is the error of Find and End when no lab runs on a state folder.
var ErrNotRunning = errors.New("no lab is running")

// state is the folder of one lab, locked as long as it runs: the kernel gives
// the lock back when the process ends, however it ends.
type state struct {
	dir  string
	lock *os.File
}

// owner is what a lab writes into its lock file, to be told from a later
// process of the same number.
type owner struct {
	PID     int    `json:"pid"`
	Started string `json:"started,omitempty"` // of the process, in the kernel's count
}

// openState locks dir and empties it of an earlier lab.
func openState(dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the state folder: %w", err)
	}
	foreign := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), catalogueName) })
	if _, err := os.Stat(filepath.Join(dir, lockName)); err != nil && foreign {
		return nil, fmt.Errorf("state folder %s is not empty and not a lab's: name another", dir)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state folder: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for deadline := time.Now().Add(500 * time.Millisecond); errors.Is(err, syscall.EWOULDBLOCK) && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond) // somebody may just be asking who holds it
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("a lab runs on %s already: end it with `lab down`, or give this one another state folder", dir)
		}
		return nil, fmt.Errorf("lock the state folder %s: %w", dir, err)
	}
	s := &state{dir: dir, lock: lock}
	if err := s.reset(); err != nil {
		s.close()
		return nil, fmt.Errorf("prepare the state folder: %w", err)
	}
	return s, nil
}

func (s *state) reset() error {
	content, err := json.Marshal(owner{PID: os.Getpid(), Started: processStart(os.Getpid())})
	if err != nil {
		return err
	}
	if err := s.lock.Truncate(0); err != nil {
		return err
	}
	if _, err := s.lock.WriteAt(content, 0); err != nil {
		return err
	}
	for _, name := range []string{infoName, kubeconfigFile, watchtowerKubeconfigFile, "data", "logs", "auth", "config"} {
		if err := os.RemoveAll(s.path(name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"data", "logs", "auth", "config", "node", "bin"} {
		if err := os.MkdirAll(s.path(name), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func (s *state) publish(info Info) error {
	content, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", infoName, err)
	}
	tmp := s.path(infoName + ".new")
	if err := os.WriteFile(tmp, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", infoName, err)
	}
	if err := os.Rename(tmp, s.path(infoName)); err != nil {
		return fmt.Errorf("write %s: %w", infoName, err)
	}
	return nil
}

func (s *state) close() {
	_ = os.Remove(s.path(infoName))
	_ = s.lock.Close()
}

// DefaultStateDir is where a lab is when nobody says where: the environment's
// WATCHTOWER_LAB_STATE, or a folder of the cache.
func DefaultStateDir() (string, error) {
	if dir := os.Getenv("WATCHTOWER_LAB_STATE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for the lab's state (set WATCHTOWER_LAB_STATE to name one): %w", err)
	}
	return filepath.Join(dir, "watchtower-lab", "state"), nil
}

// Find returns what a lab that runs on a state folder said of itself; the
// error is ErrNotRunning when there is none, or it is not ready yet.
func Find(stateDir string) (Info, error) {
	if _, err := lockOwner(stateDir); err != nil {
		return Info{}, err
	}
	content, err := os.ReadFile(filepath.Join(stateDir, infoName))
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, fmt.Errorf("%w on %s: one is being started or ended", ErrNotRunning, stateDir)
	}
	if err != nil {
		return Info{}, fmt.Errorf("read what the lab says of itself: %w", err)
	}
	var info Info
	if err := json.Unmarshal(content, &info); err != nil {
		return Info{}, fmt.Errorf("read %s of %s: %w", infoName, stateDir, err)
	}
	return info, nil
}

// End tells the lab that runs on a state folder to end and waits until it has;
// after grace it is killed. The error is ErrNotRunning when there is none.
func End(ctx context.Context, stateDir string, grace time.Duration) error {
	own, err := lockOwner(stateDir)
	if err != nil {
		return err
	}
	if err := syscall.Kill(own.PID, syscall.SIGTERM); err != nil {
		return fmt.Errorf("end the lab of process %d: %w", own.PID, err)
	}
	kill := time.After(grace)
	for {
		if now, err := lockOwner(stateDir); errors.Is(err, ErrNotRunning) || err == nil && now != own {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the lab of process %d to end: %w", own.PID, context.Cause(ctx))
		case <-kill:
			if err := syscall.Kill(own.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill the lab of process %d: %w", own.PID, err)
			}
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// lockOwner says which process holds a state folder. It believes the lock, not
// the number in it: a process number is used again.
func lockOwner(stateDir string) (owner, error) {
	file := filepath.Join(stateDir, lockName)
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return owner{}, fmt.Errorf("%w on %s", ErrNotRunning, stateDir)
	}
	if err != nil {
		return owner{}, fmt.Errorf("look at the lab's lock: %w", err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return owner{}, fmt.Errorf("%w on %s", ErrNotRunning, stateDir)
	}
	var own owner
	if err := json.NewDecoder(f).Decode(&own); err != nil {
		return owner{}, fmt.Errorf("read %s: %w", file, err)
	}
	if own.PID <= 1 || own.Started != processStart(own.PID) {
		return owner{}, fmt.Errorf("%s is locked, but not by the process %d it names", file, own.PID)
	}
	return own, nil
}

// processStart is when a process started, as the kernel counts; empty where
// there is no /proc.
func processStart(pid int) string {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The name, in brackets, may hold anything; the start is the 20th field
	// after it.
	rest := string(content[bytes.LastIndexByte(content, ')')+1:])
	if fields := strings.Fields(rest); len(fields) > 19 {
		return fields[19]
	}
	return ""
}

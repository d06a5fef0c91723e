//go:build unix

// Package postgres starts PostgreSQL for tests, from the package of the
// distribution (Debian: apt-get install postgresql), in a directory that is
// removed afterwards. It listens on a socket in that directory only.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver, by the name "pgx"
)

// ErrMissing says that this machine has no PostgreSQL to start.
var ErrMissing = errors.New("there is no PostgreSQL here; install it with: apt-get install postgresql")

// Server is one PostgreSQL.
type Server struct {
	dir, bin string
	cred     *syscall.Credential
	settings []string
	cmd      *exec.Cmd
	ended    chan error // of the server's process
	made     atomic.Int64
}

// Binaries answers with the directory of initdb and postgres, of the newest
// version there is, or ErrMissing.
func Binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is sound
	newest := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return newest(b) - newest(a) })
	for _, path := range found {
		return filepath.Dir(path), nil
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	return "", ErrMissing
}

// Start makes a server and waits until it answers. Settings are those of
// postgresql.conf, "name=value"; without any it keeps nothing safe from a
// crash of the machine, for speed.
func Start(ctx context.Context, settings ...string) (_ *Server, err error) {
	bin, err := Binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "watchtower-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, settings: append([]string{
		"listen_addresses=", "unix_socket_directories=" + dir, "fsync=off", "full_page_writes=off",
		"shared_buffers=64MB", "max_connections=100", "logging_collector=off", "log_min_messages=warning",
	}, settings...)}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	if s.cred, err = lesserUser(); err != nil {
		return nil, err
	}
	if s.cred != nil {
		if err := os.Chown(dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", s.data(), "-U", "watchtower", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
	initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: s.cred}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := s.Run(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// lesserUser is whom PostgreSQL runs as when root runs the tests, which it
// refuses to run as; nil for oneself.
func lesserUser() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Run starts a server that was stopped, and waits until it answers.
func (s *Server) Run(ctx context.Context) error {
	args := []string{"-D", s.data()}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(s.bin, "postgres"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Setpgid: true}
	endWithParent(cmd.SysProcAttr)
	began, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the signal is sent when this thread ends
		if err := cmd.Start(); err != nil {
			began <- err
			return
		}
		began <- nil
		ended <- cmd.Wait()
	}()
	if err := <-began; err != nil {
		return err
	}
	s.cmd, s.ended = cmd, ended
	return s.answers(ctx)
}

func (s *Server) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		c, err := pgconn.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			log, _ := os.ReadFile(filepath.Join(s.dir, "log")) // as far as there is one
			return fmt.Errorf("PostgreSQL ended: %w\n%s", err, log)
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL is that of one of its databases, for the user watchtower.
func (s *Server) URL(database string) string {
	return (&url.URL{Scheme: "postgres", User: url.User("watchtower"), Path: "/" + database, RawQuery: url.Values{"host": {s.dir}, "port": {s.port()}}.Encode()}).String()
}

// Create makes an empty database and answers with its URL.
func (s *Server) Create(ctx context.Context) (string, error) {
	name := fmt.Sprintf("w%d_%d", os.Getpid(), s.made.Add(1))
	return s.URL(name), s.Exec(ctx, "postgres", "CREATE DATABASE "+name+" STRATEGY file_copy")
}

// Drop removes a database, whoever uses it.
func (s *Server) Drop(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	return s.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+u.Path[1:]+" WITH (FORCE)")
}

// Exec runs a statement as the superuser.
func (s *Server) Exec(ctx context.Context, database, statement string) error {
	db, err := sql.Open("pgx", s.URL(database))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// Pause stops the server, in order, and keeps its databases for Run.
func (s *Server) Pause() error { return s.end(syscall.SIGINT) }

// Crash stops the server as a crash of it would, and keeps its databases for Run.
func (s *Server) Crash() error { return s.end(syscall.SIGQUIT) }

func (s *Server) end(how syscall.Signal) error {
	if err := s.cmd.Process.Signal(how); err != nil {
		return err
	}
	select {
	case <-s.ended: //nolint:errcheck // its status tells how it was ended
		return nil
	case <-time.After(time.Minute):
		return errors.New("PostgreSQL does not end")
	}
}

// Stop ends the server and removes all it had.
func (s *Server) Stop() error {
	return errors.Join(s.end(syscall.SIGQUIT), os.RemoveAll(s.dir))
}

// Dir is the directory of its socket.
func (s *Server) Dir() string { return s.dir }

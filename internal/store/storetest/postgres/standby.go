//go:build unix

package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Standby makes a second server that follows this one. What is committed from
// then on is on both: commits wait for it. It can be read there once Replayed.
func (s *Server) Standby(ctx context.Context) (_ *Server, err error) {
	dir, err := os.MkdirTemp("", "watchtower-pg-")
	if err != nil {
		return nil, err
	}
	standby := &Server{dir: dir, bin: s.bin, cred: s.cred, settings: append([]string(nil), s.settings...)}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	for i, setting := range standby.settings {
		if strings.HasPrefix(setting, "unix_socket_directories=") {
			standby.settings[i] = "unix_socket_directories=" + dir
		}
	}
	if s.cred != nil {
		if err := os.Chown(dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, err
		}
	}
	backup := exec.CommandContext(ctx, filepath.Join(s.bin, "pg_basebackup"), "-D", standby.data(), "-h", s.dir, "-U", "watchtower", "-R", "-X", "stream", "-c", "fast", "-N")
	backup.Dir, backup.SysProcAttr = dir, &syscall.SysProcAttr{Credential: s.cred}
	if out, err := backup.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w\n%s", err, out)
	}
	if err := standby.Run(ctx); err != nil {
		return nil, err
	}
	if err := s.awaitCommits(ctx); err != nil {
		_ = standby.Stop()
		return nil, err
	}
	return standby, nil
}

// awaitCommits has every commit wait for the standby.
func (s *Server) awaitCommits(ctx context.Context) error {
	for _, statement := range []string{`ALTER SYSTEM SET synchronous_standby_names = '*'`, `SELECT pg_reload_conf()`} {
		if err := s.Exec(ctx, "postgres", statement); err != nil {
			return err
		}
	}
	return s.await(ctx, "no standby is in step", `EXISTS (SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync')`)
}

// Replayed waits until whoever reads the standby sees all that was committed.
func (s *Server) Replayed(ctx context.Context) error {
	return s.await(ctx, "no standby has replayed all", `EXISTS (SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_flush_lsn())`)
}

// await waits for a condition in SQL.
func (s *Server) await(ctx context.Context, otherwise, condition string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := s.Exec(ctx, "postgres", `DO $$ BEGIN
			IF NOT `+condition+` THEN RAISE EXCEPTION '`+otherwise+`'; END IF;
		END $$`)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Promote makes a standby the primary, and waits until it is.
func (s *Server) Promote(ctx context.Context) error {
	return s.Exec(ctx, "postgres", `SELECT pg_promote(true, 60)`)
}

// Either is the URL of a database that is on the primary of several servers,
// whichever that is.
func Either(database string, servers ...*Server) string {
	var dirs []string
	for _, s := range servers {
		dirs = append(dirs, s.dir)
	}
	return "postgres://watchtower@/" + database + "?target_session_attrs=read-write&host=" + strings.Join(dirs, ",")
}

// Kill ends the server with SIGKILL, as when it is out of memory; its sessions
// end because it is gone.
func (s *Server) Kill() error {
	segment := s.sharedMemory()
	if err := s.end(syscall.SIGKILL); err != nil {
		return err
	}
	return removeSharedMemory(segment)
}

// sharedMemory is the segment that a server which is killed leaves behind; -1
// when there is none.
func (s *Server) sharedMemory() int {
	const line = 7 // of postmaster.pid: key and number
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	lines := strings.Split(string(text), "\n")
	if err != nil || len(lines) < line {
		return -1
	}
	var key, id int
	if n, _ := fmt.Sscan(lines[line-1], &key, &id); n != 2 {
		return -1
	}
	return id
}

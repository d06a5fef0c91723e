package node

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	logFileBytes = 10 << 20 // then a file becomes ".1" and a new one begins
	logLineBytes = 16 << 10 // a longer line is written in parts
	logFilesKept = 1000     // files of pods that are gone are kept up to this number
)

// logFile takes the output of a container and writes it as container runtimes
// do: "<time> <stream> F <line>", P for a part of a line. It keeps at most two
// files of logFileBytes.
type logFile struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	file *os.File
	size int64
}

// logPath is the file of a container's log.
func logPath(dir, namespace, pod, container string) string {
	return filepath.Join(dir, fmt.Sprintf("%s_%s_%s.log", namespace, pod, container))
}

func openLogFile(path string, log *slog.Logger) (*logFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("container log: %w", err)
	}
	l := &logFile{path: path, log: log}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *logFile) open() error {
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("container log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("container log: %w", err)
	}
	l.file, l.size = file, info.Size()
	return nil
}

// stream is a writer for one output of a process. It never fails: a process
// must not block or die because its log cannot be written.
func (l *logFile) stream(name string) *logStream { return &logStream{file: l, name: name} }

func (l *logFile) write(entry []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return
	}
	if l.size+int64(len(entry)) > logFileBytes {
		_ = l.file.Close()
		l.file = nil
		if err := os.Rename(l.path, l.path+".1"); err != nil {
			l.log.Warn("container log not rotated", "path", l.path, "error", err)
			return
		}
		if err := l.open(); err != nil {
			l.log.Warn("container log not opened", "path", l.path, "error", err)
			return
		}
	}
	n, err := l.file.Write(entry)
	l.size += int64(n)
	if err != nil {
		l.log.Warn("container log not written", "path", l.path, "error", err)
	}
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}

type logStream struct {
	file *logFile
	name string
	rest []byte // a line that has not ended yet
}

// Write takes output as it comes; lines go to the file when they are whole.
func (s *logStream) Write(p []byte) (int, error) {
	total := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		s.add(p[:i])
		s.emit(s.rest, 'F')
		s.rest = s.rest[:0]
		p = p[i+1:]
	}
	s.add(p)
	return total, nil
}

// add lengthens the line and emits what is too long of it.
func (s *logStream) add(p []byte) {
	s.rest = append(s.rest, p...)
	for len(s.rest) > logLineBytes {
		s.emit(s.rest[:logLineBytes], 'P')
		s.rest = s.rest[:copy(s.rest, s.rest[logLineBytes:])]
	}
}

func (s *logStream) emit(line []byte, tag byte) {
	entry := make([]byte, 0, len(line)+len(time.RFC3339Nano)+len(s.name)+8)
	entry = time.Now().UTC().AppendFormat(entry, "2006-01-02T15:04:05.000000000Z")
	entry = append(entry, ' ')
	entry = append(entry, s.name...)
	entry = append(entry, ' ', tag, ' ')
	entry = append(entry, line...)
	s.file.write(append(entry, '\n'))
}

// flush writes what is left of a last line without an end.
func (s *logStream) flush() {
	if len(s.rest) > 0 {
		s.emit(s.rest, 'F')
		s.rest = nil
	}
}

// pruneLogs removes the oldest files of a directory beyond the number kept.
func pruneLogs(dir string, keep int) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) <= keep {
		return
	}
	type file struct {
		name string
		at   time.Time
	}
	var files []file
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !e.IsDir() && strings.Contains(e.Name(), ".log") {
			files = append(files, file{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return a.at.Compare(b.at) })
	for _, f := range files[:max(0, len(files)-keep)] {
		_ = os.Remove(filepath.Join(dir, f.name))
	}
}

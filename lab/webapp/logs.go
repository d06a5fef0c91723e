package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// logErrorShare is the share of requests that log LOG_ERROR.
const logErrorShare = 0.05

func newLogger(set settings, w io.Writer) *slog.Logger {
	var handler slog.Handler = slog.NewJSONHandler(w, nil)
	if set.logFormat == "plain" {
		handler = &plainHandler{mu: &sync.Mutex{}, w: w}
	}
	return slog.New(handler).With("version", set.version)
}

// plainHandler writes lines as many older services do:
// "2026-01-02 15:04:05,678 ERROR webapp - checkout failed: status 500".
type plainHandler struct {
	mu    *sync.Mutex
	w     io.Writer
	attrs []slog.Attr
}

// Enabled leaves out debug messages.
func (h *plainHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

// Handle writes one line.
func (h *plainHandler) Handle(_ context.Context, r slog.Record) error {
	var line strings.Builder
	fmt.Fprintf(&line, "%s %-5s webapp - %s", r.Time.Format("2006-01-02 15:04:05,000"), r.Level, r.Message)
	sep := ": "
	add := func(a slog.Attr) bool {
		fmt.Fprintf(&line, "%s%s %s", sep, a.Key, a.Value)
		sep = ", "
		return true
	}
	r.Attrs(add)
	for _, a := range h.attrs {
		add(a)
	}
	line.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, line.String())
	return err
}

// WithAttrs adds attributes to every line.
func (h *plainHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &plainHandler{mu: h.mu, w: h.w, attrs: append(append([]slog.Attr{}, h.attrs...), attrs...)}
}

// WithGroup has no meaning in a plain line.
func (h *plainHandler) WithGroup(string) slog.Handler { return h }

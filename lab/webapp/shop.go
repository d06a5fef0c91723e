package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// A route of the shop.
type route struct {
	path string
	name string // as the log calls it
	body any
}

var routes = []route{
	{"/", "home", map[string]any{"shop": "webapp"}},
	{"/api/products", "products", []map[string]any{{"id": 1, "name": "tower", "price": 30}, {"id": 2, "name": "watch", "price": 12}}},
	{"/api/cart", "cart", map[string]any{"items": 2, "total": 42}},
	{checkoutPath, "checkout", map[string]any{"order": "accepted"}},
}

const checkoutPath = "/api/checkout"

func routePaths() []string {
	var paths []string
	for _, r := range routes {
		paths = append(paths, r.path)
	}
	return paths
}

// shop answers requests.
type shop struct {
	set        settings
	log        *slog.Logger
	metrics    *metrics
	downstream *downstream
	ready      atomic.Bool
	hangs      atomic.Bool
}

// handler serves the routes, the probes and the metrics.
func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	for i, r := range routes {
		pattern := r.path
		if pattern == "/" {
			pattern = "/{$}"
		}
		fates := newChance(s.set, r.path, uint64(i))
		mux.HandleFunc(pattern, s.measured(r.path, func(w http.ResponseWriter, req *http.Request) int {
			return s.answer(w, req, r, fates.next())
		}))
	}
	mux.HandleFunc("/healthz", s.measured("/healthz", func(w http.ResponseWriter, _ *http.Request) int {
		return write(w, http.StatusOK, map[string]any{"status": "alive"})
	}))
	mux.HandleFunc("/readyz", s.measured("/readyz", func(w http.ResponseWriter, _ *http.Request) int {
		if !s.ready.Load() || s.set.neverReady {
			return write(w, http.StatusServiceUnavailable, map[string]any{"status": "not ready"})
		}
		return write(w, http.StatusOK, map[string]any{"status": "ready"})
	}))
	mux.HandleFunc("/", s.measured("unknown", func(w http.ResponseWriter, _ *http.Request) int {
		return write(w, http.StatusNotFound, map[string]any{"error": "no such page"})
	}))
	mux.Handle("/metrics", s.metrics.handler())
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if s.hangs.Load() {
			<-req.Context().Done()
			return
		}
		mux.ServeHTTP(w, req)
	})
}

// measured counts and times what a handler answers.
func (s *shop) measured(route string, handle func(http.ResponseWriter, *http.Request) int) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		started := time.Now()
		code := handle(w, req)
		s.metrics.observe(method(req), route, code, time.Since(started))
	}
}

// method is the request's, or what stands for the many a client could make up.
func method(req *http.Request) string {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return req.Method
	}
	return "_OTHER"
}

// answer lets a request meet its fate.
func (s *shop) answer(w http.ResponseWriter, req *http.Request, r route, f fate) int {
	if !wait(req.Context(), f.latency) {
		return 499 // the client has gone, as nginx has it
	}
	log := s.log.With("route", r.path, "method", req.Method)
	if f.logsError {
		log.Error(s.set.logError)
	}
	if f.fails {
		log.Error(r.name+" failed", "status", http.StatusInternalServerError, "error", "internal error")
		return write(w, http.StatusInternalServerError, map[string]any{"error": "internal error"})
	}
	if r.path == checkoutPath {
		if err := s.downstream.pay(req.Context()); err != nil {
			log.Error("payment failed", "status", http.StatusBadGateway, "error", err)
			return write(w, http.StatusBadGateway, map[string]any{"error": "payment failed"})
		}
	}
	log.Info("request served", "status", http.StatusOK, "latency_ms", f.latency.Milliseconds())
	return write(w, http.StatusOK, r.body)
}

func write(w http.ResponseWriter, code int, body any) int {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
	return code
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// downstream is the service a checkout depends on.
type downstream struct {
	url    string
	client *http.Client
}

func (d *downstream) pay(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, nil)
	if err != nil {
		return err
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("payment service answered %s", resp.Status)
	}
	return nil
}

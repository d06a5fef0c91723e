package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A route of the shop.
type route struct {
	path string
	name string // as the log calls it
	rpc  string // its name where it is a method
	body any
}

var routes = []route{
	{"/", "home", "Home", map[string]any{"shop": "webapp"}},
	{"/api/products", "products", "ListProducts", []map[string]any{{"id": 1, "name": "tower", "price": 30}, {"id": 2, "name": "watch", "price": 12}}},
	{"/api/cart", "cart", "GetCart", map[string]any{"items": 2, "total": 42}},
	{checkoutPath, "checkout", "Checkout", map[string]any{"order": "accepted"}},
}

const (
	checkoutPath = "/api/checkout"
	alivePath    = "/healthz"
	readyPath    = "/readyz"
	unknownRoute = "unknown" // of a path that is none of the shop's

	// statusClientGone is what nginx notes for a client that did not wait.
	statusClientGone = 499
)

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
	underWay   sync.WaitGroup // requests that are yet to be counted
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
		answer := s.measured(r.path, func(w http.ResponseWriter, req *http.Request) int {
			return s.answer(w, req, r, fates.next())
		})
		mux.HandleFunc(pattern, s.dropping(uint64(i), answer))
	}
	mux.HandleFunc(alivePath, s.measured(alivePath, func(w http.ResponseWriter, _ *http.Request) int {
		return write(w, http.StatusOK, map[string]any{"status": "alive"})
	}))
	mux.HandleFunc(readyPath, s.measured(readyPath, func(w http.ResponseWriter, _ *http.Request) int {
		if !s.ready.Load() || s.set.neverReady {
			return write(w, http.StatusServiceUnavailable, map[string]any{"status": "not ready"})
		}
		return write(w, http.StatusOK, map[string]any{"status": "ready"})
	}))
	mux.HandleFunc("/", s.measured(unknownRoute, func(w http.ResponseWriter, _ *http.Request) int {
		return write(w, http.StatusNotFound, map[string]any{"error": "no such page"})
	}))
	mux.Handle("/metrics", s.metrics.Handler())
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if s.hangs.Load() {
			<-req.Context().Done()
			return
		}
		mux.ServeHTTP(w, req)
	})
}

// measured counts and times what a handler answers, and logs it in one line: the
// log and the metrics tell of the same requests, whenever both are at rest.
func (s *shop) measured(route string, handle func(http.ResponseWriter, *http.Request) int) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		s.underWay.Add(1)
		defer s.underWay.Done()
		started := time.Now()
		code := handle(w, req)
		r := request{method: method(req), route: route, code: code, took: time.Since(started)}
		s.metrics.observe(r)
		s.log.Info(requestLine, "route", r.route, "method", r.method, "status", r.code, "failed", r.failed(), "latency_ms", r.took.Milliseconds())
	}
}

// requestLine is the message of the one line that each counted request has.
const requestLine = "request served"

// dropping lets a share of the requests meet a closed connection: nothing is
// answered, counted or logged, as where a process does not get to its work.
func (s *shop) dropping(stream uint64, handle http.HandlerFunc) http.HandlerFunc {
	if s.set.dropRate == 0 {
		return handle
	}
	drops := newDrops(s.set, stream)
	return func(w http.ResponseWriter, req *http.Request) {
		if drops.next() {
			panic(http.ErrAbortHandler) // closes the connection and says nothing
		}
		handle(w, req)
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
		return statusClientGone
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

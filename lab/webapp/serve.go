package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	drainTimeout      = 10 * time.Second
	downstreamTimeout = 2 * time.Second
	leakInterval      = 100 * time.Millisecond
)

// errCrash is how CRASH_AFTER ends the service.
var errCrash = errors.New("crashed, as CRASH_AFTER has it")

// serve is the service until ctx ends, which is no error: requests under way
// are answered first.
func serve(ctx context.Context, set settings, logger *slog.Logger) error {
	ctx, crash := context.WithCancelCause(ctx)
	defer crash(nil)
	if set.crashes {
		timer := time.AfterFunc(set.crashAfter, func() { crash(errCrash) })
		defer timer.Stop()
	}
	if set.startDelay > 0 {
		logger.Info("starting slowly", "delay", set.startDelay.String())
		if !wait(ctx, set.startDelay) {
			return ended(ctx)
		}
	}
	payments, err := startPayments(ctx, set)
	if err != nil && ctx.Err() != nil {
		return ended(ctx)
	}
	if err != nil {
		return err
	}
	defer payments.close()

	counted, err := newMetrics(set)
	if err != nil {
		return err
	}
	s := &shop{set: set, log: logger, metrics: counted, downstream: &payments.downstream}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", set.addr)
	if err != nil && ctx.Err() != nil {
		return ended(ctx)
	}
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	if set.hangs {
		timer := time.AfterFunc(set.hangAfter, func() { s.hangs.Store(true) })
		defer timer.Stop()
		s.hangs.Store(set.hangAfter == 0)
	}
	if set.leakMBPerSecond > 0 {
		var leaking sync.WaitGroup
		leaking.Go(func() { leak(ctx, set.leakMBPerSecond) })
		defer leaking.Wait()
		defer crash(nil)
	}
	s.ready.Store(true)
	logger.Info("webapp serves", "addr", listener.Addr().String(), "metrics", strings.Join(set.dialects, ","))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	if err := ended(ctx); err != nil {
		_ = server.Close()
		return err
	}
	s.ready.Store(false)
	draining, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := server.Shutdown(draining); err != nil {
		_ = server.Close()
		logger.Warn("requests cut off", "error", err)
		s.underWay.Wait() // each has its line in the log
	}
	logger.Info("webapp has ended")
	return nil
}

// ended is why ctx ended: a crash, or nil for a request to stop.
func ended(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errCrash) {
		return errCrash
	}
	return nil
}

// payments is the downstream service, beside the shop unless one is named.
type payments struct {
	downstream
	server *http.Server
}

func startPayments(ctx context.Context, set settings) (*payments, error) {
	p := &payments{downstream: downstream{url: set.downstreamURL, client: &http.Client{Timeout: downstreamTimeout}}}
	if p.url != "" && !set.downstreamOutage {
		return p, nil
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("payment service: %w", err)
	}
	p.url = "http://" + listener.Addr().String() + "/pay"
	if set.downstreamOutage { // an address at which nobody answers
		return p, listener.Close()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /pay", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, map[string]any{"paid": true})
	})
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.server.Serve(listener) }() // ends with close
	return p, nil
}

func (p *payments) close() {
	if p.server != nil {
		_ = p.server.Close()
	}
	p.client.CloseIdleConnections()
}

// leaked is never given back.
var leaked [][]byte

// leak takes memory and touches every page of it.
func leak(ctx context.Context, megabytesPerSecond float64) {
	chunk := int(megabytesPerSecond * leakInterval.Seconds() * (1 << 20))
	for wait(ctx, leakInterval) {
		block := make([]byte, chunk)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		leaked = append(leaked, block)
	}
}

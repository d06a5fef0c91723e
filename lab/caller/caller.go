// Package caller is the other half of the lab's sample service: a workload that
// sends requests to the pods of another one and tells of them as callers do, a
// client library, the outbound side of a mesh or an ingress.
package caller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/watchtower-verify/watchtower/lab/series"
	"github.com/watchtower-verify/watchtower/lab/traffic"
)

// RequestLine is the message of the one line that each counted request has in
// the log, with route, method, status (0: no answer), failed and pod.
const RequestLine = "request sent"

// Run calls until ctx ends, which is no error: requests under way are waited
// for first, so that the log and the metrics tell of the same ones. What it is
// to do is in the environment (lab/webapp/README.md).
func Run(ctx context.Context, env map[string]string, logger *slog.Logger) error {
	set, err := readSettings(env)
	if err != nil {
		return err
	}
	client, err := connect(set.kubeconfig)
	if err != nil {
		return err
	}
	return call(ctx, client, series.NewPage(), set, logger)
}

// call counts on a page that it serves while it runs.
func call(ctx context.Context, client kubernetes.Interface, page *series.Page, set settings, logger *slog.Logger) error {
	observe, err := openDialects(page, set)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSettings, err)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", set.addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	var ready atomic.Bool
	server := &http.Server{Handler: handler(page, &ready), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	ready.Store(true)
	logger.Info("caller runs", "addr", listener.Addr().String(), "callee", set.namespace+"/"+set.callee, "rate", set.rate)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		err := <-served
		cancel() // without its page it is of no use
		failed <- err
	}()
	_, err = traffic.Run(ctx, traffic.Config{
		Client: client, Namespace: set.namespace, Selector: "app=" + set.callee, Port: set.port, Rate: set.rate, Log: logger,
		Observe: func(a traffic.Answer) {
			observe(a)
			logger.Info(RequestLine, "route", a.Route.Path, "method", a.Route.Method, "status", a.Code, "failed", a.Failed(), "pod", a.Pod.Name)
		},
	})
	_ = server.Close()
	if ended := <-failed; !errors.Is(ended, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", ended)
	}
	logger.Info("caller has ended")
	return err
}

func connect(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("KUBECONFIG=%q: %w", kubeconfig, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("KUBECONFIG=%q: %w", kubeconfig, err)
	}
	return client, nil
}

func handler(page *series.Page, ready *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", page.Handler())
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	return mux
}

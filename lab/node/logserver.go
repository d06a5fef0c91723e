package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// logServer is the part of a kubelet's API that `kubectl logs` needs, which the
// API server asks, and its page of cAdvisor's metrics.
type logServer struct {
	agent    *agent
	listener net.Listener
	port     int
}

func newLogServer(a *agent) (*logServer, error) {
	cert, err := selfSigned(a.cfg.NodeName)
	if err != nil {
		return nil, fmt.Errorf("log server: %w", err)
	}
	listener, err := tls.Listen("tcp", net.JoinHostPort(hostIP, "0"), &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, fmt.Errorf("log server: %w", err)
	}
	tcp, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("log server: address %s is no TCP address", listener.Addr())
	}
	return &logServer{agent: a, listener: listener, port: tcp.Port}, nil
}

// run serves until ctx is done.
func (s *logServer) run(ctx context.Context) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.logs)
	mux.Handle("GET /metrics/cadvisor", cadvisor{s.agent}.handler())
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		s.agent.cfg.Log.Error("log server ended", "error", err)
	}
}

func (s *logServer) logs(w http.ResponseWriter, req *http.Request) {
	namespace, name, containerName := req.PathValue("namespace"), req.PathValue("pod"), req.PathValue("container")
	p := s.agent.find(namespace, name)
	if p == nil {
		http.Error(w, fmt.Sprintf("pod %q does not run here", name), http.StatusNotFound)
		return
	}
	c := p.container(containerName)
	if c == nil {
		http.Error(w, fmt.Sprintf("container %q is not one of pod %q", containerName, name), http.StatusNotFound)
		return
	}
	view, err := c.logView(req.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	flush := func() { _ = http.NewResponseController(w).Flush() }
	running := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return c.state.Running != nil
	}
	if err := readLog(req.Context(), w, flush, logPath(s.agent.logDir, namespace, name, containerName), view, running); err != nil {
		s.agent.cfg.Log.Warn("container log not sent", "namespace", namespace, "pod", name, "container", containerName, "error", err)
	}
}

// container finds a container of the pod by name.
func (p *pod) container(name string) *container {
	for _, list := range [][]*container{p.inits, p.mains} {
		for _, c := range list {
			if c.spec.Name == name {
				return c
			}
		}
	}
	return nil
}

// logView reads the parameters of a request for logs, which are those of
// corev1.PodLogOptions.
func (c *container) logView(query url.Values) (logView, error) {
	c.pod.mu.Lock()
	view := logView{since: c.startedAt}
	if query.Get("previous") == "true" {
		if c.previousAt.IsZero() {
			c.pod.mu.Unlock()
			return logView{}, fmt.Errorf("previous terminated container %q not found", c.spec.Name)
		}
		view.since, view.until = c.previousAt, c.startedAt
	}
	c.pod.mu.Unlock()
	view.follow = query.Get("follow") == "true" && view.until.IsZero()
	view.timestamps = query.Get("timestamps") == "true"
	view.tail, view.limit = -1, -1
	for name, into := range map[string]*int64{"tailLines": &view.tail, "limitBytes": &view.limit} {
		if s := query.Get(name); s != "" {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil || n < 0 {
				return logView{}, fmt.Errorf("%s %q is no count", name, s)
			}
			*into = n
		}
	}
	var since time.Time
	if s := query.Get("sinceSeconds"); s != "" {
		seconds, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return logView{}, fmt.Errorf("sinceSeconds %q is no count", s)
		}
		since = time.Now().Add(-time.Duration(seconds) * time.Second)
	}
	if s := query.Get("sinceTime"); s != "" {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return logView{}, fmt.Errorf("sinceTime %q is no time", s)
		}
		since = at
	}
	if since.After(view.since) {
		view.since = since
	}
	return view, nil
}

func selfSigned(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "system:node:" + name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{net.ParseIP(hostIP)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

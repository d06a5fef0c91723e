package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// checker does what probes and lifecycle hooks ask for.
type checker struct {
	spawner *spawner
	client  *http.Client
}

func newChecker(spawner *spawner) *checker {
	return &checker{spawner: spawner, client: &http.Client{
		// As the kubelet: a connection for each probe, any certificate, and a
		// redirection is an answer.
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // a probe asks whether it answers, not who
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// target is the container that is asked.
type target struct {
	ip    string
	ports []corev1.ContainerPort
	run   command // its environment and directory, for commands
}

// check returns nil when the probe succeeds, or what it met with.
func (k *checker) check(ctx context.Context, probe corev1.ProbeHandler, at target) error {
	switch {
	case probe.HTTPGet != nil:
		return k.get(ctx, probe.HTTPGet, at)
	case probe.TCPSocket != nil:
		return k.dial(ctx, probe.TCPSocket, at)
	case probe.Exec != nil:
		return k.exec(ctx, probe.Exec.Command, at)
	}
	return errors.New("this node does httpGet, tcpSocket and exec probes only")
}

// hook carries out a lifecycle hook.
func (k *checker) hook(ctx context.Context, hook *corev1.LifecycleHandler, at target) error {
	if hook.Sleep != nil {
		select {
		case <-time.After(time.Duration(hook.Sleep.Seconds) * time.Second):
		case <-ctx.Done():
		}
		return nil
	}
	return k.check(ctx, corev1.ProbeHandler{HTTPGet: hook.HTTPGet, TCPSocket: hook.TCPSocket, Exec: hook.Exec}, at)
}

func (k *checker) get(ctx context.Context, action *corev1.HTTPGetAction, at target) error {
	port, err := portOf(action.Port, at.ports)
	if err != nil {
		return err
	}
	host := at.ip
	if action.Host != "" {
		host = action.Host
	}
	scheme := "http"
	if action.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	path := "/" + strings.TrimPrefix(action.Path, "/")
	url := scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port)) + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("HTTP probe: %w", err)
	}
	req.Header.Set("User-Agent", "kube-probe/lab")
	for _, h := range action.HTTPHeaders {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			req.Host = h.Value
			continue
		}
		req.Header.Add(h.Name, h.Value)
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, 10<<10)
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("HTTP probe failed with statuscode: %d", resp.StatusCode)
	}
	return nil
}

func (k *checker) dial(ctx context.Context, action *corev1.TCPSocketAction, at target) error {
	port, err := portOf(action.Port, at.ports)
	if err != nil {
		return err
	}
	host := at.ip
	if action.Host != "" {
		host = action.Host
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return conn.Close()
}

func (k *checker) exec(ctx context.Context, argv []string, at target) error {
	if len(argv) == 0 {
		return errors.New("exec probe without a command")
	}
	run := at.run
	run.argv, run.log = argv, &logFile{} // what a probe prints goes nowhere
	p, err := k.spawner.start(run)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.stop(ctx)
		return fmt.Errorf("command %q timed out", strings.Join(argv, " "))
	}
	if p.exit.code != 0 {
		return fmt.Errorf("command %q exited with %d", strings.Join(argv, " "), p.exit.code)
	}
	return nil
}

func portOf(port intstr.IntOrString, ports []corev1.ContainerPort) (int, error) {
	if port.Type == intstr.Int {
		return port.IntValue(), nil
	}
	for _, p := range ports {
		if p.Name == port.StrVal {
			return int(p.ContainerPort), nil
		}
	}
	if n, err := strconv.Atoi(port.StrVal); err == nil {
		return n, nil
	}
	return 0, fmt.Errorf("no port of the container is named %q", port.StrVal)
}

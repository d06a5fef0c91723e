// Package server runs a Prometheus on loopback for a benchmark.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Prometheus is one that runs.
type Prometheus struct {
	URL string
	PID int
	cmd *exec.Cmd
}

// Stop ends it.
func (p *Prometheus) Stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// Start runs the binary with a configuration over the blocks in dir/data, with args
// besides, and waits until it answers.
func Start(binary, dir, config string, args ...string) (*Prometheus, error) {
	path := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	_ = l.Close()
	cmd := exec.CommandContext(context.Background(), binary, append([]string{
		"--config.file=" + path, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + addr, "--log.level=error",
	}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	p := &Prometheus{"http://" + addr, cmd.Process.Pid, cmd}
	for range 300 {
		if ready(p.URL) {
			return p, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	p.Stop()
	return nil, errors.New("prometheus was not ready in time")
}

func ready(url string) bool {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/-/ready", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

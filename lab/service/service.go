// Package service runs the watchtower binary against a lab, as a user would:
// with a configuration file, a kubeconfig, and its HTTP API.
package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/watchtower-verify/watchtower/lab/stack"
)

// Config says which outsides Watchtower is given. Empty fields take the lab's
// own; a test puts a fault proxy's address there.
type Config struct {
	Binary          string // the watchtower executable
	Dir             string // for configuration, database and log
	Kubeconfig      string
	PrometheusURL   string
	AlertmanagerURL string
	ForgeURL        string
	Listen          string   // host:port; empty: a free one
	Namespaces      []string // to watch; empty: all
	Tick            time.Duration
	Policy          string // YAML of the policy, one key a line
	More            string // YAML of further keys, as it stands in the file
}

// Service is one Watchtower, running or not.
type Service struct {
	cfg    Config
	info   stack.Info
	URL    string
	config string
	log    string
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process has ended
	exit   error         // how, readable then
}

var configTemplate = template.Must(template.New("config").Parse(`cluster: lab
listen: {{.Listen}}
tick: {{.Tick}}
store: {path: watchtower.db}
kubernetes: {kubeconfig: {{printf "%q" .Kubeconfig}}, namespaces: [{{range $i, $n := .Namespaces}}{{if $i}}, {{end}}{{$n}}{{end}}]}
prometheus: {url: {{printf "%q" .PrometheusURL}}, timeout: 5s, lag: 500ms}
{{- with .AlertmanagerURL}}
alertmanager: {urls: [{{printf "%q" .}}]}
{{- end}}
{{- with .ForgeURL}}
forge: {kind: gitea, url: {{printf "%q" .}}, token_file: {{printf "%q" $.ForgeTokenFile}}, repository: {{$.ForgeRepo}}}
{{- end}}
registry:
  hosts: [{{printf "%q" .SourceHost}}]
  plain_http: ["{{.RegistryAddr}}"]
  mirrors: {docker.io: "{{.RegistryAddr}}"}
policy:
{{.PolicyBlock}}
{{.More}}`))

// New writes the configuration of a Watchtower for a lab. Start starts it.
func New(lab stack.Info, cfg Config) (*Service, error) {
	if err := cfg.complete(lab); err != nil {
		return nil, err
	}
	s := &Service{
		cfg: cfg, info: lab, URL: "http://" + cfg.Listen,
		config: filepath.Join(cfg.Dir, "watchtower.yaml"), log: filepath.Join(cfg.Dir, "watchtower.log"),
	}
	f, err := os.Create(s.config)
	if err != nil {
		return nil, fmt.Errorf("write the configuration of watchtower: %w", err)
	}
	defer f.Close()
	host := "localhost"
	if lab.ForgeURL != "" {
		host = strings.TrimPrefix(lab.ForgeURL, "http://")
	}
	err = configTemplate.Execute(f, struct {
		Config
		stack.Info
		PrometheusURL, AlertmanagerURL, ForgeURL, Kubeconfig string // of Config, over those of Info
		SourceHost, PolicyBlock                              string
	}{
		cfg, lab, cfg.PrometheusURL, cfg.AlertmanagerURL, cfg.ForgeURL, cfg.Kubeconfig, host, indent(cfg.Policy),
	})
	if err != nil {
		return nil, fmt.Errorf("write the configuration of watchtower: %w", err)
	}
	return s, nil
}

func (c *Config) complete(lab stack.Info) error {
	var err error
	for _, p := range []*string{&c.Binary, &c.Dir} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of watchtower: %w", err)
	}
	fill := func(s *string, from string) {
		if *s == "" {
			*s = from
		}
	}
	fill(&c.Kubeconfig, lab.WatchtowerKube)
	fill(&c.PrometheusURL, lab.PrometheusURL)
	fill(&c.AlertmanagerURL, lab.AlertmanagerURL)
	fill(&c.ForgeURL, lab.ForgeURL)
	fill(&c.Policy, "autonomy: observe")
	if c.Tick == 0 {
		c.Tick = 5 * time.Second
	}
	if c.Listen == "" {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		c.Listen = l.Addr().String()
		return l.Close()
	}
	return nil
}

func indent(policy string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(policy) + "\n") {
		b.WriteString("  " + line)
	}
	return b.String()
}

// ConfigFile is the path of the configuration.
func (s *Service) ConfigFile() string { return s.config }

// LogFile is where Watchtower's log goes, over all its starts.
func (s *Service) LogFile() string { return s.log }

// Start starts Watchtower and returns when its API is ready. The process dies
// with this one.
func (s *Service) Start(ctx context.Context) error {
	if err := s.Begin(); err != nil {
		return err
	}
	return s.WaitReady(ctx)
}

// Begin starts the process without waiting for it.
func (s *Service) Begin() error {
	logFile, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// Its life is ended by Stop and Kill, not by a context.
	cmd := exec.CommandContext(context.Background(), s.cfg.Binary, "serve", "--config", s.config)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.cfg.Dir, logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	done, started := make(chan struct{}), make(chan error, 1)
	go func() {
		// The signal at the parent's death is tied to the thread that starts the
		// child, so the thread must live as long as the child does.
		runtime.LockOSThread()
		defer logFile.Close()
		err := cmd.Start()
		started <- err
		if err == nil {
			s.exit = cmd.Wait()
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", s.cfg.Binary, err)
	}
	s.cmd, s.done = cmd, done
	return nil
}

// WaitReady waits until /readyz says so, the process ends, or ctx does.
func (s *Service) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if ok, _ := s.get(ctx, "/readyz", nil); ok {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("watchtower ended before it was ready: %w; its log ends:\n%s", errors.Join(errExited, s.exit), s.LogTail(20))
		case <-ctx.Done():
			return fmt.Errorf("watchtower was not ready in time: %w; its log ends:\n%s", ctx.Err(), s.LogTail(20))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Stop ends Watchtower as an operator would, and waits for it.
func (s *Service) Stop() error { return s.signal(syscall.SIGTERM, 15*time.Second) }

// Kill ends it with SIGKILL, at whatever instruction it is.
func (s *Service) Kill() error { return s.signal(syscall.SIGKILL, 5*time.Second) }

var errExited = errors.New("it ended by itself")

func (s *Service) signal(sig syscall.Signal, patience time.Duration) error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.done: // how it ended says only that it was told to
		s.cmd = nil
		return nil
	case <-time.After(patience):
		_ = s.cmd.Process.Kill()
		<-s.done
		s.cmd = nil
		return fmt.Errorf("watchtower did not end within %s of signal %s", patience, sig)
	}
}

// PID is the process's, 0 when it does not run.
func (s *Service) PID() int {
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Memory is the largest resident set so far, in bytes.
func (s *Service) Memory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmHWM in the process's status")
}

// LogTail is the last lines of the log.
func (s *Service) LogTail(lines int) string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

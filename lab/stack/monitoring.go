package stack

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/template"
	"time"
)

// Scrape jobs of the lab's own.
const (
	jobPods    = "pods"    // pods that ask for it by annotation
	jobKubelet = "kubelet" // what containers take, from the node
)

func (l *Lab) kubeStateMetrics() *component {
	c := l.process(KubeStateMetrics, 0, []string{KubeStateMetrics, metricsTelemetry}, func() (command, error) {
		return command{path: l.built[KubeStateMetrics].Binary, args: []string{
			"--kubeconfig=" + l.state.path(kubeconfigFile),
			"--host=127.0.0.1", "--port=" + l.ports.port(KubeStateMetrics),
			"--telemetry-host=127.0.0.1", "--telemetry-port=" + l.ports.port(metricsTelemetry),
			"--resources=deployments,replicasets,pods,nodes,namespaces",
			"--metric-labels-allowlist=pods=[*],deployments=[*]",
		}}, nil
	})
	c.after = []string{APIServer}
	c.ready = func(ctx context.Context) error {
		return answers(ctx, http.DefaultClient, "http://"+l.ports.addr(KubeStateMetrics)+"/healthz")
	}
	return c
}

//go:embed prometheus.yml.tmpl
var prometheusTemplate string

//go:embed alertmanager.yml
var alertmanagerConfig string

// prometheusValues fill prometheus.yml.tmpl.
type prometheusValues struct {
	Kubeconfig       string
	KubeStateMetrics string // host:port; empty: none
	Alertmanager     string // host:port; empty: none
	Scrape           []scrapeTarget
}

type scrapeTarget struct{ Job, Addr string }

func (v prometheusValues) render() (string, error) {
	t, err := template.New("prometheus.yml").Option("missingkey=error").Parse(prometheusTemplate)
	if err != nil {
		return "", fmt.Errorf("parse prometheus.yml.tmpl: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, v); err != nil {
		return "", fmt.Errorf("render prometheus.yml: %w", err)
	}
	return b.String(), nil
}

func (l *Lab) prometheus() *component {
	addr := l.ports.addr(Prometheus)
	c := l.process(Prometheus, 3*time.Second, []string{Prometheus}, func() (command, error) {
		values := prometheusValues{Kubeconfig: l.state.path(kubeconfigFile)}
		if l.opt.has(KubeStateMetrics) {
			values.KubeStateMetrics = l.ports.addr(KubeStateMetrics)
		}
		if l.opt.has(Alertmanager) {
			values.Alertmanager = l.ports.addr(Alertmanager)
		}
		for _, job := range slices.Sorted(maps.Keys(l.opt.Scrape)) {
			values.Scrape = append(values.Scrape, scrapeTarget{job, l.opt.Scrape[job]})
		}
		content, err := values.render()
		if err != nil {
			return command{}, err
		}
		config := l.state.path("config", "prometheus.yml")
		if err := writeConfig(config, content); err != nil {
			return command{}, err
		}
		dir, err := l.dataDir(Prometheus)
		return command{path: l.built[Prometheus].Binary, dir: dir, args: []string{
			"--config.file=" + config, "--storage.tsdb.path=" + dir, "--storage.tsdb.retention.time=1d",
			"--web.listen-address=" + addr, "--web.enable-lifecycle",
		}}, err
	})
	c.after = []string{APIServer}
	c.ready = func(ctx context.Context) error { return answers(ctx, http.DefaultClient, "http://"+addr+"/-/ready") }
	return c
}

func (l *Lab) alertmanager() *component {
	addr := l.ports.addr(Alertmanager)
	c := l.process(Alertmanager, 3*time.Second, []string{Alertmanager}, func() (command, error) {
		config := l.state.path("config", "alertmanager.yml")
		if err := writeConfig(config, alertmanagerConfig); err != nil {
			return command{}, err
		}
		dir, err := l.dataDir(Alertmanager)
		return command{path: l.built[Alertmanager].Binary, dir: dir, args: []string{
			"--config.file=" + config, "--storage.path=" + dir, "--web.listen-address=" + addr,
			"--cluster.listen-address=", // one alone
		}}, err
	})
	c.ready = func(ctx context.Context) error { return answers(ctx, http.DefaultClient, "http://"+addr+"/-/ready") }
	return c
}

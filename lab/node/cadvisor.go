package node

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// cadvisor tells what containers take, in the series of the kubelet's cAdvisor.
// As there, a pod has series of its own, without a container, that hold the sum.
type cadvisor struct{ agent *agent }

var (
	cadvisorLabels = []string{"container", "id", "image", "name", "namespace", "pod"}
	cpuSeconds     = prometheus.NewDesc("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", append(cadvisorLabels, "cpu"), nil)
	workingSet     = prometheus.NewDesc("container_memory_working_set_bytes", "Current working set in bytes.", cadvisorLabels, nil)
)

// handler serves the page of one agent.
func (c cadvisor) handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// Describe names the metrics.
func (c cadvisor) Describe(out chan<- *prometheus.Desc) { out <- cpuSeconds; out <- workingSet }

// Collect measures the containers that run.
func (c cadvisor) Collect(out chan<- prometheus.Metric) {
	now := usageByGroup()
	for _, p := range c.agent.current() {
		running := p.running()
		if len(running) == 0 {
			continue
		}
		id := "/kubepods/pod" + string(p.uid)
		var sum usage
		for _, r := range running {
			u := now[r.process.pid]
			u.cpuTicks = r.process.cpu(u.cpuTicks)
			sum.cpuTicks += u.cpuTicks
			sum.residentBytes += u.residentBytes
			send(out, u, r.container, id+"/"+r.id, r.image, r.id, p.namespace, p.name)
		}
		sum.cpuTicks += p.ticksBefore()
		send(out, sum, "", id, "", "", p.namespace, p.name)
	}
}

func send(out chan<- prometheus.Metric, u usage, labels ...string) {
	out <- prometheus.MustNewConstMetric(cpuSeconds, prometheus.CounterValue, float64(u.cpuTicks)/ticksPerSecond, append(labels, "total")...)
	out <- prometheus.MustNewConstMetric(workingSet, prometheus.GaugeValue, float64(u.residentBytes), labels...)
}

// runningContainer is a container with a process, as it was at one moment.
type runningContainer struct {
	container, image, id string
	process              *process
}

func (p *pod) running() []runningContainer {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []runningContainer
	for _, list := range [][]*container{p.inits, p.mains} {
		for _, c := range list {
			if c.process != nil {
				id := strings.TrimPrefix(c.containerID, "process://")
				out = append(out, runningContainer{c.spec.Name, c.image, id, c.process})
			}
		}
	}
	return out
}

// ticksBefore are those of the starts that have ended: a pod's counter goes on
// where its containers' begin anew.
func (p *pod) ticksBefore() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.endedTicks
}

// cpu is the process group's counter of ticks, given what is measured now: it
// never falls, though a child that nobody waited for takes its ticks with it.
func (p *process) cpu(measured int64) int64 {
	for {
		seen := p.ticks.Load()
		if measured <= seen {
			return seen
		}
		if p.ticks.CompareAndSwap(seen, measured) {
			return measured
		}
	}
}

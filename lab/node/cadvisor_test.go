package node

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
)

// usageSeries reads the node's page of cAdvisor's metrics: the value of a metric
// for a pod and container ("" is the pod's sum), -1 when there is none.
func (n *labNode) usageSeries() func(metric, pod, container string) float64 {
	n.t.Helper()
	code, body := n.kubelet("metrics/cadvisor")
	if code != http.StatusOK {
		n.t.Fatalf("%d %s", code, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		n.t.Fatalf("%v in\n%s", err, body)
	}
	return func(metric, pod, container string) float64 {
		for _, series := range families[metric].GetMetric() {
			labels := labelsOf(series)
			if labels["pod"] == pod && labels["container"] == container && labels["namespace"] == "shop" {
				return series.GetCounter().GetValue() + series.GetGauge().GetValue()
			}
		}
		return -1
	}
}

func labelsOf(series *dto.Metric) map[string]string {
	out := map[string]string{}
	for _, l := range series.GetLabel() {
		out[l.GetName()] = l.GetValue()
	}
	return out
}

const (
	cpuMetric    = "container_cpu_usage_seconds_total"
	memoryMetric = "container_memory_working_set_bytes"
)

func TestCPUAndMemoryOfContainersAreWhatTheirProcessesTake(t *testing.T) {
	n := newNode(t)
	n.create(sh("busy", `while :; do :; done`))
	n.create(sh("idle", `sleep 1000`))
	n.until("busy", "ready", ready)
	n.until("idle", "ready", ready)
	waitFor(t, func() bool { return n.usageSeries()(cpuMetric, "busy", "main") >= 0.5 }, func() string { return "no CPU is counted" })
	read := n.usageSeries()
	if cpu := read(cpuMetric, "idle", "main"); cpu < 0 || cpu > 0.2 {
		t.Errorf("the idle container has %g core-seconds", cpu)
	}
	if memory := read(memoryMetric, "idle", "main"); memory < 100<<10 || memory > 100<<20 {
		t.Errorf("a shell and its child have %g bytes", memory)
	}
	if pod, main := read(cpuMetric, "busy", ""), read(cpuMetric, "busy", "main"); pod != main {
		t.Errorf("the pod has %g core-seconds and its only container %g", pod, main)
	}
}

func TestARestartedContainerCountsFromZeroAndItsPodGoesOn(t *testing.T) {
	n := newNode(t)
	again := filepath.Join(t.TempDir(), "again")
	n.create(sh("a", fmt.Sprintf("test -e %[1]s && exec sleep 1000; while ! test -e %[1]s; do :; done; exit 1", again)))
	n.until("a", "ready", ready)
	waitFor(t, func() bool { return n.usageSeries()(cpuMetric, "a", "main") >= 0.3 }, func() string { return "no CPU is counted" })
	if err := os.WriteFile(again, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.until("a", "started again", func(p *corev1.Pod) bool { return ready(p) && restarted(p) })
	read := n.usageSeries()
	if cpu := read(cpuMetric, "a", "main"); cpu < 0 || cpu >= 0.3 {
		t.Errorf("the new start of the container has %g core-seconds", cpu)
	}
	if cpu := read(cpuMetric, "a", ""); cpu < 0.3 {
		t.Errorf("its pod has %g core-seconds, and had 0.3 before", cpu)
	}
}

func TestWhatHasEndedHasNoSeries(t *testing.T) {
	n := newNode(t)
	n.create(sh("a", `exit 0`, func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }))
	n.until("a", "ended", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	if read := n.usageSeries(); read(cpuMetric, "a", "main") != -1 || read(memoryMetric, "a", "") != -1 {
		t.Error("there is usage of a container that ended")
	}
}

func TestACounterOfAProcessGroupNeverFalls(t *testing.T) {
	p := &process{}
	for _, step := range []struct{ measured, want int64 }{{10, 10}, {30, 30}, {20, 30}, {0, 30}, {31, 31}} {
		if got := p.cpu(step.measured); got != step.want {
			t.Errorf("%d is counted as %d, want %d", step.measured, got, step.want)
		}
	}
}

func TestAProcessStatIsRead(t *testing.T) {
	const stat = "123 (a (b) c) S 1 77 77 0 -1 4194560 500 0 0 0 11 12 13 14 20 0 1 0 5000 9999999 3 18446744073709551615 1 1"
	group, u, ok := readStat([]byte(stat))
	if !ok || group != 77 || u.cpuTicks != 50 || u.residentBytes%3 != 0 || u.residentBytes == 0 {
		t.Errorf("group %d, %+v, %v", group, u, ok)
	}
	for _, bad := range []string{"", "1 (x) S", strings.Replace(stat, " 12 ", " x ", 1), strings.Replace(stat, " 77 77", " x x", 1)} {
		if _, _, ok := readStat([]byte(bad)); ok {
			t.Errorf("%q is read", bad)
		}
	}
}

// Package fleet stands for the pods of a large cluster: it serves the metrics
// that so many workloads' pods, and the exporters that tell of them, would show.
package fleet

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fleet is a number of workloads in the middle of a rollout.
type Fleet struct {
	Workloads int
	began     time.Time
}

// PodsOf is how many pods each workload has, half of them of the release.
const PodsOf = 4

// podsPerTarget is how many pods are served by one address: a scrape costs
// Prometheus more than a series does, and the series are what is measured.
const podsPerTarget = 100

// New returns a fleet whose counters begin now.
func New(workloads int) *Fleet { return &Fleet{Workloads: workloads, began: time.Now()} }

// Targets is how many addresses there are to scrape: /metrics/0 and on.
func (f *Fleet) Targets() int { return (f.Workloads*PodsOf + podsPerTarget - 1) / podsPerTarget }

// Workload names the i-th workload: its namespace, its name, and the ReplicaSets
// of its release and of what that replaces.
func Workload(i int) (namespace, name, release, stable string) {
	name = fmt.Sprintf("service-%04d", i)
	return fmt.Sprintf("team-%02d", i%40), name, name + "-6d5f7c9b8d", name + "-5c7bffbd5f"
}

// Pods are the names of a workload's pods.
func Pods(i int) (release, stable []string) {
	_, _, next, old := Workload(i)
	for p := range PodsOf / 2 {
		release = append(release, fmt.Sprintf("%s-rel%02d", next, p))
		stable = append(stable, fmt.Sprintf("%s-old%02d", old, p))
	}
	return release, stable
}

// ServeHTTP answers /metrics/N with what the N-th target shows.
func (f *Fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/metrics/"))
	if err != nil || n < 0 || n >= f.Targets() {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	b := bufio.NewWriterSize(w, 64<<10)
	defer b.Flush()
	elapsed := time.Since(f.began).Seconds()
	for pod := n * podsPerTarget; pod < min((n+1)*podsPerTarget, f.Workloads*PodsOf); pod++ {
		writePod(b, pod, elapsed)
	}
}

var (
	routes  = []string{"/", "/api/items"}
	codes   = []string{"200", "404", "500"}
	buckets = []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "+Inf"}
)

// SeriesPerPod is how many series a pod has.
const SeriesPerPod = 50

// writePod writes a pod's series: 6 counters of requests, 28 buckets, 4 of sum
// and count, 4 of exporters and, to make up the number, what a runtime tells.
func writePod(b *bufio.Writer, pod int, elapsed float64) {
	namespace, _, _, _ := Workload(pod / PodsOf)
	release, stable := Pods(pod / PodsOf)
	name := append(release, stable...)[pod%PodsOf]
	set := fmt.Sprintf(`namespace=%q,pod=%q`, namespace, name)
	requests := float64(int(elapsed*20)) + float64(pod%7)
	n := 0
	line := func(metric, more string, value float64) {
		n++
		fmt.Fprintf(b, "%s{%s%s} %s\n", metric, set, more, strconv.FormatFloat(value, 'g', -1, 64))
	}
	for _, route := range routes {
		for i, code := range codes {
			line("http_requests_total", fmt.Sprintf(`,code=%q,handler=%q,method="get",container="app"`, code, route), float64(int(requests/[]float64{1, 50, 500}[i])))
		}
		for i, le := range buckets {
			share := min(1, float64(i+1)/8)
			line("http_request_duration_seconds_bucket", fmt.Sprintf(`,le=%q,handler=%q,method="get",container="app"`, le, route), float64(int(requests*share)))
		}
		line("http_request_duration_seconds_sum", fmt.Sprintf(`,handler=%q,method="get",container="app"`, route), requests*0.04)
		line("http_request_duration_seconds_count", fmt.Sprintf(`,handler=%q,method="get",container="app"`, route), requests)
	}
	line("container_cpu_usage_seconds_total", `,container="app"`, elapsed*0.3)
	line("container_memory_working_set_bytes", `,container="app"`, 200e6+float64(pod%13)*1e6)
	line("kube_pod_container_status_restarts_total", `,container="app"`, 0)
	line("kube_pod_status_ready", `,condition="true"`, 1)
	for n < SeriesPerPod {
		line("go_memstats_"+[]string{"alloc", "sys", "mallocs", "frees", "heap", "stack", "gc", "next"}[n%8]+"_bytes", "", elapsed*1e3)
	}
}

// Command signals measures what looking at many releases costs: it feeds a real
// Prometheus the metrics of a large cluster, reads so many ticks of so many
// releases as the service does, and prints queries, samples, time and processor
// time of a tick.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	client "github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/bench/fleet"
	"github.com/watchtower-verify/watchtower/bench/server"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/internal/source/prometheus"
	"github.com/watchtower-verify/watchtower/rules"
)

const (
	tick     = 15 * time.Second
	ticks    = 8
	warmTime = 4 * time.Minute // of scrapes before the first look
)

func main() {
	binary := flag.String("prometheus", "", "the prometheus executable (bin/lab build prometheus tells where it is)")
	workloads := flag.Int("workloads", 1000, "how many workloads are in the middle of a rollout")
	flag.Parse()
	if err := run(*binary, *workloads); err != nil {
		fmt.Fprintln(os.Stderr, "signals:", err)
		os.Exit(1)
	}
}

func run(binary string, workloads int) error {
	if binary == "" {
		return errors.New("no -prometheus given: name the executable")
	}
	dir, err := os.MkdirTemp("", "watchtower-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f := fleet.New(workloads)
	addr, stopFleet, err := serve(f)
	if err != nil {
		return err
	}
	defer stopFleet()
	prom, err := server.Start(binary, dir, configuration(addr, f.Targets()))
	if err != nil {
		return err
	}
	defer prom.Stop()
	series := workloads * fleet.PodsOf * fleet.SeriesPerPod
	fmt.Fprintf(os.Stderr, "a real Prometheus scrapes %d series every 15 s; waiting %s for a past\n", series, warmTime)
	time.Sleep(warmTime)

	fmt.Printf("%d series in Prometheus, ticks of %s, 6 signals (errors, latency, throughput, cpu, memory, restarts)\n", series, tick)
	fmt.Println("releases  queries/tick  samples/tick  MB/tick  s/tick (median)  s/tick (most)  cores  cores of Prometheus")
	for _, n := range []int{10, 100, 1000} {
		if n > workloads {
			break
		}
		if err := measure(prom.URL, prom.PID, n); err != nil {
			return err
		}
	}
	return nil
}

func serve(f *fleet.Fleet) (string, func(), error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: f, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(l) }()
	return l.Addr().String(), func() { _ = server.Close() }, nil
}

// configuration scrapes the fleet every 15 s.
func configuration(fleetAddr string, targets int) string {
	var config strings.Builder
	config.WriteString("global: {scrape_interval: 15s, scrape_timeout: 10s}\nscrape_configs:\n")
	for i := range targets {
		fmt.Fprintf(&config, "  - {job_name: \"fleet-%d\", honor_labels: true, metrics_path: /metrics/%d, static_configs: [{targets: [%q]}]}\n", i, i, fleetAddr)
	}
	return config.String()
}

// measure reads ticks of n releases that began some ticks ago, the newest last,
// each as soon as the one before is read.
func measure(url string, promPID, n int) error {
	reg := client.NewRegistry()
	source, err := prometheus.New(prometheus.Config{URL: url, Timeout: 20 * time.Second, Concurrency: 4}, reg)
	if err != nil {
		return err
	}
	defer source.Close()
	cat, err := catalogue.Load(rules.Signals)
	if err != nil {
		return err
	}
	reader := signal.NewReader(cat, source, signal.Options{Tick: tick})
	end := time.Now().Truncate(tick)
	subjects := subjects(n, end.Add(-(ticks+2)*tick))
	var took []time.Duration
	var cpu, promCPU time.Duration
	var before map[string]float64
	for i := range ticks + 2 {
		if i == 2 { // the first looks find out what there is
			before = counters(reg)
		}
		began, used, promUsed := time.Now(), ownCPU(), processCPU(promPID)
		results := reader.Read(context.Background(), end.Add(time.Duration(i-ticks-1)*tick), subjects)
		for id, res := range results {
			if res.Err != nil {
				return fmt.Errorf("release %s: %w", id, res.Err)
			}
			if i > 2 && (len(res.Readings) != 1 || res.Readings[0].Errors == nil || res.Readings[0].Latency == nil || len(res.Readings[0].Quantities) < 3) {
				return fmt.Errorf("release %s: not all signals were measured: %+v %q", id, res.Readings, res.Notes)
			}
		}
		if i >= 2 {
			took = append(took, time.Since(began))
			cpu += ownCPU() - used
			promCPU += processCPU(promPID) - promUsed
		}
	}
	slices.Sort(took)
	after := counters(reg)
	per := func(name string) float64 { return (after[name] - before[name]) / ticks }
	fmt.Printf("%8d  %12.1f  %12.0f  %7.1f  %15.2f  %13.2f  %5.2f  %19.2f\n", n,
		per("watchtower_source_queries_total"), per("watchtower_source_samples_total"), per("watchtower_source_bytes_total")/1e6,
		took[len(took)/2].Seconds(), took[len(took)-1].Seconds(), cpu.Seconds()/ticks/tick.Seconds(), promCPU.Seconds()/ticks/tick.Seconds())
	return nil
}

func subjects(n int, started time.Time) []signal.Subject {
	var out []signal.Subject
	for i := range n {
		namespace, name, next, old := fleet.Workload(i)
		s := signal.Subject{ID: release.ID(name), Namespace: namespace, Workload: name, Release: next, Stable: old, StartedAt: started, Services: []string{name}}
		pods, stable := fleet.Pods(i)
		for _, pod := range pods {
			s.Pods = append(s.Pods, signal.Pod{Name: pod, Arm: release.ArmRelease, CreatedAt: started, ReadyAt: started})
		}
		for _, pod := range stable {
			s.Pods = append(s.Pods, signal.Pod{Name: pod, Arm: release.ArmStable})
		}
		out = append(out, s)
	}
	return out
}

// counters are the sums of a registry's counters by name.
func counters(reg *client.Registry) map[string]float64 {
	out := map[string]float64{}
	families, err := reg.Gather()
	if err != nil {
		return out
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			out[f.GetName()] += m.GetCounter().GetValue()
		}
	}
	return out
}

// ownCPU is the processor time of this process, fleet included: its part is small
// and is counted against us.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// processCPU is the processor time of another process.
func processCPU(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var user, system int64
	if len(fields) > 12 {
		_, _ = fmt.Sscan(fields[11], &user)
		_, _ = fmt.Sscan(fields[12], &system)
	}
	const perSecond = 100 // clock ticks, on every Linux there is
	return time.Duration(user+system) * time.Second / perSecond
}

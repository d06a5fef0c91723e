package signal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// fleet is a metric store for benchmarks: many releases of the same shape,
// whose answers are made ready before they are asked for.
type fleet struct {
	store   *store
	answers map[string][]samples.Series
	asked   int
}

func newFleet(n int) (*fleet, []Subject) {
	f := &fleet{store: newStore(), answers: map[string][]samples.Series{}}
	var subjects []Subject
	for i := range n {
		name := fmt.Sprintf("service-%04d", i)
		s := Subject{
			ID: release.ID(name), Namespace: fmt.Sprintf("ns-%02d", i%20), Workload: name,
			Release: name + "-6d5f7c9b8", Stable: name + "-5c7bffbd", StartedAt: epoch.Add(time.Second),
		}
		subjects = append(subjects, s)
		for _, rs := range []string{s.Release, s.Stable} {
			for p := range 2 {
				f.pod(s.Namespace, fmt.Sprintf("%s-abc%02d", rs, p))
			}
		}
	}
	return f, subjects
}

var fleetBounds = []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"}

func (f *fleet) pod(namespace, pod string) {
	base := map[string]string{"namespace": namespace, "pod": pod, "instance": "10.0.0.1:8080", "job": "pods", "container": "app", "node": "n1"}
	add := func(more map[string]string) {
		set := maps.Clone(base)
		maps.Copy(set, more)
		f.store.putSet(epoch, 0, labels.FromMap(set))
	}
	for _, route := range []string{"/", "/cart", "/healthz"} {
		for _, code := range []string{"200", "500"} {
			add(map[string]string{"__name__": "http_requests_total", "code": code, "handler": route, "method": "GET"})
		}
		for _, le := range fleetBounds {
			add(map[string]string{"__name__": "http_request_duration_seconds_bucket", "le": le, "handler": route, "method": "GET"})
		}
	}
}

// advance fills the answers with three scrapes of the tick that ends at a time.
func (f *fleet) advance(at time.Time) (n int) {
	for _, series := range f.answers {
		for i := range series {
			end := at.UnixMilli()
			v := float64(end-epoch.UnixMilli()) / 1000
			series[i].Floats = []samples.Float{{Millis: end - 10_000, Value: v - 10}, {Millis: end - 5_000, Value: v - 5}, {Millis: end, Value: v}}
			n += 3
		}
	}
	return n
}

func (f *fleet) Raw(ctx context.Context, query string, _ time.Duration, at time.Time) ([]samples.Series, error) {
	f.store.mu.Lock()
	f.asked++
	known, ok := f.answers[query]
	f.store.mu.Unlock()
	if ok {
		return known, nil
	}
	found, err := f.store.Raw(ctx, query, 24*time.Hour, at)
	f.store.mu.Lock()
	f.answers[query] = found
	f.store.mu.Unlock()
	return found, err
}

func (f *fleet) Series(ctx context.Context, queries []string, from, to time.Time) ([]labels.Labels, error) {
	var named []string
	for _, q := range queries {
		if strings.Contains(q, ",pod=") || strings.Contains(q, "{pod=") {
			named = append(named, q) // by the labels that are there; a pattern of all pods takes the store long
		}
	}
	return f.store.Series(ctx, named, from, to)
}

func (f *fleet) Range(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]samples.Series, error) {
	return f.store.Range(ctx, expr, from, to, step)
}

func (f *fleet) Types(context.Context, string) ([]string, error) { return nil, nil }

func BenchmarkReadOneTickOfManyReleases(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			cat := builtin(b)
			f, subjects := newFleet(n)
			// Only the dialect that is there, so that discovery stays out of it.
			cat.Dialects = slices.DeleteFunc(slices.Clone(cat.Dialects), func(d *catalogue.Dialect) bool { return d.Name != "prometheus" })
			cat.Resources = nil
			r := NewReader(cat, f, Options{Tick: testTick, ScrapeLookback: testLookback})
			at := epoch
			tick := func() map[release.ID]Result {
				at = at.Add(testTick)
				return r.Read(context.Background(), at, subjects)
			}
			tick() // first reads have other windows
			tick()
			counted := 0
			f.asked = 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				counted = f.advance(at.Add(testTick))
				b.StartTimer()
				for _, res := range tick() {
					if res.Err != nil || len(res.Readings) != 1 {
						b.Fatalf("%v, %d readings", res.Err, len(res.Readings))
					}
				}
			}
			b.ReportMetric(float64(f.asked)/float64(b.N), "queries/op")
			b.ReportMetric(float64(counted), "samples/op")
		})
	}
}

package fleet

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// read parses one target's page: the series, each once, and their values.
func read(t *testing.T, f *Fleet, target int) map[model.Fingerprint]model.Sample {
	t.Helper()
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics/"+strconv.Itoa(target), nil))
	if w.Code != http.StatusOK {
		t.Fatalf("target %d answers %d", target, w.Code)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := map[model.Fingerprint]model.Sample{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			set := model.Metric{model.MetricNameLabel: model.LabelValue(name)}
			for _, l := range m.GetLabel() {
				set[model.LabelName(l.GetName())] = model.LabelValue(l.GetValue())
			}
			if _, twice := out[set.Fingerprint()]; twice {
				t.Fatalf("%s is there twice", set)
			}
			value := m.GetUntyped().GetValue() + m.GetCounter().GetValue() + m.GetGauge().GetValue()
			out[set.Fingerprint()] = model.Sample{Metric: set, Value: model.SampleValue(value)}
		}
	}
	return out
}

func TestEveryPodOfEveryWorkloadHasItsSeries(t *testing.T) {
	const workloads = 60 // 240 pods: two full targets and a part of one
	f := New(workloads)
	pods := map[string]int{}
	for target := range f.Targets() {
		for _, s := range read(t, f, target) {
			pods[string(s.Metric["namespace"]+"/"+s.Metric["pod"])]++
		}
	}
	for i := range workloads {
		namespace, _, _, _ := Workload(i)
		release, stable := Pods(i)
		for _, pod := range slices.Concat(release, stable) {
			if n := pods[namespace+"/"+pod]; n != SeriesPerPod {
				t.Errorf("%s/%s has %d series, want %d", namespace, pod, n, SeriesPerPod)
			}
		}
	}
	if len(pods) != workloads*PodsOf {
		t.Errorf("%d pods have series, want %d", len(pods), workloads*PodsOf)
	}
}

func TestCountersDoNotFallAndBucketsEndWithTheCount(t *testing.T) {
	f := New(1)
	before, after := read(t, f, 0), read(t, f, 0)
	counts, ends := map[model.Fingerprint]model.SampleValue{}, map[model.Fingerprint]model.SampleValue{}
	for id, s := range after {
		name := string(s.Metric[model.MetricNameLabel])
		if counter := strings.HasSuffix(name, "_total") || strings.HasPrefix(name, "http_"); counter && s.Value < before[id].Value {
			t.Errorf("%s falls from %v to %v", s.Metric, before[id].Value, s.Value)
		}
		of := s.Metric.Clone()
		delete(of, model.MetricNameLabel)
		delete(of, "le")
		switch {
		case name == "http_request_duration_seconds_count":
			counts[of.Fingerprint()] = s.Value
		case s.Metric["le"] == "+Inf":
			ends[of.Fingerprint()] = s.Value
		}
	}
	if len(counts) != PodsOf*len(routes) {
		t.Fatalf("%d counts of requests", len(counts))
	}
	for id, n := range counts {
		if ends[id] != n {
			t.Errorf("the last bucket has %v of %v requests", ends[id], n)
		}
	}
}

func TestThereIsNoTargetBeyondTheLast(t *testing.T) {
	f := New(1)
	for _, path := range []string{"/metrics/1", "/metrics/-1", "/metrics/x", "/"} {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
}

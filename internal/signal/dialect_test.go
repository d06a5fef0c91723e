package signal

import (
	"context"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	oldPod = "web-stable-pod01"
	newPod = "web-new-pod01"
)

// scrapes puts one counter series of a pod at every 5 s: the old pod from
// before the release on, the new one from 20 s after it. It grows by step at
// each scrape from epoch on.
func (s *store) scrapes(pod string, step float64, pairs ...string) {
	at, v := epoch.Add(-3*time.Minute), 1000.0
	if pod == newPod {
		at, v = epoch.Add(20*time.Second), 0
	}
	named := false
	for _, p := range pairs {
		named = named || strings.Contains(p, "pod")
	}
	if !named {
		pairs = append(pairs, "pod="+pod, "namespace=shop")
	}
	pairs = append(pairs, "instance="+pod+":80", "job=pods")
	for ; !at.After(epoch.Add(2 * time.Minute)); at = at.Add(5 * time.Second) {
		if at.After(epoch) {
			v += step
		}
		s.put(at, v, pairs...)
	}
}

// steps is how often a counter of the pod grew in the two minutes.
func steps(pod string) int64 {
	if pod == newPod {
		return 21
	}
	return 24
}

func readAll(t *testing.T, s *store, subject Subject) Result {
	t.Helper()
	r := newTestReader(t, s)
	return r.Read(context.Background(), epoch.Add(2*time.Minute), []Subject{subject})[subject.ID]
}

func totals(res Result) (rel, stable release.Count) {
	for _, rd := range res.Readings {
		if rd.Errors != nil {
			rel, stable = rel.Add(rd.Errors.Release.Count), stable.Add(rd.Errors.Stable.Count)
		}
	}
	return rel, stable
}

func TestEachDialectCountsRequestsAndFailuresWithoutAnyQuery(t *testing.T) {
	type series struct {
		step  float64
		pairs []string
	}
	for name, c := range map[string]struct {
		dialect    string
		series     []series
		total, bad int64 // per scrape
	}{
		"a Prometheus client with code and handler": {"prometheus", []series{
			{5, []string{"__name__=http_requests_total", "code=200", "handler=/"}},
			{2, []string{"__name__=http_requests_total", "code=503", "handler=/cart"}},
			{3, []string{"__name__=http_requests_total", "code=404", "handler=/cart"}},
			{9, []string{"__name__=http_requests_total", "code=200", "handler=/healthz"}},
			{9, []string{"__name__=http_requests_total", "code=500", "handler=/metrics"}},
		}, 10, 2},
		"a Prometheus client with classes of status": {"prometheus", []series{
			{5, []string{"__name__=http_requests_total", "status=2xx", "path=/"}},
			{1, []string{"__name__=http_requests_total", "status=5XX", "path=/"}},
		}, 6, 1},
		"a Prometheus client with status_code and no route": {"prometheus", []series{
			{5, []string{"__name__=http_requests_total", "status_code=200"}},
			{1, []string{"__name__=http_requests_total", "status_code=500"}},
		}, 6, 1},
		"Node's prom-client, whose histogram counts the requests": {"prom-client", []series{
			{5, []string{"__name__=http_request_duration_seconds_count", "status_code=200", "route=/"}},
			{1, []string{"__name__=http_request_duration_seconds_count", "status_code=502", "route=/"}},
			{7, []string{"__name__=http_request_duration_seconds_count", "status_code=200", "route=/ready"}},
		}, 6, 1},
		"OpenTelemetry": {"opentelemetry", []series{
			{5, []string{"__name__=http_server_request_duration_seconds_count", "http_response_status_code=200", "http_route=/"}},
			{1, []string{"__name__=http_server_request_duration_seconds_count", "http_response_status_code=500", "error_type=500"}},
			{1, []string{"__name__=http_server_request_duration_seconds_count", "error_type=java.net.SocketException"}},
			{2, []string{"__name__=http_server_request_duration_seconds_count", "http_response_status_code=404", "error_type=not_found"}},
			{9, []string{"__name__=http_server_request_duration_seconds_count", "http_response_status_code=200", "http_route=/livez"}},
		}, 9, 2},
		"OpenTelemetry before 1.23": {"opentelemetry-old", []series{
			{5, []string{"__name__=http_server_duration_milliseconds_count", "http_status_code=200", "http_route=/"}},
			{1, []string{"__name__=http_server_duration_milliseconds_count", "http_status_code=500", "http_route=/"}},
		}, 6, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			for _, ser := range c.series {
				s.scrapes(oldPod, ser.step, ser.pairs...)
				s.scrapes(newPod, ser.step, ser.pairs...)
			}
			res := readAll(t, s, worldSubject())
			if res.Err != nil || res.Dialect != c.dialect {
				t.Fatalf("dialect %q, %v; want %q", res.Dialect, res.Err, c.dialect)
			}
			rel, stable := totals(res)
			for pod, got := range map[string]release.Count{newPod: rel, oldPod: stable} {
				if want := (release.Count{Total: steps(pod) * c.total, Bad: steps(pod) * c.bad}); got != want {
					t.Errorf("%s: counted %+v, want %+v", pod, got, want)
				}
			}
		})
	}
}

func TestAnyLabelsThatNameThePodAreReadAndTheExportedOnesWin(t *testing.T) {
	for name, c := range map[string]struct {
		labels func(pod string) []string
		form   string
	}{
		"pod and namespace": {func(p string) []string { return []string{"pod=" + p, "namespace=shop"} }, `namespace="shop",pod=~`},
		"exported": {func(p string) []string {
			return []string{"exported_pod=" + p, "exported_namespace=shop", "pod=collector-x", "namespace=monitoring"}
		}, `exported_namespace="shop",exported_pod=~`},
		"exported pod alone":  {func(p string) []string { return []string{"exported_pod=" + p, "namespace=shop", "pod=collector-x"} }, `exported_pod=~`},
		"relabelled long ago": {func(p string) []string { return []string{"kubernetes_pod_name=" + p, "kubernetes_namespace=shop"} }, `kubernetes_namespace="shop"`},
		"resource attributes": {func(p string) []string { return []string{"k8s_pod_name=" + p, "k8s_namespace_name=shop"} }, `k8s_namespace_name="shop"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			for _, pod := range []string{oldPod, newPod} {
				s.scrapes(pod, 4, append([]string{"__name__=http_requests_total", "code=200"}, c.labels(pod)...)...)
				// What names another pod is never counted.
				s.scrapes(pod, 100, "__name__=http_requests_total", "code=500", "exported_pod=other-5c7bffbd-x2x4z", "exported_namespace=shop", "pod="+pod, "namespace=shop")
			}
			res := readAll(t, s, worldSubject())
			rel, stable := totals(res)
			if rel != (release.Count{Total: 84}) || stable != (release.Count{Total: 96}) {
				t.Errorf("counted %+v and %+v", rel, stable)
			}
			if len(res.Queries) == 0 || !strings.Contains(res.Queries[0].Expr, c.form) {
				t.Errorf("queries %v, want one with %s", res.Queries, c.form)
			}
		})
	}
}

func TestOfTwoDialectsTheFirstInOrderThatBothArmsExportIsReadAndSaid(t *testing.T) {
	prom := []string{"__name__=http_requests_total", "code=200"}
	otel := []string{"__name__=http_server_request_duration_seconds_count", "http_response_status_code=200"}
	for name, c := range map[string]struct {
		old, new    [][]string
		dialect     string
		rel, stable int64
		note        string
	}{
		"both export both":                     {[][]string{prom, otel}, [][]string{prom, otel}, "opentelemetry", 21, 24, "The pods export prometheus too; opentelemetry is read"},
		"the release lost the preferred one":   {[][]string{prom, otel}, [][]string{prom}, "prometheus", 21, 24, "The pods export opentelemetry too; prometheus is read"},
		"the release gained a preferred one":   {[][]string{prom}, [][]string{prom, otel}, "prometheus", 21, 24, "prometheus is read"},
		"the arms have none in common":         {[][]string{prom}, [][]string{otel}, "opentelemetry", 21, 24, "The arms export different dialects: opentelemetry is read of the release, prometheus of the stable pods."},
		"only the stable pods export anything": {[][]string{prom}, nil, "prometheus", 0, 24, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			for _, p := range c.old {
				s.scrapes(oldPod, 1, p...)
			}
			for _, p := range c.new {
				s.scrapes(newPod, 1, p...)
			}
			r := newTestReader(t, s)
			var res Result
			var rel, stable release.Count
			// Tick by tick: the release's pods show themselves only in the second.
			for at := epoch.Add(testTick); !at.After(epoch.Add(2 * time.Minute)); at = at.Add(testTick) {
				res = r.Read(context.Background(), at, []Subject{worldSubject()})["r1"]
				a, b := totals(res)
				rel, stable = rel.Add(a), stable.Add(b)
			}
			if res.Dialect != c.dialect || rel.Total != c.rel || stable.Total != c.stable {
				t.Errorf("%s: %d and %d requests, want %s: %d and %d", res.Dialect, rel.Total, stable.Total, c.dialect, c.rel, c.stable)
			}
			if got := strings.Join(res.Notes, "\n"); (c.note == "") != (got == "") || !strings.Contains(got, c.note) {
				t.Errorf("notes %q, want %q", got, c.note)
			}
		})
	}
}

func TestAWorkloadThatCannotBeMeasuredIsToldWhy(t *testing.T) {
	for name, c := range map[string]struct {
		pairs []string
		note  string
	}{
		"nothing is exported":         {nil, "The pods export none of the request metrics that are known (http_server_request_duration_seconds_count, http_server_duration_milliseconds_count, http_requests_total, http_request_duration_seconds_count)"},
		"no label tells the failures": {[]string{"__name__=http_requests_total", "method=GET"}, "The pods export http_requests_total without any of the labels code, status, status_code"},
		"no label names the pod":      {[]string{"__name__=http_requests_total", "code=200", "exported_pod="}, "none of the request metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			if c.pairs != nil {
				s.scrapes(oldPod, 1, c.pairs...)
			}
			res := readAll(t, s, worldSubject())
			if res.Err != nil || res.Dialect != "" || len(res.Readings) != 8 {
				t.Fatalf("%+v", res)
			}
			for _, rd := range res.Readings {
				if rd.Errors != nil || rd.Latency != nil || rd.Custom != nil || rd.Fresh {
					t.Errorf("%+v: something was counted", rd)
				}
			}
			if len(res.Notes) != 1 || !strings.Contains(res.Notes[0], c.note) {
				t.Errorf("notes %q, want %q", res.Notes, c.note)
			}
		})
	}
}

func TestArmsWhosePodsCannotBeToldApartAreNotMeasured(t *testing.T) {
	s := newStore()
	long := strings.Repeat("a", 60)
	s.scrapes(oldPod, 1, "__name__=http_requests_total", "code=200", "namespace=shop", "pod="+long[:58]+"x2x4z")
	sub := worldSubject()
	sub.Release, sub.Stable = long+"-6d5f7c9b8", long+"-5c7bffbd"
	res := readAll(t, s, sub)
	if res.Err != nil || res.Readings[0].Errors != nil || len(res.Notes) != 1 || !strings.Contains(res.Notes[0], "cannot be told apart") {
		t.Errorf("%+v", res)
	}
}

// bucket puts the cumulative bucket series of one route of a pod.
func (s *store) bucket(pod, metric, route string, steps map[string]float64) {
	for le, step := range steps {
		s.scrapes(pod, step, "__name__="+metric, "le="+le, "route="+route, "code=200")
	}
}

func latencyOf(t *testing.T, res Result) (rel, stable Histogram) {
	t.Helper()
	sum := func(into *Histogram, h Histogram) {
		if into.Counts == nil {
			into.Bounds, into.Counts, into.Pods = h.Bounds, make([]float64, len(h.Counts)), map[string][]float64{}
		}
		if diff := cmp.Diff(into.Bounds, h.Bounds); diff != "" {
			t.Fatalf("bounds change between ticks: %s", diff)
		}
		all := make([]float64, len(h.Counts))
		for _, counts := range h.Pods {
			for i, n := range counts {
				all[i] += n
			}
		}
		if diff := cmp.Diff(h.Counts, all); diff != "" {
			t.Fatalf("the pods do not add up to the arm: %s", diff)
		}
		for i, n := range h.Counts {
			into.Counts[i] += n
		}
	}
	for _, rd := range res.Readings {
		if rd.Latency == nil {
			t.Fatal("no histogram")
		}
		sum(&rel, rd.Latency.Release)
		sum(&stable, rd.Latency.Stable)
	}
	return rel, stable
}

func TestLatencyIsRequestsPerBucketSummedOverRoutes(t *testing.T) {
	s := newStore()
	for _, pod := range []string{oldPod, newPod} {
		s.scrapes(pod, 6, "__name__=http_requests_total", "code=200", "route=/")
		s.bucket(pod, "http_request_duration_seconds_bucket", "/", map[string]float64{"0.1": 1, "0.5": 3, "+Inf": 4})
		s.bucket(pod, "http_request_duration_seconds_bucket", "/cart", map[string]float64{"1e-1": 0, "5e-1": 1, "+Inf": 2})
		s.bucket(pod, "http_request_duration_seconds_bucket", "/healthz", map[string]float64{"0.1": 50, "0.5": 50, "+Inf": 50})
	}
	rel, stable := latencyOf(t, readAll(t, s, worldSubject()))
	want := func(n float64) Histogram {
		return Histogram{Bounds: []float64{0.1, 0.5, math.Inf(1)}, Counts: []float64{1 * n, 3 * n, 2 * n}, Pods: map[string][]float64{}}
	}
	if diff := cmp.Diff([]Histogram{want(21), want(24)}, []Histogram{rel, stable}); diff != "" {
		t.Error(diff)
	}
}

func TestMillisecondsBecomeSeconds(t *testing.T) {
	s := newStore()
	s.scrapes(oldPod, 2, "__name__=http_server_duration_milliseconds_count", "http_status_code=200")
	s.bucket(oldPod, "http_server_duration_milliseconds_bucket", "/", map[string]float64{"5": 1, "2500": 2, "+Inf": 2})
	_, stable := latencyOf(t, readAll(t, s, worldSubject()))
	if diff := cmp.Diff([]float64{0.005, 2.5, math.Inf(1)}, stable.Bounds); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]float64{24, 24, 0}, stable.Counts); diff != "" {
		t.Error(diff)
	}
}

func TestWhereBucketsDifferBetweenTheArmsTheCommonOnesAreCompared(t *testing.T) {
	s := newStore()
	for _, pod := range []string{oldPod, newPod} {
		s.scrapes(pod, 6, "__name__=http_requests_total", "code=200")
	}
	m := "http_request_duration_seconds_bucket"
	s.bucket(oldPod, m, "/", map[string]float64{"0.1": 1, "0.25": 2, "0.5": 3, "+Inf": 4})
	s.bucket(newPod, m, "/", map[string]float64{"0.1": 1, "0.5": 3, "2": 3, "+Inf": 4})
	res := readAll(t, s, worldSubject())
	rel, stable := latencyOf(t, res)
	for _, h := range []Histogram{rel, stable} {
		if diff := cmp.Diff([]float64{0.1, 0.5, math.Inf(1)}, h.Bounds); diff != "" {
			t.Error(diff)
		}
	}
	if diff := cmp.Diff([]float64{24, 48, 24}, stable.Counts); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(strings.Join(res.Notes, "\n"), "the 3 bounds they have in common are compared") {
		t.Errorf("notes %q", res.Notes)
	}
}

func TestAHistogramWithoutInfIsNotMeasuredAndThatIsSaid(t *testing.T) {
	s := newStore()
	s.scrapes(oldPod, 6, "__name__=http_requests_total", "code=200")
	s.bucket(oldPod, "http_request_duration_seconds_bucket", "/", map[string]float64{"0.1": 1, "0.5": 3, "nonsense": 3, "NaN": 1})
	res := readAll(t, s, worldSubject())
	if res.Readings[3].Latency != nil || res.Readings[3].Errors == nil {
		t.Errorf("%+v", res.Readings[3])
	}
	if !strings.Contains(strings.Join(res.Notes, "\n"), "latency is not measured") {
		t.Errorf("notes %q", res.Notes)
	}
}

func customSubject() Subject {
	s := worldSubject()
	s.Custom = []release.CustomSignal{{Name: "orders", Bad: `orders_total{state="failed"}`, Total: "orders_total"}}
	return s
}

func TestAUsersOwnSignalIsTheRatioOfTwoCountersOfThePods(t *testing.T) {
	s := newStore()
	for _, pod := range []string{oldPod, newPod} {
		s.scrapes(pod, 3, "__name__=orders_total", "state=done")
		s.scrapes(pod, 1, "__name__=orders_total", "state=failed")
	}
	s.scrapes("other-5c7bffbd-x2x4z", 100, "__name__=orders_total", "state=failed")
	res := readAll(t, s, customSubject())
	var rel, stable release.Count
	for _, rd := range res.Readings {
		pair, ok := rd.Custom["orders"]
		if !ok {
			t.Fatalf("no orders in the tick that ends %s", rd.To)
		}
		rel, stable = rel.Add(pair.Release.Count), stable.Add(pair.Stable.Count)
	}
	if rel != (release.Count{Total: 84, Bad: 21}) || stable != (release.Count{Total: 96, Bad: 24}) {
		t.Errorf("counted %+v and %+v", rel, stable)
	}
	if res.Readings[0].Errors != nil || res.Dialect != "" {
		t.Error("requests were counted of a workload that exports none")
	}
	want := []string{`orders_total{namespace="shop",pod=~"(web-new|web-stable)-[a-z0-9]{5}",state="failed"}`, `orders_total{namespace="shop",pod=~"(web-new|web-stable)-[a-z0-9]{5}"}`}
	var got []string
	for _, q := range res.Queries {
		got = append(got, q.Expr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFractionsOfAUsersCounterAreNotLost(t *testing.T) {
	s := newStore()
	s.scrapes(newPod, 0.3, "__name__=orders_total", "state=done")
	s.scrapes(newPod, 0.1, "__name__=orders_total", "state=failed")
	res := readAll(t, s, customSubject())
	var rel release.Count
	for _, rd := range res.Readings {
		rel = rel.Add(rd.Custom["orders"].Release.Count)
	}
	if rel != (release.Count{Total: 8, Bad: 2}) { // 21 × 0.4 = 8.4, 21 × 0.1 = 2.1
		t.Errorf("counted %+v", rel)
	}
}

func TestAUsersSignalThatCannotBeReadLeavesTheRestAlone(t *testing.T) {
	for name, code := range map[string]release.Code{"refused": release.CodeBadQuery, "too expensive": release.CodeTooExpensive} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			for _, pod := range []string{oldPod, newPod} {
				s.scrapes(pod, 2, "__name__=http_requests_total", "code=200")
				s.scrapes(pod, 1, "__name__=orders_total", "state=failed")
			}
			r := newTestReader(t, s)
			ctx := context.Background()
			var rel, custom release.Count
			for i := range 8 {
				s.fail = func(q string, _ time.Duration) error {
					if strings.Contains(q, `state="failed"`) && i < 4 && !strings.Contains(q, "exported") {
						return release.E(code, "no", nil)
					}
					return nil
				}
				// Discovery asks for it too; it must not be in the way.
				res := r.Read(ctx, epoch.Add(time.Duration(i+1)*testTick), []Subject{customSubject()})["r1"]
				if i >= 1 && res.Err != nil {
					t.Fatalf("tick %d: %v", i, res.Err)
				}
				if said := strings.Contains(strings.Join(res.Notes, "\n"), "The signal orders could not be read: no."); said != (i >= 1 && i < 4) && i >= 1 {
					t.Errorf("tick %d: notes %q", i, res.Notes)
				}
				a, _ := totals(res)
				rel = rel.Add(a)
				for _, rd := range res.Readings {
					custom = custom.Add(rd.Custom["orders"].Release.Count)
				}
			}
			if rel.Total != 42 || custom != (release.Count{Total: 21, Bad: 21}) {
				t.Errorf("counted %+v requests and %+v orders", rel, custom)
			}
		})
	}
}

func TestAUsersSignalThatDoesNotParseIsSaid(t *testing.T) {
	sub := worldSubject()
	sub.Custom = []release.CustomSignal{{Name: "rate", Bad: "rate(x[5m])", Total: "x"}}
	res := readAll(t, newStore(), sub)
	if res.Err != nil || !strings.Contains(strings.Join(res.Notes, "\n"), "The signal rate is not measured: character 1: a plain selector is wanted") {
		t.Errorf("%v %q", res.Err, res.Notes)
	}
}

func TestASignalThatIsAddedLaterCountsFromThen(t *testing.T) {
	s := newStore()
	for _, pod := range []string{oldPod, newPod} {
		s.scrapes(pod, 2, "__name__=http_requests_total", "code=200")
		s.scrapes(pod, 1, "__name__=orders_total", "state=failed")
	}
	r := newTestReader(t, s)
	ctx := context.Background()
	r.Read(ctx, epoch.Add(time.Minute), []Subject{worldSubject()})
	res := r.Read(ctx, epoch.Add(2*time.Minute), []Subject{customSubject()})["r1"]
	got := map[string]release.Count{}
	for _, rd := range res.Readings {
		pair := rd.Custom["orders"]
		maps.Copy(got, map[string]release.Count{"release": got["release"].Add(pair.Release.Count), "stable": got["stable"].Add(pair.Stable.Count)})
	}
	if want := (release.Count{Total: 12, Bad: 12}); got["release"] != want || got["stable"] != want {
		t.Errorf("counted %v in the second minute, want 12 in each arm", got)
	}
	if rel, stable := totals(res); rel.Total != 24 || stable.Total != 24 {
		t.Errorf("the requests are disturbed: %+v %+v", rel, stable)
	}
}

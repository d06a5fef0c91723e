package signal

import (
	"context"
	"strings"
	"testing"
	"time"

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
		"nothing is exported":         {nil, "The pods export none of the request metrics that are known with labels that name pod and namespace"},
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

// Probes are not counted, but they show that a pod is scraped: what appears beside
// them is new, and counts from zero.
func TestTheFirstRequestsOfAPodThatOnlyHadProbesAreCounted(t *testing.T) {
	s := newStore()
	s.scrapes(oldPod, 3, "__name__=http_requests_total", "code=200", "handler=/healthz")
	for i := range 10 {
		s.put(epoch.Add(time.Minute+time.Duration(i)*5*time.Second), float64(7+i), "__name__=http_requests_total", "code=200", "handler=/", "pod="+oldPod, "namespace=shop", "instance="+oldPod+":80", "job=pods")
	}
	if _, stable := totals(readAll(t, s, worldSubject())); stable.Total != 16 {
		t.Errorf("counted %+v, want 16", stable)
	}
}

// A pod that has served nothing may show nothing of its dialect; that it is
// scraped tells all the same that its first requests are new.
func TestTheFirstRequestsOfAPodThatShowedNothingAreCounted(t *testing.T) {
	for up, want := range map[float64]int64{1: 16, 0: 8} {
		s := newStore()
		for i := range 30 {
			at := epoch.Add(time.Duration(i-15) * 5 * time.Second)
			s.put(at, up, "__name__=up", "pod="+oldPod, "namespace=shop", "instance="+oldPod+":80", "job=pods")
			if i > 20 {
				s.put(at, float64(7+i-21)+1, "__name__=http_requests_total", "code=200", "handler=/", "pod="+oldPod, "namespace=shop", "instance="+oldPod+":80", "job=pods")
			}
		}
		if _, stable := totals(readAll(t, s, worldSubject())); stable.Total != want {
			t.Errorf("scrapes that say up is %v: counted %+v, want %d", up, stable, want)
		}
	}
}

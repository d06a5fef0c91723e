package prometheus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server and a source that asks it.
func serve(t *testing.T, h http.HandlerFunc, change func(*Config)) *Source {
	t.Helper()
	srv := httptest.NewServer(h)
	cfg := Config{URL: srv.URL, Timeout: 2 * time.Second}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); srv.Close() })
	return s
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func counted(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue()
}

var sameLabels = cmp.Comparer(func(a, b labels.Labels) bool { return labels.Equal(a, b) })

const empty = `{"status":"success","data":{"resultType":"matrix","result":[]}}`

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func TestRawAsksForSamplesAsScrapedByPostAndReturnsThemWithTheirLabels(t *testing.T) {
	ms := noon.UnixMilli()
	var form string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/prom/api/v1/query" || r.URL.RawQuery != "" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		_ = r.ParseForm()
		form = r.Form.Get("query") + " @ " + r.Form.Get("time")
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[
			{"metric":{"__name__":"http_requests_total","pod":"web-1"},"values":[[%[1]d.5,"1"],[%[2]d.25,"NaN"],[%[3]d,"+Inf"]]},
			{"metric":{"pod":"outside"},"values":[[%[4]d,"3"],[%[5]d,"4"]]}]},"infos":["an info does not matter"]}`,
			ms/1000-59, ms/1000-30, ms/1000, ms/1000-60, ms/1000+1)
	}, func(c *Config) { c.URL += "/prom/" })
	got, err := s.Raw(context.Background(), `http_requests_total{pod="web-1"}`, 90*time.Second/3*2, noon)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`http_requests_total{pod="web-1"}[1m] @ %d.000`, noon.Unix()); form != want {
		t.Errorf("asked %q, want %q", form, want)
	}
	// Samples at the open end of the window and after its close are not of it.
	want := []samples.Series{{
		Labels: labels.FromStrings("__name__", "http_requests_total", "pod", "web-1"),
		Floats: []samples.Float{{Millis: ms - 58_500, Value: 1}, {Millis: ms - 29_750, Value: math.NaN()}, {Millis: ms, Value: math.Inf(1)}},
	}}
	if diff := cmp.Diff(want, got, sameLabels, cmp.Comparer(func(a, b float64) bool { return a == b || (a != a && b != b) })); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	if n := counted(t, s.metrics.samples); n != 3 {
		t.Errorf("%v samples counted, want 3", n)
	}
	if n := counted(t, s.metrics.bytes); n < 200 || n > 400 {
		t.Errorf("%v bytes counted", n)
	}
}

func TestSeriesListsLabelSets(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if diff := cmp.Diff([]string{"a", `b{c="d"}`}, r.Form["match[]"]); diff != "" {
			t.Errorf("selectors: %s", diff)
		}
		if r.Form.Get("start") != fmt.Sprintf("%d.000", noon.Unix()-60) || r.Form.Get("end") != fmt.Sprintf("%d.000", noon.Unix()) {
			t.Errorf("range %s to %s", r.Form.Get("start"), r.Form.Get("end"))
		}
		fmt.Fprint(w, `{"status":"success","data":[{"__name__":"a","x":"1"},{"__name__":"b"}]}`)
	}, nil)
	got, err := s.Series(context.Background(), []string{"a", `b{c="d"}`}, noon.Add(-time.Minute), noon)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]labels.Labels{labels.FromStrings("__name__", "a", "x", "1"), labels.FromStrings("__name__", "b")}, got, sameLabels); diff != "" {
		t.Error(diff)
	}
}

func TestEveryFaultHasItsCode(t *testing.T) {
	apiError := func(kind, msg string) string {
		return fmt.Sprintf(`{"status":"error","errorType":%q,"error":%q}`, kind, msg)
	}
	for name, c := range map[string]struct {
		status int
		body   string
		want   release.Code
		says   string
	}{
		"a bad query":                           {400, apiError("bad_data", "parse error: unexpected }"), release.CodeBadQuery, "unexpected }"},
		"a bad query in VictoriaMetrics":        {422, apiError("422", "cannot parse query"), release.CodeBadQuery, "cannot parse"},
		"too many samples":                      {422, apiError("execution", "query processing would load too many samples into memory in query execution"), release.CodeTooExpensive, "too many samples"},
		"a limit of Mimir":                      {422, apiError("execution", "the query exceeded the maximum number of chunks (err-mimir-max-chunks-per-query)"), release.CodeTooExpensive, "maximum"},
		"a limit of VictoriaMetrics":            {422, apiError("422", "cannot select more than -search.maxSamplesPerQuery=1 samples"), release.CodeTooExpensive, "maxSamplesPerQuery"},
		"another failure of the execution":      {422, apiError("execution", "expanding series: block is gone"), release.CodeUnavailable, "block is gone"},
		"a form that is too long":               {413, "no", release.CodeTooExpensive, "413"},
		"credentials that are missing":          {401, "no", release.CodeUnavailable, "refuses the credentials"},
		"credentials that may not":              {403, "no", release.CodeUnavailable, "refuses the credentials"},
		"another path":                          {404, "404 page not found", release.CodeUnavailable, "no Prometheus API"},
		"an internal error":                     {500, apiError("internal", "boom"), release.CodeUnavailable, "500"},
		"a query that timed out over there":     {503, apiError("timeout", "query timed out in expression evaluation"), release.CodeUnavailable, "503"},
		"a bad gateway":                         {502, "<html>bad gateway</html>", release.CodeUnavailable, "502"},
		"a log-in page":                         {200, "<!doctype html><title>Log in</title>", release.CodeUnavailable, "not the Prometheus API's"},
		"JSON that was cut short":               {200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{`, release.CodeUnavailable, "not the Prometheus API's"},
		"JSON of something else":                {200, `[1,2,3]`, release.CodeUnavailable, "not the Prometheus API's"},
		"an empty answer":                       {200, ``, release.CodeUnavailable, "not the Prometheus API's"},
		"an error with status 200":              {200, apiError("execution", "storage is gone"), release.CodeUnavailable, "storage is gone"},
		"a result of another type":              {200, `{"status":"success","data":{"resultType":"vector","result":[]}}`, release.CodeUnavailable, "vector"},
		"no result at all":                      {200, `{"status":"success"}`, release.CodeUnavailable, "nothing"},
		"a warning":                             {200, `{"status":"success","data":{"resultType":"matrix","result":[]},"warnings":["a store did not answer"]}`, release.CodePartial, "a store did not answer"},
		"a warning beside an error of decoding": {200, `{"status":"success","data":3,"warnings":["w"]}`, release.CodeUnavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, answer(c.status, c.body), nil)
			series, err := s.Raw(context.Background(), "x", time.Minute, noon)
			if series != nil {
				t.Errorf("an error comes with series: %v", series)
			}
			if got := release.ErrorCode(err); got != c.want || !strings.Contains(err.Error(), c.says) {
				t.Errorf("code %q, %v; want %q and the words %q", got, err, c.want, c.says)
			}
			if strings.Contains(err.Error(), "<html") || strings.Contains(err.Error(), "<title") {
				t.Errorf("the error holds HTML: %v", err)
			}
			if n := counted(t, s.metrics.queries.WithLabelValues(string(c.want))); n != 1 {
				t.Errorf("counted %v queries with code %s, want 1", n, c.want)
			}
			if _, err := s.Series(context.Background(), []string{"x"}, noon, noon); err == nil && !strings.Contains(c.body, "resultType") && c.body != `{"status":"success"}` {
				t.Error("Series takes it for an answer")
			}
		})
	}
}

func TestAnEmptyAnswerIsNoFault(t *testing.T) {
	s := serve(t, answer(200, empty), nil)
	series, err := s.Raw(context.Background(), "x", time.Minute, noon)
	if err != nil || len(series) != 0 {
		t.Errorf("%v, %v", series, err)
	}
}

func TestASourceThatIsNotThereIsUnavailable(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	s, err := New(Config{URL: srv.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Raw(context.Background(), "secret_in_query", time.Minute, noon)
	if release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
	if strings.Contains(err.Error(), "/api/v1") {
		t.Errorf("the error holds the URL: %v", err)
	}
}

func TestABodyThatEndsEarlyIsUnavailable(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, empty)
	}, nil)
	if _, err := s.Raw(context.Background(), "x", time.Minute, noon); release.ErrorCode(err) != release.CodeUnavailable {
		t.Errorf("%v", err)
	}
}

func TestASlowSourceIsUnavailableAfterTheTimeout(t *testing.T) {
	release_ := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release_:
		case <-r.Context().Done():
		}
	}, func(c *Config) { c.Timeout = 50 * time.Millisecond })
	defer close(release_)
	_, err := s.Raw(context.Background(), "x", time.Minute, noon)
	if release.ErrorCode(err) != release.CodeUnavailable || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("%v", err)
	}
}

func TestACallerWhoGivesUpGetsUnavailable(t *testing.T) {
	s := serve(t, answer(200, empty), nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Raw(ctx, "x", time.Minute, noon); release.ErrorCode(err) != release.CodeUnavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAfter429TheSourceIsNotAskedBeforeItsTime(t *testing.T) {
	var asked atomic.Int32
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(429)
	}, nil)
	for range 3 {
		_, err := s.Raw(context.Background(), "x", time.Minute, noon)
		if release.ErrorCode(err) != release.CodeRateLimited {
			t.Fatalf("%v", err)
		}
		if after := release.RetryAfter(err); after > 2*time.Minute || after < 110*time.Second {
			t.Errorf("asks to come back after %s", after)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	s.mu.Lock()
	s.quietUntil = time.Now().Add(-time.Second)
	s.mu.Unlock()
	_, _ = s.Raw(context.Background(), "x", time.Minute, noon)
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want once more when the time is over", n)
	}
}

func TestRetryAfterIsReadAsSecondsOrDateAndBounded(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"30":     30 * time.Second,
		" 0 ":    0,
		"999999": maxRetryAfter,
		"":       defaultRetryAfter,
		"soon":   defaultRetryAfter,
		"-5":     defaultRetryAfter,
		noon.Add(time.Minute).Format(http.TimeFormat): time.Minute,
		noon.Add(-time.Hour).Format(http.TimeFormat):  0,
	} {
		if got := retryAfter(value, noon); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func TestAnAnswerThatIsTooLongIsTooExpensive(t *testing.T) {
	s := serve(t, answer(200, empty+strings.Repeat(" ", 1000)), nil)
	s.max = 500
	if _, err := s.Raw(context.Background(), "x", time.Minute, noon); release.ErrorCode(err) != release.CodeTooExpensive {
		t.Errorf("%v", err)
	}
}

func TestNoMoreQueriesRunAtOnceThanAllowed(t *testing.T) {
	var now, most atomic.Int32
	entered, leave := make(chan struct{}), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		entered <- struct{}{}
		<-leave
		now.Add(-1)
		fmt.Fprint(w, empty)
	}, func(c *Config) { c.Concurrency = 2 })
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if _, err := s.Raw(context.Background(), "x", time.Minute, noon); err != nil {
				t.Error(err)
			}
		})
	}
	<-entered
	<-entered // two are under way; a third would show in most
	for range 10 {
		leave <- struct{}{}
		<-entered
	}
	leave <- struct{}{}
	leave <- struct{}{}
	wg.Wait()
	if n := most.Load(); n != 2 {
		t.Errorf("%d queries at once, want 2", n)
	}
}

func FuzzAnAnswerOfAnyBytesIsAnAnswerOrATypedFault(f *testing.F) {
	f.Add(200, empty)
	f.Add(200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"1"]],"histograms":[[1,{"count":"1"}]]}]}}`)
	f.Add(422, `{"status":"error"}`)
	f.Add(400, `{"status":"success"}`)
	var status atomic.Int64
	var body atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(status.Load()))
		fmt.Fprint(w, body.Load().(string))
	}))
	f.Cleanup(srv.Close)
	s, err := New(Config{URL: srv.URL}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	known := map[release.Code]bool{release.CodeUnavailable: true, release.CodeRateLimited: true, release.CodeTooExpensive: true, release.CodePartial: true, release.CodeBadQuery: true}
	f.Fuzz(func(t *testing.T, code int, text string) {
		if code < 200 || code > 599 || code == 204 || code == 304 {
			code = 200
		}
		status.Store(int64(code))
		body.Store(text)
		s.mu.Lock()
		s.quietUntil = time.Time{}
		s.mu.Unlock()
		if _, err := s.Raw(context.Background(), "x", time.Minute, noon); err != nil && !known[release.ErrorCode(err)] {
			t.Errorf("%T %v", err, err)
		}
	})
}

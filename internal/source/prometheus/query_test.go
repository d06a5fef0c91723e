package prometheus

import (
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

func TestRangeAsksForStepsAndReturnsWhatLiesInTheRange(t *testing.T) {
	var form url.Values
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/api/v1/query_range" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		_ = r.ParseForm()
		form = r.Form
		at := noon.Unix()
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"pod":"p"},"values":[[%d,"0"],[%d.5,"1"],[%d,"2"],[%d,"3"]]}]}}`, at-1, at, at+30, at+31)
	}, func(c *Config) { c.Timeout = 1500 * time.Millisecond })
	got, err := s.Range(context.Background(), "sum(x)", noon.Add(500*time.Millisecond), noon.Add(30*time.Second), 7500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	at := noon.UnixMilli()
	want := []samples.Series{{Labels: labels.FromStrings("pod", "p"), Floats: []samples.Float{{Millis: at + 500, Value: 1}, {Millis: at + 30_000, Value: 2}}}}
	if diff := cmp.Diff(want, got, sameLabels); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	asked := url.Values{
		"query": {"sum(x)"}, "start": {fmt.Sprintf("%d.500", noon.Unix())}, "end": {fmt.Sprintf("%d.000", noon.Unix()+30)}, "step": {"7.500"}, "timeout": {"1.5"},
	}
	if diff := cmp.Diff(asked, form); diff != "" {
		t.Errorf("want -, asked +\n%s", diff)
	}
}

func TestARangeThatIsNoneIsABadQuery(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") }, nil)
	for name, c := range map[string]struct {
		to   time.Time
		step time.Duration
	}{"no step": {noon, 0}, "a step too fine": {noon, time.Microsecond}, "an end before the beginning": {noon.Add(-time.Second), time.Second}} {
		if _, err := s.Range(context.Background(), "x", noon, c.to, c.step); release.ErrorCode(err) != release.CodeBadQuery {
			t.Errorf("%s: %v", name, err)
		}
	}
	s = serve(t, answer(200, `{"status":"success","data":{"resultType":"string","result":[1,"a"]}}`), nil)
	if _, err := s.Range(context.Background(), `"a"`, noon, noon, time.Second); release.ErrorCode(err) != release.CodeBadQuery || !strings.Contains(err.Error(), "string") {
		t.Errorf("an answer of another type: %v", err)
	}
}

func TestEveryKindOfStoreIsAskedForAllItHas(t *testing.T) {
	for kind, want := range map[string]url.Values{
		"":                  {},
		KindPrometheus:      {},
		KindMimir:           {},
		KindThanos:          {"dedup": {"true"}, "partial_response": {"false"}, "max_source_resolution": {"0s"}},
		KindVictoriaMetrics: {"nocache": {"1"}, "deny_partial_response": {"1"}},
	} {
		var got url.Values
		var tenant string
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			got, tenant = r.Form, r.Header.Get("X-Scope-OrgID")
			if strings.HasSuffix(r.URL.Path, "/series") {
				fmt.Fprint(w, `{"status":"success","data":[]}`)
				return
			}
			fmt.Fprint(w, empty)
		}, func(c *Config) {
			if c.Kind = kind; kind == KindMimir {
				c.Tenant = "shop|pay"
			}
		})
		for name, ask := range map[string]func() error{
			"raw":    func() error { _, err := s.Raw(context.Background(), "x", time.Minute, noon); return err },
			"range":  func() error { _, err := s.Range(context.Background(), "x", noon, noon, time.Second); return err },
			"series": func() error { _, err := s.Series(context.Background(), []string{"x"}, noon, noon); return err },
		} {
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"query", "time", "start", "end", "step", "match[]", "timeout"} {
				got.Del(key)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s of %q: want -, sent +\n%s", name, kind, diff)
			}
			if (tenant == "shop|pay") != (kind == KindMimir) || kind != KindMimir && tenant != "" {
				t.Errorf("%s of %q: tenant %q", name, kind, tenant)
			}
		}
	}
}

func TestAQueryLongerThanTheLimitIsNotSent(t *testing.T) {
	asked := 0
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { asked++; fmt.Fprint(w, empty) }, func(c *Config) { c.Kind = KindVictoriaMetrics })
	if l := s.Limits(); l.QueryBytes != 16<<10 || l.Samples != 10_000_000 {
		t.Errorf("limits %+v", l)
	}
	const window = len("[1m]")
	for n, want := range map[int]release.Code{16<<10 - window: "", 16<<10 - window + 1: release.CodeTooExpensive} {
		if _, err := s.Raw(context.Background(), strings.Repeat("x", n), time.Minute, noon); release.ErrorCode(err) != want {
			t.Errorf("%d bytes: %v", n+window, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
	if n := counted(t, s.metrics.queries.WithLabelValues("too_expensive")); n != 1 {
		t.Errorf("%v counted as too expensive", n)
	}
	s = serve(t, answer(200, empty), func(c *Config) { c.MaxQueryBytes, c.MaxSamples = 2000, 50_000 })
	if l := s.Limits(); l.QueryBytes != 2000 || l.Samples != 50_000 {
		t.Errorf("stated limits %+v", l)
	}
}

func TestAnAnswerOfMoreSamplesThanTheLimitIsTooExpensive(t *testing.T) {
	body := `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[2,"1"],[3,"1"]]}]}}`
	for most, want := range map[int]release.Code{3: "", 2: release.CodeTooExpensive} {
		s := serve(t, answer(200, body), func(c *Config) { c.MaxSamples = most })
		if series, err := s.Raw(context.Background(), "x", time.Minute, noon); release.ErrorCode(err) != want || series != nil {
			t.Errorf("at most %d: %v, %v", most, series, err)
		}
	}
}

func TestAProxyThatAllowsOnlyGETIsAskedByGET(t *testing.T) {
	for _, status := range []int{403, 405, 501} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				w.WriteHeader(status)
				return
			}
			if q := r.URL.Query().Get("query"); q != "x[1m]" {
				t.Errorf("asked %q", q)
			}
			fmt.Fprint(w, empty)
		}, nil)
		if _, err := s.Raw(context.Background(), "x", time.Minute, noon); err != nil {
			t.Errorf("%d: %v", status, err)
		}
		if _, err := s.Raw(context.Background(), strings.Repeat("x", maxURLBytes), time.Minute, noon); release.ErrorCode(err) != release.CodeUnavailable {
			t.Errorf("%d, a query too long for a URL: %v", status, err)
		}
	}
}

func TestAnAnswerThatBreaksOffIsUnavailable(t *testing.T) {
	body := fmt.Sprintf(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[%d,"1"],`, noon.Unix())
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, body)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, nil)
	series, err := s.Raw(context.Background(), "x", time.Minute, noon)
	if release.ErrorCode(err) != release.CodeUnavailable || series != nil {
		t.Errorf("%v, %v", series, err)
	}
	// Without a length and without a sign that it broke, the JSON tells.
	s = serve(t, answer(200, body), nil)
	if series, err = s.Raw(context.Background(), "x", time.Minute, noon); release.ErrorCode(err) != release.CodeUnavailable || series != nil || !strings.Contains(err.Error(), "ends too early") {
		t.Errorf("%v, %v", series, err)
	}
}

func TestAPackedAnswerCountsWithTheBytesItHolds(t *testing.T) {
	body := empty + strings.Repeat(" ", 10_000)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Error("packed answers are not asked for")
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		fmt.Fprint(z, body)
		_ = z.Close()
	}, func(c *Config) { c.Compress = true })
	if _, err := s.Raw(context.Background(), "x", time.Minute, noon); err != nil {
		t.Fatal(err)
	}
	if n := counted(t, s.metrics.bytes); n != float64(len(body)) {
		t.Errorf("%v bytes, want %d", n, len(body))
	}
}

func TestAnswersAreNotPackedUnasked(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "" {
			t.Errorf("asked for %q", got)
		}
		fmt.Fprint(w, empty)
	}, nil)
	if _, err := s.Raw(context.Background(), "x", time.Minute, noon); err != nil {
		t.Fatal(err)
	}
}

func TestTimesAreWrittenExactly(t *testing.T) {
	for ms, want := range map[int64]string{0: "0.000", 1: "0.001", 1764000000999: "1764000000.999", 1764000000050: "1764000000.050", -1500: "-1.500"} {
		if got := seconds(time.UnixMilli(ms)); got != want {
			t.Errorf("%d: %s, want %s", ms, got, want)
		}
	}
}

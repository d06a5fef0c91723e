package prometheus

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestTypesAreWhatTheTargetsDeclareEachOnce(t *testing.T) {
	for name, c := range map[string]struct {
		metric string
		known  map[string]string // metric to its metadata
		want   []string
	}{
		"one type":                                {"up", map[string]string{"up": `[{"type":"gauge","help":"h","unit":""}]`}, []string{"gauge"}},
		"several targets":                         {"x", map[string]string{"x": `[{"type":"gauge"},{"type":"counter"},{"type":"gauge"}]`}, []string{"counter", "gauge"}},
		"targets that do not know":                {"x", map[string]string{"x": `[{"type":"unknown"},{"type":""},{"type":"untyped"}]`}, nil},
		"a metric nobody declares":                {"x", nil, nil},
		"a counter of OpenMetrics":                {"x_total", map[string]string{"x": `[{"type":"counter"}]`}, []string{"counter"}},
		"a counter declared by its whole name":    {"x_total", map[string]string{"x_total": `[{"type":"counter"}]`, "x": `[{"type":"gauge"}]`}, []string{"counter"}},
		"buckets, declared as histogram":          {"d_bucket", map[string]string{"d": `[{"type":"histogram"}]`}, []string{"histogram"}},
		"a count, declared as summary":            {"d_count", map[string]string{"d": `[{"type":"summary"}]`}, []string{"summary"}},
		"a suffix that is the whole name":         {"_total", nil, nil},
		"another metric than the one asked about": {"x", map[string]string{"y": `[{"type":"counter"}]`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				q := r.URL.Query()
				if r.Method != http.MethodGet || r.URL.Path != "/api/v1/metadata" || q.Get("limit") != "1" {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				body := "{}"
				if m, ok := c.known[q.Get("metric")]; ok {
					body = fmt.Sprintf("{%q:%s}", q.Get("metric"), m)
				}
				fmt.Fprintf(w, `{"status":"success","data":%s}`, body)
			}, nil)
			got, err := s.Types(context.Background(), c.metric)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestASourceWithoutMetadataKnowsNoTypes(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"404":                     answer(404, "404 page not found"),
		"405":                     answer(405, "no"),
		"501":                     answer(501, "no"),
		"VictoriaMetrics' refuse": answer(400, `{"status":"error","errorType":"400","error":"unsupported path requested: \"/api/v1/metadata\""}`),
	} {
		s := serve(t, h, nil)
		if types, err := s.Types(context.Background(), "x"); err != nil || types != nil {
			t.Errorf("%s: %v, %v", name, types, err)
		}
	}
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		want release.Code
	}{
		"another 400": {answer(400, `{"status":"error","errorType":"bad_data","error":"invalid limit"}`), release.CodeBadQuery},
		"500":         {answer(500, "no"), release.CodeUnavailable},
		"401":         {answer(401, "no"), release.CodeUnavailable},
		"429":         {answer(429, "no"), release.CodeRateLimited},
		"no JSON":     {answer(200, "<html>"), release.CodeUnavailable},
		"a warning":   {answer(200, `{"status":"success","data":{},"warnings":["w"]}`), release.CodePartial},
	} {
		s := serve(t, c.h, nil)
		if _, err := s.Types(context.Background(), "x"); release.ErrorCode(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestTypesAreKeptForSomeMinutesButNotFaults(t *testing.T) {
	asked, status := 0, 500
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(status)
		fmt.Fprint(w, `{"status":"success","data":{"x":[{"type":"counter"}]}}`)
	}, nil)
	ask := func(want int) {
		t.Helper()
		types, err := s.Types(context.Background(), "x")
		if (status == 200) != (err == nil && slices.Equal(types, []string{"counter"})) || asked != want {
			t.Errorf("%v, %v after asking %d times, want %d", types, err, asked, want)
		}
		if len(types) > 0 {
			types[0] = "changed by the caller"
		}
	}
	ask(1)
	status = 200
	ask(2)
	ask(2)
	s.types.known["x"] = declared{s.types.known["x"].types, time.Now().Add(-time.Second)}
	ask(3)
	for i := range 2 * maxTypes {
		s.types.put(fmt.Sprint(i), nil)
	}
	if n := len(s.types.known); n > maxTypes {
		t.Errorf("%d metrics are kept", n)
	}
}

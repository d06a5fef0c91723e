package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestMain(m *testing.M) {
	version = "v1.2.3"
	testscript.Main(m, map[string]func(){"watchtower": main})
}

// TestCommandLine runs the scripts in testdata against a server with releases
// in memory: $SERVER serves the sample releases, $EMPTY none, $STRANGER is a
// server of something else, $BROKEN cannot read its database, $DEAF has a metric
// store that does not answer. UPDATE_SCRIPTS=1
// writes what was printed into the scripts, to be read before it is committed.
func TestCommandLine(t *testing.T) {
	broken := apitest.Sample()
	broken.Err = http.ErrAbortHandler
	deaf := &apitest.Reports{Err: release.E(release.CodeUnavailable, "ask Prometheus: connection refused", nil)}
	servers := map[string]string{
		"SERVER":   serve(t, newAPI(apitest.Sample())),
		"EMPTY":    serve(t, newAPI(&apitest.Memory{})),
		"BROKEN":   serve(t, newAPI(broken)),
		"STRANGER": serve(t, http.NotFoundHandler()),
		"DEAF":     serve(t, newAPIOver(apitest.Sample(), deaf)),
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			for name, url := range servers {
				e.Setenv(name, url)
			}
			e.Setenv("GOVERSION", runtime.Version())
			e.Setenv("PLATFORM", runtime.GOOS+"/"+runtime.GOARCH)
			return nil
		},
	})
}

func newAPI(m *apitest.Memory) http.Handler { return newAPIOver(m, apitest.SampleReports()) }

func newAPIOver(m *apitest.Memory, signals api.Signals) http.Handler {
	return api.New(api.Deps{
		Releases: m, Signals: signals, Registry: prometheus.NewRegistry(), Pages: http.NotFoundHandler(),
		Version: version, Log: slog.New(slog.DiscardHandler),
	})
}

func serve(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/doctor"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

func TestMain(m *testing.M) {
	version = "v1.2.3"
	testscript.Main(postgres.Main{M: m}, map[string]func(){"watchtower": main})
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
		"AUDITED":  serve(t, newAuditAPI(t, 0)),
		"TAMPERED": serve(t, newAuditAPI(t, 2)),
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
			for name, token := range map[string]string{"vera": viewToken, "bob": adminToken} {
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), []byte(token+"\n"), 0o600); err != nil {
					return err
				}
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
		Releases: m, Signals: signals, Actions: &apitest.Desk{Entries: m}, Doctor: sickbed{}, Tokens: tokenFiles(), Registry: prometheus.NewRegistry(), Pages: http.NotFoundHandler(),
		Version: version, Log: slog.New(slog.DiscardHandler),
	})
}

const (
	viewToken  = "view-token-0123456789"
	adminToken = "admin-token-0123456789"
)

// tokenFiles are the tokens every server of the scripts knows; a script has them
// in files by the names of their owners.
var tokenFiles = sync.OnceValue(func() (out []api.Token) {
	dir, err := os.MkdirTemp("", "watchtower")
	if err != nil {
		panic(err)
	}
	for name, token := range map[string]string{"vera": viewToken, "bob": adminToken} {
		role := api.RoleView
		if token == adminToken {
			role = api.RoleAdmin
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			panic(err)
		}
		out = append(out, api.Token{Name: name, Role: role, File: file})
	}
	return out
})

func serve(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// auditTrail is an audit in memory, of which somebody has changed a row.
type auditTrail struct{ rows []release.AuditRow }

func newAuditAPI(t *testing.T, changed int) http.Handler {
	t.Helper()
	var a auditTrail
	at := time.Date(2026, 3, 2, 10, 15, 0, 0, time.UTC)
	for i, what := range []string{"release_seen", "verdict", "rollback"} {
		r := release.AuditRow{
			ID: int64(i + 1), Cluster: "production", At: at.Add(time.Duration(i) * time.Minute), Actor: "watchtower",
			Release: "4be1a0c93f27", What: what, Outcome: "done", Why: "the error ratio rose",
		}
		if i > 0 {
			r.Previous = a.rows[i-1].Hash
		}
		r.Hash = r.Digest()
		a.rows = append(a.rows, r)
	}
	if changed > 0 {
		a.rows[changed-1].Why = "it was nothing"
	}
	return api.New(api.Deps{
		Releases: apitest.Sample(), Audit: a, Registry: prometheus.NewRegistry(), Pages: http.NotFoundHandler(),
		Version: version, Log: slog.New(slog.DiscardHandler),
	})
}

func (a auditTrail) Audit(_ context.Context, _ release.ID, limit int) ([]release.AuditRow, error) {
	return a.rows[max(0, len(a.rows)-limit):], nil
}

func (a auditTrail) AuditAfter(_ context.Context, after int64, limit int) ([]release.AuditRow, error) {
	return a.rows[after:min(len(a.rows), int(after)+limit)], nil
}

func (a auditTrail) AuditMarks(context.Context) (head, base release.AuditMark, err error) {
	last := a.rows[len(a.rows)-1]
	return release.AuditMark{ID: last.ID, Hash: last.Hash}, base, nil
}

// sickbed is the doctor of the scripts' server.
type sickbed struct{}

func (sickbed) Report() (doctor.Report, bool) {
	return doctor.Report{
		At: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), Version: "v1", Status: doctor.Failed,
		Findings: []doctor.Finding{
			{Check: "store", Status: doctor.OK, Message: "it answers"},
			{Check: "prometheus", Status: doctor.Failed, Message: "no answer", Mend: "See prometheus.url."},
		},
	}, true
}

// Package api serves HTTP: the JSON API under /api/v1, the pages, the probes
// and the metrics.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/watchtower-verify/watchtower/internal/api/listing"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Releases is what the API answers from. Release returns an error with
// CodeNotFound for an unknown ID. All may be called at the same time and
// return early when ctx ends.
type Releases interface {
	listing.Lister
	Release(ctx context.Context, id release.ID) (store.Record, error)
	Actions(ctx context.Context, id release.ID) ([]release.Action, error)
	// Audit returns the last limit rows of a release, oldest first; all for 0.
	Audit(ctx context.Context, id release.ID, limit int) ([]release.AuditRow, error)
}

// Deps is what the API needs.
type Deps struct {
	Releases Releases
	// Signals may be nil: then the operation says so.
	Signals Signals
	// Audit may be nil: then the operation says so.
	Audit Audit
	// Actions may be nil: then its operations say so.
	Actions Actions
	// Tokens are who may write; without any, nobody may.
	Tokens []Token
	// Doctor may be nil: then there is no report.
	Doctor Doctor
	// Hooks take what receivers tell, by their paths; each checks who speaks.
	Hooks map[string]http.Handler
	// Ready are the checks of /readyz by name; each returns nil once its part
	// works. An error of type *release.Error is shown by its words, another one
	// is only logged.
	Ready map[string]func(context.Context) error
	// Registry is served at /metrics and takes the metrics of HTTP itself.
	Registry *prometheus.Registry
	// Pages answers everything the API does not.
	Pages http.Handler
	// Version of the program, for the API's description.
	Version string
	Log     *slog.Logger
}

// requestTimeout bounds how long an answer may take to be made, but for those
// that are asked of the metric store.
const requestTimeout = 15 * time.Second

// New returns the handler of everything Watchtower serves.
func New(d Deps) http.Handler {
	gin.SetMode(gin.ReleaseMode) // else gin prints every route to standard output
	engine := gin.New()
	// No forwarded header is believed: nothing here depends on who asks.
	_ = engine.SetTrustedProxies(nil) // nil cannot fail to parse
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false
	engine.Use(requestID, newTraffic(d.Registry).measure, recoverPanics(d.Log), secure, limit)

	describe(engine, d)
	get(engine, "/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	get(engine, "/readyz", readiness(d.Ready, d.Log))
	get(engine, "/metrics", gin.WrapH(promhttp.HandlerFor(d.Registry, promhttp.HandlerOpts{Registry: d.Registry})))

	pages := gin.WrapH(d.Pages)
	for _, path := range []string{"/", "/releases/:id", "/releases/:id/curve.png", "/assets/:name"} {
		get(engine, path, pages)
	}
	for path, hook := range d.Hooks {
		engine.POST(path, gin.WrapH(hook))
	}
	engine.NoRoute(func(c *gin.Context) {
		if isAPI(c) {
			problem(c, http.StatusNotFound, "there is no such operation; /api/v1/openapi.json lists them all")
			return
		}
		d.Pages.ServeHTTP(c.Writer, c.Request)
	})
	engine.NoMethod(func(c *gin.Context) {
		problem(c, http.StatusMethodNotAllowed, "this address does not answer "+c.Request.Method)
	})
	return engine
}

// get serves GET and HEAD, as net/http would.
func get(engine *gin.Engine, path string, h gin.HandlerFunc) {
	engine.GET(path, h)
	engine.HEAD(path, h)
}

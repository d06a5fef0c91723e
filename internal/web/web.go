// Package web serves the pages for people: the list of releases, one release
// with its curves, and what the doctor found. The pages are written by the server and need no
// script.
package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/a-h/templ"

	"github.com/watchtower-verify/watchtower/internal/api/listing"
	"github.com/watchtower-verify/watchtower/internal/doctor"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

//go:generate go tool -modfile=../../tools/templ/go.mod templ generate

// auditLimit is how many audit rows the page of a release shows.
const auditLimit = 500

// Releases is what the pages show. Release returns an error with CodeNotFound
// for an unknown ID.
type Releases interface {
	listing.Lister
	Release(ctx context.Context, id release.ID) (store.Record, error)
	Actions(ctx context.Context, id release.ID) ([]release.Action, error)
	// Audit returns the last limit rows of a release, oldest first.
	Audit(ctx context.Context, id release.ID, limit int) ([]release.AuditRow, error)
}

// Doctor has the last report of every part; false before there was one.
type Doctor interface {
	Report() (doctor.Report, bool)
}

// Deps is what the pages need.
type Deps struct {
	Releases Releases
	// Breakers are those that ever opened; the pages tell of the open ones. May be
	// nil.
	Breakers func(ctx context.Context) ([]release.Breaker, error)
	// Doctor has the last look at every part. May be nil.
	Doctor Doctor
	// PrometheusURL is where a reader's browser reaches Prometheus; "" leaves
	// out the links to it.
	PrometheusURL string
	// Curve draws what got worse of a release, as PNG; ok is false where there is
	// nothing to draw. nil: nothing is ever drawn.
	Curve func(rec store.Record) (png []byte, ok bool, err error)
	Log   *slog.Logger // slog.Default when nil
}

// New returns the handler of "/", "/releases/{id}", its "/curve.png", "/doctor" and
// "/assets/…"; anything else is a page that says so.
func New(d Deps) http.Handler {
	if d.Log == nil {
		d.Log = slog.Default()
	}
	h := &handler{d, make(chan struct{}, maxDrawn)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.list)
	mux.HandleFunc("GET /releases/{id}", h.release)
	mux.HandleFunc("GET "+doctorPath, h.doctor)
	mux.HandleFunc("GET /releases/{id}/curve.png", h.curve)
	mux.HandleFunc("GET /assets/{name}", h.asset)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.show(w, r, http.StatusNotFound, problemPage("There is no such page", "The address is not one of Watchtower’s."))
	})
	return mux
}

type handler struct {
	Deps
	drawing chan struct{} // holds one for each curve that is being drawn
}

func (h *handler) list(w http.ResponseWriter, r *http.Request) {
	f, complaint := parseFilter(r.URL.Query())
	records, next, err := listing.Page(r.Context(), h.Releases, f)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	p := listView{Filter: f, Rows: records, Complaint: complaint, Now: time.Now()}
	newest, older := f, f
	newest.Before = time.Time{}
	p.Newest = listPath(newest)
	if !next.IsZero() {
		older.Before = next
		p.Older = listPath(older)
	}
	h.show(w, r, http.StatusOK, listPage(p))
}

func (h *handler) release(w http.ResponseWriter, r *http.Request) {
	id := release.ID(r.PathValue("id"))
	rec, err := h.Releases.Release(r.Context(), id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	actions, err := h.Releases.Actions(r.Context(), id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	// Most are decided in the same moment; people read them as they happened.
	slices.SortStableFunc(actions, func(a, b release.Action) int { return a.UpdatedAt.Compare(b.UpdatedAt) })
	audit, err := h.Releases.Audit(r.Context(), id, auditLimit)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.show(w, r, http.StatusOK, releasePage(releaseView{
		Release: rec.Release, Verdict: rec.Verdict, Policy: rec.Policy, Live: rec.Live,
		Paused:  r.URL.Query().Get("refresh") == "off",
		Actions: actions, Audit: audit,
		Panels:        panels(rec.Release, rec.Verdict),
		PrometheusURL: h.PrometheusURL,
	}))
}

// fail shows an error page; what the reader cannot mend goes to the log only.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) {
		return // nobody is left to read it
	}
	if release.ErrorCode(err) == release.CodeNotFound {
		h.show(w, r, http.StatusNotFound, problemPage("There is no such release", "Watchtower does not know a release with this ID. It may belong to another cluster or another database."))
		return
	}
	h.Log.ErrorContext(r.Context(), "page not shown", "path", r.URL.Path, "error", err)
	h.show(w, r, http.StatusInternalServerError, problemPage("This page cannot be shown now", "Watchtower could not read its database. Its log says why; try again in a moment."))
}

// show renders into memory first, so that a fault while rendering never
// leaves half a page.
func (h *handler) show(w http.ResponseWriter, r *http.Request, status int, page templ.Component) {
	var b bytes.Buffer
	if err := page.Render(h.withAiling(h.withBreakers(r.Context())), &b); err != nil {
		h.Log.ErrorContext(r.Context(), "page not rendered", "path", r.URL.Path, "error", err)
		http.Error(w, "This page cannot be shown now.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader is gone: nothing to do
}

//go:embed assets
var assets embed.FS

// assetVersion changes whenever a file does, so that browsers may keep what
// they have for good.
var assetVersion = func() string {
	sum := sha256.New()
	entries, _ := fs.ReadDir(assets, "assets") // the folder is embedded
	for _, e := range entries {
		body, _ := assets.ReadFile("assets/" + e.Name())
		sum.Write(body)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
}()

func assetPath(name string) string { return "/assets/" + name + "?v=" + assetVersion }

func (h *handler) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	body, err := assets.ReadFile("assets/" + name)
	if err != nil {
		h.show(w, r, http.StatusNotFound, problemPage("There is no such page", "The address is not one of Watchtower’s."))
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(body)
}

package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	// maxDrawn is how many curves are drawn at once, and drawPatience how long others
	// wait: drawing is work, and anybody who reaches the pages may ask.
	maxDrawn     = 2
	drawPatience = 5 * time.Second
	// A curve is kept for as long by who fetched it; one that grows no more for
	// longer.
	curveFor      = 30 * time.Second
	finalCurveFor = time.Hour
)

// curve is what got worse of a release as a picture, for what shows pictures and no
// pages. It shows nothing that the release's page does not.
func (h *handler) curve(w http.ResponseWriter, r *http.Request) {
	rec, err := h.Releases.Release(r.Context(), release.ID(r.PathValue("id")))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if h.Curve == nil {
		h.noCurve(w, r)
		return
	}
	timer := time.NewTimer(drawPatience)
	defer timer.Stop()
	select {
	case h.drawing <- struct{}{}:
		defer func() { <-h.drawing }()
	case <-r.Context().Done():
		return
	case <-timer.C:
		w.Header().Set("Retry-After", "5")
		h.show(w, r, http.StatusServiceUnavailable, problemPage("This curve cannot be drawn now", "Others are being drawn; try again in a moment."))
		return
	}
	png, ok, err := h.Curve(rec)
	switch {
	case err != nil:
		h.fail(w, r, err)
		return
	case !ok:
		h.noCurve(w, r)
		return
	}
	keep := curveFor
	if rec.Verdict.Final {
		keep = finalCurveFor
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Content-Length", strconv.Itoa(len(png)))
	w.Header().Set("Cache-Control", "max-age="+strconv.Itoa(int(keep.Seconds())))
	_, _ = w.Write(png) // the reader is gone: nothing to do
}

func (h *handler) noCurve(w http.ResponseWriter, r *http.Request) {
	h.show(w, r, http.StatusNotFound, problemPage("There is no curve", "Nothing of this release got worse that could be drawn, or its curves are past their retention."))
}

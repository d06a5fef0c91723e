package web_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/web"
)

func TestTheCurveOfARelease(t *testing.T) {
	e := apitest.Regressed()
	at := "/releases/" + string(e.Release.ID) + "/curve.png"
	for name, test := range map[string]struct {
		path         string
		png          string
		ok           bool
		err          error
		final        bool
		status       int
		kept, contin string // Cache-Control, Content-Type
	}{
		"of a final verdict is kept":    {at, "\x89PNG", true, nil, true, 200, "max-age=3600", "image/png"},
		"that still grows is not":       {at, "\x89PNG", true, nil, false, 200, "max-age=30", "image/png"},
		"that is nothing":               {at, "", false, nil, true, 404, "no-store", "text/html; charset=utf-8"},
		"that cannot be drawn":          {at, "", false, errors.New("no font"), true, 500, "no-store", "text/html; charset=utf-8"},
		"of a release that is unknown":  {"/releases/nosuch/curve.png", "\x89PNG", true, nil, true, 404, "no-store", "text/html; charset=utf-8"},
		"and nothing else of a release": {"/releases/" + string(e.Release.ID) + "/other.png", "\x89PNG", true, nil, true, 404, "no-store", "text/html; charset=utf-8"},
	} {
		t.Run(name, func(t *testing.T) {
			e.Verdict.Final = test.final
			h := web.New(web.Deps{
				Releases: &apitest.Memory{Entries: []apitest.Entry{e}}, Log: slog.New(slog.DiscardHandler),
				Curve: func(rec store.Record) ([]byte, bool, error) {
					if rec.Release.ID != e.Release.ID || rec.Verdict.Kind != release.Regressed {
						t.Errorf("draws %s", rec.Release.ID)
					}
					return []byte(test.png), test.ok, test.err
				},
			})
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, test.path, nil))
			if w.Code != test.status || w.Header().Get("Cache-Control") != test.kept || w.Header().Get("Content-Type") != test.contin {
				t.Errorf("status %d, %v", w.Code, w.Header())
			}
			if test.status == 200 && w.Body.String() != test.png {
				t.Errorf("got %q", w.Body)
			}
		})
	}
}

func TestOnlyAFewCurvesAreDrawnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := apitest.Regressed()
		draw, drawing := make(chan struct{}), 0
		h := web.New(web.Deps{
			Releases: &apitest.Memory{Entries: []apitest.Entry{e}}, Log: slog.New(slog.DiscardHandler),
			Curve: func(store.Record) ([]byte, bool, error) {
				drawing++
				<-draw
				return []byte("x"), true, nil
			},
		})
		get := func() *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/releases/"+string(e.Release.ID)+"/curve.png", nil))
			return w
		}
		for range 2 {
			go get()
			synctest.Wait() // one by one, so that they count
		}
		began := time.Now()
		if w := get(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || time.Since(began) > 10*time.Second {
			t.Errorf("status %d after %s", w.Code, time.Since(began))
		}
		close(draw)
		synctest.Wait()
		if w := get(); w.Code != 200 || drawing != 3 {
			t.Errorf("afterwards: status %d, %d drawn", w.Code, drawing)
		}
	})
}

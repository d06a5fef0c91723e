package api_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestReadiness(t *testing.T) {
	ok := func(context.Context) error { return nil }
	tests := map[string]struct {
		checks map[string]func(context.Context) error
		status int
		want   map[string]string
	}{
		"ready when every check is": {
			map[string]func(context.Context) error{"store": ok, "kubernetes": ok},
			200,
			map[string]string{"store": "ok", "kubernetes": "ok"},
		},
		"names the part that is not, in its words": {
			map[string]func(context.Context) error{"store": ok, "kubernetes": func(context.Context) error {
				return release.E(release.CodeUnavailable, "caches are not synced yet", errors.New("inner"))
			}},
			503,
			map[string]string{"store": "ok", "kubernetes": "caches are not synced yet"},
		},
		"keeps an untyped error to itself": {
			map[string]func(context.Context) error{"store": func(context.Context) error { return errors.New("password=hunter2") }},
			503,
			map[string]string{"store": "not ready"},
		},
		"does not wait for a check that hangs": {
			map[string]func(context.Context) error{"store": ok, "kubernetes": func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Minute)
				return nil
			}},
			503,
			map[string]string{"store": "ok", "kubernetes": "no answer in time"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				w := newSite(t, func(d *api.Deps) { d.Ready = tt.checks }).do(t, "GET", "/readyz")
				if w.Code != tt.status {
					t.Errorf("status %d, want %d", w.Code, tt.status)
				}
				got := decode[struct {
					Ready  bool
					Checks map[string]string
				}](t, w)
				if diff := cmp.Diff(tt.want, got.Checks); diff != "" || got.Ready != (tt.status == 200) {
					t.Errorf("ready %v, checks (-want +got):\n%s", got.Ready, diff)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("answered after %s: the kubelet waits a second", took)
				}
				time.Sleep(2 * time.Minute) // until the hanging check came back
			})
		})
	}
}

func TestHealthzAnswersWhateverElseFails(t *testing.T) {
	s := newSite(t)
	s.releases.Err = errors.New("gone")
	for _, method := range []string{"GET", "HEAD"} {
		if w := s.do(t, method, "/healthz"); w.Code != 200 {
			t.Errorf("%s /healthz: %d", method, w.Code)
		}
	}
}

package prometheus

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestASourceTellsWhatItIs(t *testing.T) {
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   About
		code   release.Code
	}{
		{"a Prometheus", 200, `{"status":"success","data":{"version":"3.5.0"}}`, About{"3.5.0", at}, ""},
		{"one without the API", 404, "404 page not found", About{"", at}, ""},
		{"one that refuses the credentials", 401, "who are you?", About{"", at}, release.CodeUnavailable},
		{"something else", 200, "<html>log in</html>", About{"", at}, release.CodeUnavailable},
		{"one that is broken", 500, "", About{"", at}, release.CodeUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/v1/status/buildinfo" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.Header().Set("Date", at.Format(http.TimeFormat))
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}), func(*Config) {})
			got, err := s.About(context.Background())
			if !got.Clock.Equal(at) || got.Version != test.want.Version || release.ErrorCode(err) != test.code {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

package client_test

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/release"
)

func measuring(r *apitest.Reports) http.Handler {
	return api.New(api.Deps{
		Releases: &apitest.Memory{}, Signals: r, Registry: prometheus.NewRegistry(),
		Pages: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler),
	})
}

func TestSignalsGivesTheWholeReport(t *testing.T) {
	want := apitest.SampleReports()
	got, err := connect(t, measuring(want)).Signals(t.Context(), "shop", "webapp")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Of["shop/webapp"], got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestErrorsAboutSignalsKeepTheirMeaning(t *testing.T) {
	tests := map[string]struct {
		name string
		err  error
		want release.Code
	}{
		"a workload there is not":               {"none", nil, release.CodeNotFound},
		"a name that can be none":               {"Web App", nil, release.CodeInvalid},
		"a metric store that is down":           {"webapp", release.E(release.CodeUnavailable, "down", nil), release.CodeUnavailable},
		"a metric store that is asked too much": {"webapp", release.E(release.CodeRateLimited, "later", nil), release.CodeUnavailable},
		"a query that costs too much":           {"webapp", release.E(release.CodeTooExpensive, "too much", nil), release.CodeUnavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := apitest.SampleReports()
			r.Err = tt.err
			_, err := connect(t, measuring(r)).Signals(t.Context(), "shop", tt.name)
			if got := release.ErrorCode(err); got != tt.want {
				t.Errorf("error %v with code %s, want %s", err, got, tt.want)
			}
		})
	}
}

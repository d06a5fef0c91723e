package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/doctor"
)

type lastReport struct{ report *doctor.Report }

func (l lastReport) Report() (doctor.Report, bool) {
	if l.report == nil {
		return doctor.Report{}, false
	}
	return *l.report, true
}

func TestTheDoctorsLastReport(t *testing.T) {
	want := doctor.Report{
		At: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), Version: "v1", Status: doctor.Failed,
		Findings: []doctor.Finding{{Check: "prometheus", Status: doctor.Failed, Message: "no answer", Mend: "See prometheus.url."}, {Check: "store", Status: doctor.OK, Message: "it answers"}},
	}
	w := newSite(t, func(d *api.Deps) { d.Doctor = lastReport{&want} }).do(t, "GET", "/api/v1/doctor")
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if diff := cmp.Diff(want, decode[doctor.Report](t, w)); diff != "" {
		t.Error(diff)
	}
	for name, site := range map[string]site{
		"before the first look": newSite(t, func(d *api.Deps) { d.Doctor = lastReport{} }),
		"without a doctor":      newSite(t),
	} {
		if w := site.do(t, "GET", "/api/v1/doctor"); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
}

package web_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/doctor"
	"github.com/watchtower-verify/watchtower/internal/web"
)

// lastLook is a doctor that looked once; nil: not yet.
type lastLook struct{ report *doctor.Report }

func (l lastLook) Report() (doctor.Report, bool) {
	if l.report == nil {
		return doctor.Report{}, false
	}
	return *l.report, true
}

func examined(report *doctor.Report) site {
	return site{web.New(web.Deps{Releases: apitest.Sample(), Doctor: lastLook{report}, Log: slog.New(slog.DiscardHandler)}), nil}
}

// look is a report of a minute ago.
func look(findings ...doctor.Finding) *doctor.Report {
	checks := []doctor.Check{{Name: "all", Run: func(context.Context) []doctor.Finding { return findings }}}
	r := doctor.Examine(context.Background(), "v1.4.0", checks)
	r.At = r.At.Add(-time.Minute)
	return &r
}

var (
	works   = doctor.Finding{Check: "kubernetes", Status: doctor.OK, Message: "it answers, version v1.37.2"}
	targets = doctor.Finding{Check: "measurements", Status: doctor.OK, Message: "it has samples of 12 targets"}
	noPods  = doctor.Finding{Check: "measurements", Status: doctor.Warning, Message: "no target has a label pod", Mend: "Keep it."}
	silent  = doctor.Finding{Check: "alertmanager http://am-1", Status: doctor.Failed, Message: "connection <b>refused</b>", Mend: "See alertmanager.urls."}
	untried = doctor.Finding{Check: "forge", Status: doctor.Skipped, Message: "forge.repository is not given"}
)

func TestTheDoctorsPageShowsEachPartTheWorstFirst(t *testing.T) {
	at(t, func(t *testing.T) {
		p := examined(look(works, targets, noPods, untried, silent)).page(t, "/doctor", 200)
		var got []string
		for _, li := range p.one(t, "ul", "parts").all("li", "") {
			got = append(got, li.attr("class")+": "+li.text())
		}
		want := []string{
			"failed: alertmanager http://am-1 ✕ Does not work connection <b>refused</b> To mend it: See alertmanager.urls.",
			"warning: measurements ! Works in part no target has a label pod To mend it: Keep it. it has samples of 12 targets",
			"skipped: forge – Not tried forge.repository is not given",
			"ok: kubernetes ✓ Works it answers, version v1.37.2",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("parts (-want +got):\n%s", diff)
		}
		says(t, p.one(t, "section", "answer"), "1 part does not work, 1 part works in part.", "2026-03-02 10:24:00 UTC (1 min ago)", "by version v1.4.0", "every 10 min")
		if n := len(p.all("p", "complaint")); n != 0 {
			t.Error("a look of a minute ago is complained of")
		}
	})
}

func TestTheNavigationWarnsOnEveryPageOfWhatDoesNotWork(t *testing.T) {
	for _, test := range []struct {
		name     string
		report   *doctor.Report
		class    string // "": there is no sign
		n, words string
	}{
		{"a part that does not work", look(works, silent), "failed", "1", "1 part does not work"},
		{"two that do not, beside one that works in part", look(silent, doctor.Finding{Check: "store", Status: doctor.Failed}, noPods), "failed", "2", "2 parts do not work"},
		{"two findings of one part count once", look(silent, silent), "failed", "1", "1 part does not work"},
		{"a part that works in part", look(works, noPods), "warning", "1", "1 part works in part"},
		{"two that work in part", look(noPods, doctor.Finding{Check: "actions", Status: doctor.Warning}), "warning", "2", "2 parts work in part"},
		{"what was not tried is no fault", look(works, untried), "", "", ""},
		{"all is well", look(works), "", "", ""},
		{"before the first look", nil, "", "", ""},
	} {
		for target, status := range map[string]int{"/": 200, "/doctor": 200, "/releases/4be1a0c93f27": 200, "/nosuch": 404} {
			p := examined(test.report).page(t, target, status)
			signs := p.all("span", "alarm")
			switch {
			case test.class == "" && len(signs) > 0:
				t.Errorf("%s: GET %s warns of %s", test.name, target, signs[0].text())
			case test.class != "" && (len(signs) != 1 || !signs[0].has(test.class) || signs[0].text() != test.n+" : "+test.words):
				t.Errorf("%s: GET %s has %d signs, the first %+v", test.name, target, len(signs), signs)
			}
		}
	}
}

func TestTheDoctorsPageSaysThatThereWasNoLookYet(t *testing.T) {
	p := examined(nil).page(t, "/doctor", 200)
	says(t, p, "Nothing was looked at yet.")
	if n := refreshOf(p); n != "5" {
		t.Errorf("it loads itself again after %q s, want 5", n)
	}
	says(t, newSite(apitest.Sample()).page(t, "/doctor", 200), "Nothing was looked at yet.")
}

func TestTheDoctorsPageLoadsItselfAgainUntilHeldStill(t *testing.T) {
	s := examined(look(works))
	p := s.page(t, "/doctor", 200)
	if n := refreshOf(p); n != "30" {
		t.Errorf("it loads itself again after %q s, want 30", n)
	}
	says(t, p.one(t, "section", "answer"), "Every part that was tried works.", "Hold it still")
	p = s.page(t, "/doctor?refresh=off", 200)
	if n := refreshOf(p); n != "" {
		t.Errorf("it was held still and loads itself again after %q s", n)
	}
	says(t, p.one(t, "section", "answer"), "Follow the doctor")
}

func TestTheDoctorsPageComplainsOfALookLongAgo(t *testing.T) {
	report := look(works)
	report.At = time.Now().Add(-21 * time.Minute)
	says(t, examined(report).page(t, "/doctor", 200).one(t, "p", "complaint"), "should not be that long ago")
}

func refreshOf(p node) string {
	for _, m := range p.all("meta", "") {
		if m.attr("http-equiv") == "refresh" {
			return m.attr("content")
		}
	}
	return ""
}

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestTheExitStatusTellsWhetherAnythingIsMeasured(t *testing.T) {
	t.Setenv(serverVariable, serve(t, newAPI(apitest.Sample())))
	tests := map[string]struct {
		args []string
		want int
	}{
		"something is":                           {[]string{"signals", "shop/webapp"}, 0},
		"something is, for machines":             {[]string{"signals", "shop/webapp", "-o", "json"}, 0},
		"nothing can be":                         {[]string{"signals", "batch/report"}, 3},
		"nothing can be, for machines":           {[]string{"signals", "batch/report", "-o", "yaml"}, 3},
		"there is no such workload":              {[]string{"signals", "shop/none"}, 1},
		"there can be no such workload":          {[]string{"signals", "shop/Web App"}, 2},
		"the namespace is missing":               {[]string{"signals", "webapp"}, 2},
		"the namespace is said twice, otherwise": {[]string{"signals", "shop/webapp", "-n", "batch"}, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := run(tt.args, &stdout, &stderr); got != tt.want {
				t.Errorf("exit status %d, want %d; stderr: %s", got, tt.want, &stderr)
			}
			answered := tt.want == statusOK || tt.want == statusEmpty
			if (stdout.Len() > 0) != answered || (stderr.Len() > 0) == answered {
				t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
			}
		})
	}
}

func TestTheTextIsThatOfTheReport(t *testing.T) {
	t.Setenv(serverVariable, serve(t, newAPI(apitest.Sample())))
	for name, report := range apitest.SampleReports().Of {
		var stdout, stderr bytes.Buffer
		run([]string{"signals", name}, &stdout, &stderr)
		if want := release.ExplainSignals(report); stdout.String() != want || !strings.Contains(want, name) {
			t.Errorf("%s is printed as %q, want %q", name, &stdout, want)
		}
	}
}

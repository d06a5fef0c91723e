package tests

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/lab/service"
)

// alerting leaves a bad release where it is.
const alerting = `autonomy: alert
observe: 10m
warmup: 0s
history: 10m`

// command runs watchtower, which must succeed, and returns what it prints.
func command(t *testing.T, args ...string) []byte {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("watchtower %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.Bytes()
}

// What the service found of a release is found again from what Prometheus stored,
// without a cluster; and `signals` tells what was measured.
func TestABacktestFindsWhatTheServiceFound(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *service.Config) { c.Policy = alerting })
	s.start()
	from := time.Now()
	s.serve(40, nil)
	s.deploy(bad, nil)
	live := s.verdict(bad, 2*time.Minute, "regressed")

	said := string(command(t, "signals", s.ns+"/"+s.name, "--server", s.URL))
	for _, want := range []string{"its requests are counted by its pods", "error ratio", "throughput per ready pod", "memory per pod", "Series"} {
		if !strings.Contains(said, want) {
			t.Errorf("`watchtower signals` does not tell of %q:\n%s", want, said)
		}
	}

	time.Sleep(10 * time.Second) // the last scrape
	var report struct {
		Releases []struct {
			Namespace, Workload, ReplicaSet, Verdict string
			Previous                                 *string   `json:"previous_replicaset"`
			StartedAt                                time.Time `json:"started_at"`
			DecidedAt                                *time.Time
			Would                                    []string
		}
	}
	text := command(t, "backtest", "--prometheus-url="+theLab.Info().PrometheusURL, "--from="+from.UTC().Format(time.RFC3339),
		"--to="+time.Now().UTC().Format(time.RFC3339), "--tick=5s", "--output=json")
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]string{}
	for _, r := range report.Releases {
		if r.Namespace != s.ns {
			continue // another test's
		}
		verdicts[r.ReplicaSet] = r.Verdict
		if r.ReplicaSet == live.Release.ReplicaSet.Name && (r.Previous == nil || len(r.Would) == 0 || r.Workload != s.name) {
			t.Errorf("%+v", r)
		}
	}
	if len(verdicts) != 2 || verdicts[live.Release.ReplicaSet.Name] != "regressed" {
		t.Errorf("replayed %v, want the first deployment and %s regressed", verdicts, live.Release.ReplicaSet.Name)
	}
}

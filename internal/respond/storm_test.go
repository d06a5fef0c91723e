//go:build unix

package respond

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// BenchmarkStorm has five hundred releases regress at once, under the limits that
// are the default.
func BenchmarkStorm(b *testing.B) {
	const n = 500
	for b.Loop() {
		c, am, pager := newCluster(), newAlertmanager(), newSink()
		r, st := begin(b, filepath.Join(b.TempDir(), "w.db"), Deps{
			Name: "lab", Cluster: c, Alerter: am, Forge: &strictForge{}, Notifiers: map[string]Notifier{"pager": pager},
		}, nil)
		var releases []release.Release
		for i := range n {
			name := fmt.Sprintf("app%d", i)
			first := c.deploy(name, 1)
			if err := st.Write(b.Context(), func(tx *store.Tx) error {
				if err := tx.SaveRelease(first, policy(release.AutonomyAuto)); err != nil {
					return err
				}
				return tx.SaveVerdict(verdict(first, release.Healthy, true))
			}); err != nil {
				b.Fatal(err)
			}
			releases = append(releases, c.deploy(name, 2))
		}
		began := time.Now()
		for _, rel := range releases {
			condemn(b, r, rel)
		}
		decided := time.Since(began)
		held := 0
		for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			counts, err := st.CountActions(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			pending := 0
			held = 0
			for _, k := range counts {
				switch {
				case k.State == release.ActionPending:
					pending += k.N
				case k.Kind == release.ActionRollback && k.State == release.ActionWaiting:
					held = k.N
				}
			}
			if pending == 0 {
				break
			}
			if time.Now().After(end) {
				b.Fatalf("%d actions are pending after a minute", pending)
			}
		}
		alerts, _ := am.count()
		members := 0
		for _, s := range pager.all() {
			members = max(members, len(s.message.Members))
		}
		rollbacks := len(c.taken())
		b.ReportMetric(float64(alerts), "alerts")
		b.ReportMetric(float64(len(pager.all())), "messages")
		b.ReportMetric(float64(rollbacks), "rollbacks")
		b.ReportMetric(float64(held), "waiting")
		b.ReportMetric(float64(members), "members")
		b.ReportMetric(decided.Seconds(), "s-decided")
		b.ReportMetric(peakMegabytes(b), "MB-peak")
		if alerts > 1 || len(pager.all()) > 1 || rollbacks+held != n || rollbacks > DefaultLimits().Rollbacks || members != n || peakMegabytes(b) > 200 {
			b.Errorf("%d alerts, %d messages of %d members, %d rollbacks, %d wait", alerts, len(pager.all()), members, rollbacks, held)
		}
	}
}

// peakMegabytes is the largest resident size this process had.
func peakMegabytes(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 64)
			if err != nil {
				b.Fatal(err)
			}
			return kilobytes / 1024
		}
	}
	return 0
}

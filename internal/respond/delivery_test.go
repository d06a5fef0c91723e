//go:build unix

package respond

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

// The figures that are to be reached.
const (
	deliveredWithin = 2 * time.Second // p99, from the decision to the last receiver
	othersWithin    = 1.2             // p99 of the others, with one in trouble over without
)

var troubleLasts = flag.Duration("deliver.trouble", 0, "how long each receiver is in trouble in BenchmarkOneInTrouble; 0: three rounds of releases")

func percentile(took []time.Duration, p float64) time.Duration {
	took = slices.Sorted(slices.Values(took))
	return took[min(int(p*float64(len(took))), len(took)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkDeliveredEverywhere has fifty releases regress at once, four times, and
// tells how long it is from the decision's transaction until the last of all
// receivers has taken the message: Alertmanager, PagerDuty, Slack with curve and
// buttons, Grafana, a webhook and mail, each a strict stand-in on loopback that
// stamps what it takes. A second of it is waited for other releases to regress, so
// that many are told as one; here the breaker is wide, so that none are.
func BenchmarkDeliveredEverywhere(b *testing.B) {
	const rounds, n = 4, 50
	for b.Loop() {
		w := newTown(b, 10*time.Second)
		took := map[string][]time.Duration{}
		every := judgedAt{}
		var cpu time.Duration // of Watchtower and the stand-ins until the last was told
		for range rounds {
			var usage [2]syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage[0])
			of := w.regress(n)
			maps.Copy(every, of)
			got := w.waitFor(of, 30*time.Second, append(slices.Clone(outletsOfTown), outSlack+", curve")...)
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage[1])
			cpu += time.Duration(usage[1].Utime.Nano() + usage[1].Stime.Nano() - usage[0].Utime.Nano() - usage[0].Stime.Nano())
			for id, decided := range of {
				last := decided
				for outlet, at := range got {
					took[outlet] = append(took[outlet], at[id].Sub(decided))
					if at[id].After(last) {
						last = at[id]
					}
				}
				took["the last of all"] = append(took["the last of all"], last.Sub(decided))
			}
			w.allWhole(every)
		}
		var table strings.Builder
		fmt.Fprintf(&table, "%-18s %8s %8s %8s\n", "first told, ms", "median", "p99", "target")
		for _, outlet := range slices.Sorted(maps.Keys(took)) {
			fmt.Fprintf(&table, "%-18s %8.0f %8.0f %8s\n", outlet, milliseconds(percentile(took[outlet], 0.5)), milliseconds(percentile(took[outlet], 0.99)), "≤ "+fmt.Sprint(deliveredWithin.Milliseconds()))
		}
		b.Logf("%d releases at once, %d times:\n%s", n, rounds, table.String())
		b.ReportMetric(milliseconds(percentile(took["the last of all"], 0.99)), "p99-ms")
		b.ReportMetric(cpu.Seconds()/rounds, "cpu-s/round")
		b.ReportMetric(0, "ns/op")
	}
}

// allWhole waits until every receiver was told everything, and fails where one was
// told anything twice.
func (w *town) allWhole(of judgedAt) {
	w.tb.Helper()
	for _, outlet := range outletsOfTown {
		for end := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
			wrong := w.whole(of, outlet)
			if wrong == "" {
				break
			}
			if time.Now().After(end) {
				w.tb.Errorf("%s: %s", outlet, wrong)
				break
			}
		}
	}
}

// BenchmarkOneInTrouble has each receiver fail in turn, by 429, by 500 and by no
// answer, while releases regress, and compares how soon the others are told with
// how soon they are told in the same run before the trouble. Afterwards everybody
// must have been told everything, once. TestTenMinutesOfTrouble lets ten minutes
// of it pass on a clock of its own; -deliver.trouble=10m has them pass here.
func BenchmarkOneInTrouble(b *testing.B) {
	for b.Loop() {
		w := newTown(b, 2*time.Second)
		every := judgedAt{}
		b.Logf("%-14s %26s %26s %8s %8s", "in trouble", "p99 of the others before", "p99 of the others in it", "ratio", "target")
		worst := 0.0
		for _, sick := range outletsOfTown {
			others := slices.DeleteFunc(slices.Clone(outletsOfTown), func(o string) bool { return o == sick })
			calm := w.roundsOf(others, every, 0, nil)
			moods := []standin.Fault{{Status: 429, RetryAfter: 1}, {Status: 500}, {Hang: true}}
			if sick == outEmail { // whose codes are others
				moods = []standin.Fault{{Status: 421}, {Status: 451}, {Hang: true}}
			}
			inTrouble := w.roundsOf(others, every, *troubleLasts, func(round int) { w.door(sick).Fail(moods[round%len(moods)]) })
			w.door(sick).Mend()
			w.allWhole(every)
			before, during := percentile(calm, 0.99), percentile(inTrouble, 0.99)
			ratio := float64(during) / float64(before)
			worst = max(worst, ratio)
			b.Logf("%-14s %23.0f ms %23.0f ms %8.2f %8s", sick, milliseconds(before), milliseconds(during), ratio, fmt.Sprintf("≤ %.1f", othersWithin))
		}
		b.Logf("%d releases regressed, %d at once; %d mails and events came again under the name they had, for an answer that was late", len(every), roundSize, w.again())
		b.ReportMetric(worst, "worst-ratio")
		b.ReportMetric(0, "ns/op")
	}
}

const roundSize = 20

// roundsOf has releases regress in at least three rounds, for a while at least,
// and answers after how long each of the outlets was told of each.
func (w *town) roundsOf(outlets []string, every judgedAt, lasts time.Duration, before func(round int)) []time.Duration {
	w.tb.Helper()
	var took []time.Duration
	began := time.Now()
	for round := 0; round < 3 || time.Since(began) < lasts; round++ {
		if before != nil {
			before(round)
		}
		of := w.regress(roundSize)
		maps.Copy(every, of)
		got := w.waitFor(of, time.Minute, outlets...)
		for id, decided := range of {
			for _, o := range outlets {
				took = append(took, got[o][id].Sub(decided))
			}
		}
	}
	return took
}

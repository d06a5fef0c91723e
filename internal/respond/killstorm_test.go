//go:build unix

package respond

import (
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// TestKilledInAStorm has many releases regress at once while processes die: one
// incident, told once, holds what is beyond the limits, and nothing is dropped.
func TestKilledInAStorm(t *testing.T) {
	const releases = 40
	for _, s := range settings() {
		if !*crashFull && s.name != "SQLite, 1" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			a := newArena(t, s.target(t), s.replicas, true)
			var all []release.Release
			for range releases {
				all = append(all, a.regress(release.AutonomyAuto))
			}
			for range 5 {
				time.Sleep(time.Duration(100+rand.IntN(500)) * time.Millisecond) // the moment of death is what is random
				a.kill(rand.IntN(s.replicas))
			}
			a.settle()
			for end := time.Now().Add(time.Minute); a.membersTold()+a.toldAlone() < releases && time.Now().Before(end); {
				time.Sleep(50 * time.Millisecond) // other processes are waited for
			}
			a.end()
			incidents := 0
			for _, m := range a.world.chat.posts {
				if strings.HasPrefix(m.Key, incidentPrefix) {
					incidents++
				}
			}
			if members, alone := a.membersTold(), a.toldAlone(); incidents != 1 || members+alone != releases {
				t.Errorf("%d incidents told, of %d releases, and %d told alone", incidents, members, alone)
			}
			alerts := 0
			for _, al := range a.world.alerts.alerts {
				if al.Labels["alertname"] == IncidentAlertName {
					alerts++
				}
			}
			if alerts != 1 {
				t.Errorf("%d alerts of incidents", alerts)
			}
			a.stormRecorded(all)
		})
	}
}

// membersTold is how many releases the incident was told of with.
func (a *arena) membersTold() (n int) {
	a.world.chat.mu.Lock()
	defer a.world.chat.mu.Unlock()
	for _, m := range a.world.chat.posts {
		n = max(n, len(m.Members))
	}
	return n
}

// toldAlone is how many regressed releases were told of by themselves.
func (a *arena) toldAlone() (n int) {
	a.world.chat.mu.Lock()
	defer a.world.chat.mu.Unlock()
	for _, m := range a.world.chat.posts {
		if m.Verdict == release.Regressed && len(m.Members) == 0 {
			n++
		}
	}
	return n
}

// stormRecorded holds the database against the rollbacks that were done.
func (a *arena) stormRecorded(all []release.Release) {
	a.t.Helper()
	st, err := store.Open(a.t.Context(), a.order.Target, slog.New(slog.DiscardHandler), store.ForCluster("lab"))
	if err != nil {
		a.t.Fatal(err)
	}
	defer st.Close()
	done, waiting := 0, 0
	for _, rel := range all {
		r, err := st.Action(a.t.Context(), release.ActionKey(rel.ID, release.ActionRollback))
		switch {
		case err != nil:
			a.t.Error(err)
		case r.State == release.ActionDone:
			done++
		case r.State == release.ActionWaiting:
			waiting++
		}
	}
	patches := len(a.world.cluster.taken())
	a.t.Logf("%d rolled back, %d wait", done, waiting)
	if patches != done || done+waiting != len(all) || patches > DefaultLimits().RollbacksPerNamespace {
		a.t.Errorf("%d patches, %d rollbacks done, %d wait", patches, done, waiting)
	}
}

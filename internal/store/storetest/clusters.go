package storetest

import (
	"context"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Shared is a database that clusters may share.
type Shared interface {
	Database
	// OpenFor opens it for one cluster, whoever else has it open.
	OpenFor(t *testing.T, cluster string) *store.Store
}

// RunShared puts a database through what it promises to clusters that share it.
func RunShared(t *testing.T, fresh func(t *testing.T) Shared) {
	t.Run("clusters that share a database keep to themselves", func(t *testing.T) { clusters(t, fresh(t)) })
	t.Run("jobs of another cluster are not reclaimed", func(t *testing.T) { reclaimOfCluster(t, fresh(t)) })
	t.Run("writers of two replicas wait for each other", func(t *testing.T) { writers(t, fresh(t)) })
}

func clusters(t *testing.T, d Shared) {
	lab, live := d.OpenFor(t, "lab"), d.OpenFor(t, "live")
	defer lab.Close()
	defer live.Close()
	for _, s := range []*store.Store{lab, live} {
		r := Release("webapp", 2)
		if s == live {
			r.Workload.Cluster, r.ID = "live", release.NewID("live", r.Workload.UID, r.ReplicaSet.UID)
		}
		Save(t, s, r, Verdict(r, release.Regressed, true))
		must(t, s.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.InsertAlert(store.Alert{Release: r.ID, State: store.AlertFiring, Alert: release.Alert{StartsAt: At}})
			return err
		}))
		addAudit(t, s, r.ID, r.ID)
		list, err := s.Releases(t.Context(), store.Filter{})
		must(t, err)
		same(t, "releases", 1, len(list))
		same(t, "its cluster", r.Workload.Cluster, list[0].Release.Workload.Cluster)
		firing, err := s.FiringAlerts(t.Context())
		must(t, err)
		same(t, "alerts", 1, len(firing))
		rows, faults, err := s.VerifyAudit(t.Context())
		must(t, err)
		same(t, "audit rows", int64(2), rows)
		same(t, "faults", 0, len(faults))
	}
	if lab.Queue() == live.Queue() {
		t.Errorf("both clusters have their jobs in queue %s", lab.Queue())
	}
}

func reclaimOfCluster(t *testing.T, d Shared) {
	lab, live := d.OpenFor(t, "lab"), d.OpenFor(t, "live")
	defer lab.Close()
	defer live.Close()
	for _, queue := range []string{lab.Queue(), live.Queue()} {
		_, err := lab.DB().ExecContext(t.Context(), `INSERT INTO river_job (kind, args, state, max_attempts, queue) VALUES ('x', '{}', 'running', 5, '`+queue+`')`)
		must(t, err)
	}
	_, err := lab.DB().ExecContext(t.Context(), `INSERT INTO river_leader (elected_at, expires_at, leader_id) VALUES ('2026-01-01', '2099-01-01', '`+live.ClientID()+`')`)
	must(t, err)
	n, err := lab.ReclaimJobs(t.Context())
	must(t, err)
	same(t, "reclaimed", 1, n)
	var running, leaders int
	must(t, lab.DB().QueryRowContext(t.Context(), `SELECT count(*) FROM river_job WHERE state = 'running'`).Scan(&running))
	must(t, lab.DB().QueryRowContext(t.Context(), `SELECT count(*) FROM river_leader`).Scan(&leaders))
	same(t, "jobs of the other cluster that run", 1, running)
	same(t, "leaders", 1, leaders)
}

func writers(t *testing.T, d Shared) {
	first, second := d.OpenFor(t, "lab"), d.OpenFor(t, "lab")
	defer first.Close()
	defer second.Close()
	const each = 30
	done := make(chan error, 2)
	for _, s := range []*store.Store{first, second} {
		go func() {
			var err error
			for range each {
				if err == nil {
					err = s.Write(context.WithoutCancel(t.Context()), func(tx *store.Tx) error {
						return tx.Audit(release.AuditRow{At: At, Actor: "x", What: "y"})
					})
				}
			}
			done <- err
		}()
	}
	must(t, <-done)
	must(t, <-done)
	rows, faults, err := first.VerifyAudit(t.Context())
	must(t, err)
	same(t, "rows", int64(2*each), rows)
	same(t, "faults", 0, len(faults))
}

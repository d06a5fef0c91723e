package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// Queue is the name of River's queue for the jobs of this store's cluster:
// clusters that share a database do not run each other's jobs.
func (s *Store) Queue() string {
	if !s.Postgres() || s.options.cluster == "" {
		return defaultQueue // one file, one Watchtower
	}
	return "cluster_" + short(s.options.cluster)
}

const defaultQueue = "default"

// ClientID names this process to River, such that ReclaimJobs knows the
// processes of its own cluster.
func (s *Store) ClientID() string {
	host, _ := os.Hostname() // without one the number of the process must do
	return fmt.Sprintf("%s%.40s-%d", s.clientPrefix(), host, os.Getpid())
}

func (s *Store) clientPrefix() string { return s.Queue() + ":" }

// short is a name of fixed length made of letters and digits.
func short(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:8])
}

// ReclaimJobs makes jobs available again that a process took and did not
// finish because it died, and ends that process's leadership over River's
// maintenance. Call it before River's client starts and only while this
// process alone may run the cluster's jobs: with SQLite it always may, with
// PostgreSQL while it has the Hold. Jobs of a process that hung and may still
// live stay its own until their time is over. It answers how many.
func (s *Store) ReclaimJobs(ctx context.Context) (int, error) {
	if s.contested.Swap(false) {
		return 0, nil
	}
	var n int64
	err := s.Write(ctx, func(tx *Tx) error {
		res, err := tx.on.ExecContext(ctx, `UPDATE river_job SET state = 'available' WHERE state = 'running' AND queue = ?`, s.Queue())
		if err != nil {
			return err
		}
		if n, err = res.RowsAffected(); err != nil {
			return err
		}
		if !s.Postgres() {
			_, err = tx.on.ExecContext(ctx, `DELETE FROM river_leader`)
			return err
		}
		_, err = tx.on.ExecContext(ctx, `DELETE FROM river_leader WHERE leader_id LIKE ?`, strings.ReplaceAll(s.clientPrefix(), "_", `\_`)+"%")
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reclaim unfinished jobs: %w", err)
	}
	return int(n), nil
}

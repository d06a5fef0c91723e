package store

import (
	"context"
	"fmt"
)

// ReclaimJobs makes jobs available again that a process took and did not
// finish because it died, and ends that process's leadership over River's
// maintenance. Call it before River's client starts: this process holds the
// file alone, so no other can be working on them. It answers how many.
func (s *Store) ReclaimJobs(ctx context.Context) (int, error) {
	var n int64
	err := s.Write(ctx, func(tx *Tx) error {
		res, err := tx.tx.ExecContext(ctx, `UPDATE river_job SET state = 'available' WHERE state = 'running'`)
		if err != nil {
			return err
		}
		if n, err = res.RowsAffected(); err != nil {
			return err
		}
		_, err = tx.tx.ExecContext(ctx, `DELETE FROM river_leader`)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reclaim unfinished jobs: %w", err)
	}
	return int(n), nil
}

package app

import (
	"context"
	"time"

	"github.com/watchtower-verify/watchtower/internal/store"
)

const (
	houseAfter = 5 * time.Minute // a restart has other work at first
	houseEvery = time.Hour
)

// keepHouse removes what is past its retention, and tells the log where the
// audit's chain stands: a mark outside of the database.
func (a *app) keepHouse(ctx context.Context) error {
	r := a.cfg.Store.Retention
	keep := store.Retention{Releases: r.Releases, Curves: r.Curves, Audit: r.Audit}
	return rounds(ctx, houseAfter, houseEvery, func(ctx context.Context) {
		done, err := a.store.Retain(ctx, keep, time.Now())
		if err != nil && ctx.Err() == nil {
			a.log.Error("what is past its retention was not removed", "err", err)
		}
		if done != (store.Removed{}) {
			a.log.Info("removed what is past its retention", "releases", done.Releases, "curves", done.Curves, "audit", done.Audit)
		}
		if head, _, err := a.store.AuditMarks(ctx); err == nil && head.ID > 0 {
			a.log.Info("audit head", "cluster", a.cfg.Cluster, "id", head.ID, "hash", head.Hash)
		}
	})
}

// Package listing cuts the list of releases into pages. The cursor is the
// moment a release was seen, and many may be seen in the same millisecond, as
// when Watchtower starts: a page therefore never ends amid such a group, and
// nothing is lost between two pages.
package listing

import (
	"context"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Lister lists releases newest first, at most f.Limit of them, those seen in
// an earlier millisecond than f.Before when it is set. The store is one.
type Lister interface {
	Releases(ctx context.Context, f store.Filter) ([]store.Record, error)
}

// Page returns the releases that match f, about f.Limit of them: fewer when
// the page would end amid releases seen in the same millisecond, more when
// there are more than f.Limit of those. next is what to set f.Before to for
// the page after it, zero when this is the last.
func Page(ctx context.Context, l Lister, f store.Filter) (records []store.Record, next time.Time, err error) {
	limit := f.Limit
	for {
		// One more than wanted tells whether there is another page.
		f.Limit = limit + 1
		records, err = l.Releases(ctx, f)
		if err != nil || len(records) <= limit {
			return records, time.Time{}, err
		}
		for i := limit; i > 0; i-- {
			if seen(records[i-1]) != seen(records[i]) {
				return records[:i], time.UnixMilli(seen(records[i-1])).UTC(), nil
			}
		}
		limit *= 2
	}
}

func seen(r store.Record) int64 { return r.Release.SeenAt.UnixMilli() }

// VerdictKinds are the verdicts one can filter by.
func VerdictKinds() []release.VerdictKind {
	return []release.VerdictKind{
		release.Regressed, release.Healthy, release.InsufficientData, release.SourceBroken, release.Pending,
	}
}

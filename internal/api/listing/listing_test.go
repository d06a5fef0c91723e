package listing_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/api/listing"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// memory lists as the store does: newest first, Before exclusive, to the
// millisecond.
type memory []store.Record

func (m memory) Releases(_ context.Context, f store.Filter) ([]store.Record, error) {
	var out []store.Record
	for _, r := range m {
		if !f.Before.IsZero() && r.Release.SeenAt.UnixMilli() >= f.Before.UnixMilli() {
			continue
		}
		if len(out) == f.Limit {
			break
		}
		out = append(out, r)
	}
	return out, nil
}

func TestPagesTogetherHoldEveryReleaseOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few distinct moments make many releases share one; the nanoseconds
		// differ within a millisecond, as they do between the store's columns.
		steps := rapid.SliceOfN(rapid.IntRange(0, 1), 0, 60).Draw(t, "milliseconds between releases")
		limit := rapid.IntRange(1, 10).Draw(t, "limit")
		at := time.UnixMilli(1_700_000_000_000)
		var all memory
		for i, s := range steps {
			at = at.Add(-time.Duration(s) * time.Millisecond)
			seen := at.Add(time.Duration(rapid.IntRange(0, 999_999).Draw(t, "nanoseconds")))
			all = append(all, store.Record{Release: release.Release{ID: release.ID(fmt.Sprint(i)), SeenAt: seen}})
		}

		var got []release.ID
		f := store.Filter{Limit: limit}
		for pages := 0; ; pages++ {
			if pages > len(all) {
				t.Fatal("the pages do not end")
			}
			records, next, err := listing.Page(t.Context(), all, f)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				got = append(got, r.Release.ID)
			}
			if next.IsZero() {
				break
			}
			if len(records) == 0 {
				t.Fatal("an empty page names a next one")
			}
			f.Before = next
		}
		if len(got) != len(all) {
			t.Fatalf("pages hold %d releases, want %d: %v", len(got), len(all), got)
		}
		for i, id := range got {
			if id != all[i].Release.ID {
				t.Fatalf("release %d of the pages is %s, want %s", i, id, all[i].Release.ID)
			}
		}
	})
}

type broken struct{ error }

func (b broken) Releases(context.Context, store.Filter) ([]store.Record, error) { return nil, b.error }

func TestPageReturnsTheListersError(t *testing.T) {
	want := errors.New("the disk is gone")
	if _, _, err := listing.Page(t.Context(), broken{want}, store.Filter{Limit: 5}); !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

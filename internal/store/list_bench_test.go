package store_test

import (
	"path/filepath"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/store"
)

func BenchmarkList50(b *testing.B) {
	s, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "w.db"), quiet, store.ForCluster("lab"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for n := range 500 {
		if err := save(b.Context(), s, n+1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Releases(b.Context(), store.Filter{Limit: 50}); err != nil {
			b.Fatal(err)
		}
	}
}

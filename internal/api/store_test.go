package api_test

import (
	"log/slog"
	"math"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// The other tests answer from memory; this one shows that the store answers
// the same.
func TestTheStoreAnswersAsMemoryDoes(t *testing.T) {
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "watchtower.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	sample := apitest.Sample()
	for _, e := range sample.Entries {
		if err := st.Write(t.Context(), func(tx *store.Tx) error { return save(tx, e) }); err != nil {
			t.Fatal(err)
		}
	}
	stored, memory := newSite(t, func(d *api.Deps) { d.Releases = st }), newSite(t)
	for _, target := range []string{
		"/api/v1/releases", "/api/v1/releases?namespace=shop&live=false", "/api/v1/releases?verdict=pending",
		"/api/v1/releases?limit=2", "/api/v1/releases?before=2026-03-02T10:00:00Z",
	} {
		want, got := decode[wire.List](t, memory.do(t, "GET", target)), decode[wire.List](t, stored.do(t, "GET", target))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("GET %s (-memory +store):\n%s", target, diff)
		}
	}
	target := "/api/v1/releases/4be1a0c93f27"
	want, got := decode[wire.Detail](t, memory.do(t, "GET", target)), decode[wire.Detail](t, stored.do(t, "GET", target))
	for i := range got.Audit {
		a, b := &got.Audit[i], want.Audit[i] // the store numbers and chains its rows itself
		a.ID, a.Evidence, a.Previous, a.Hash = b.ID, b.Evidence, b.Previous, b.Hash
	}
	sevenDigits := cmp.Comparer(func(a, b float64) bool { return a == b || math.Abs(a-b) < 1e-7*math.Abs(a) }) // as curves are kept
	if diff := cmp.Diff(want, got, sevenDigits); diff != "" {
		t.Errorf("GET %s (-memory +store):\n%s", target, diff)
	}
	if w := stored.do(t, "GET", "/api/v1/releases/000000000000"); w.Code != 404 {
		t.Errorf("an unknown release: %d %s", w.Code, w.Body)
	}
}

func save(tx *store.Tx, e apitest.Entry) error {
	if err := tx.SaveRelease(e.Release, e.Policy); err != nil {
		return err
	}
	v := e.Verdict
	v.Final = !e.Live
	if err := tx.SaveVerdict(v); err != nil {
		return err
	}
	for _, a := range e.Actions {
		if _, err := tx.InsertAction(a); err != nil {
			return err
		}
	}
	for _, r := range e.Audit {
		r.Release = e.Release.ID
		if err := tx.Audit(r); err != nil {
			return err
		}
	}
	return nil
}

package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

// filled is a SQLite file with something of everything.
func filled(t *testing.T) *store.Store {
	t.Helper()
	s := database{filepath.Join(t.TempDir(), "w.db")}.OpenFor(t, "lab")
	t.Cleanup(func() { s.Close() })
	at := storetest.At
	for n := range 3 {
		r := storetest.Release("webapp", n+1)
		if err := s.Write(t.Context(), func(tx *store.Tx) error {
			if err := tx.SaveRelease(r, release.DefaultPolicy()); err != nil {
				return err
			}
			v := storetest.Verdict(r, release.Regressed, true)
			v.Summary = `quotes " and ' and \ and  line ends` + "\n é"
			if err := tx.SaveVerdict(v); err != nil {
				return err
			}
			key := release.ActionKey(r.ID, release.ActionRollback)
			if _, err := tx.InsertAction(release.Action{Key: key, Release: r.ID, Kind: release.ActionRollback, State: release.ActionPending, CreatedAt: at, UpdatedAt: at}); err != nil {
				return err
			}
			if err := tx.SavePlan(key, map[string]int{"n": n}); err != nil {
				return err
			}
			if _, err := tx.InsertAlert(store.Alert{Release: r.ID, State: store.AlertFiring, Alert: release.Alert{StartsAt: at}}); err != nil {
				return err
			}
			g := store.Group{ID: "group-" + string(r.ID), Cluster: "lab", Key: string(r.ID), Sink: "chat", Release: r.ID, OpenedAt: at}
			if err := errors.Join(tx.SaveGroup(g), tx.Join(g, r.ID, &release.Message{Headline: "worse"}, at)); err != nil {
				return err
			}
			return tx.Audit(release.AuditRow{At: at, Actor: "watchtower", Release: r.ID, What: "verdict", Outcome: "regressed, final", Why: "worse"})
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, statement := range []string{
		`INSERT INTO river_job (kind, args, state, max_attempts, priority, attempt, queue, metadata, tags, errors, created_at, scheduled_at)
			VALUES ('watchtower_action', jsonb('{"key":"a/b"}'), 'available', 5, 1, 0, 'default', jsonb('{"x":1}'), jsonb('["t"]'), NULL, '2026-03-04 05:06:07.008', '2026-03-04 05:06:07.008')`,
		`INSERT INTO river_job (kind, args, state, max_attempts, priority, attempt, errors, scheduled_at)
			VALUES ('watchtower_action', jsonb('{}'), 'retryable', 5, 2, 3, jsonb('[{"error":"no","attempt":1}]'), '2027-03-04 05:06:07.008')`,
		`INSERT INTO river_job (kind, args, state, max_attempts, attempted_at) VALUES ('watchtower_restore', jsonb('{}'), 'running', 5, '2026-03-04 05:06:07.008')`,
		`INSERT INTO river_job (kind, args, state, max_attempts, queue, finalized_at) VALUES ('x', jsonb('{}'), 'discarded', 5, 'another', '2026-03-04 05:06:07.008')`,
		`INSERT INTO river_job (kind, args, state, max_attempts, finalized_at) VALUES ('done', jsonb('{}'), 'completed', 5, '2026-03-04 05:06:07.008')`,
	} {
		if _, err := s.DB().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func exported(t *testing.T, s *store.Store) (string, map[string]int) {
	t.Helper()
	var b bytes.Buffer
	counts, err := s.Export(t.Context(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), counts
}

// content is what an export holds, whatever the order and the time zone.
func content(t *testing.T, text string) []string {
	t.Helper()
	var out []string
	for l := range strings.Lines(text) {
		var v map[string]any
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			t.Fatal(err)
		}
		delete(v, "at")
		if j, ok := v["job"].(map[string]any); ok {
			for k, x := range j {
				if s, ok := x.(string); ok && strings.HasSuffix(k, "_at") {
					at, err := time.Parse(time.RFC3339, s)
					if err != nil {
						t.Fatal(err)
					}
					j[k] = at.UnixMilli()
				}
			}
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	slices.Sort(out)
	return out
}

func TestWhatIsExportedIsImportedWithoutLoss(t *testing.T) {
	source := filled(t)
	first, counts := exported(t, source)
	want := map[string]int{"releases": 3, "verdicts": 3, "evidence": 3, "curves": 3, "actions": 3, "alerts": 3, "audit": 3, "audit_heads": 1, "aftermaths": 0, "breakers": 0, "deliveries": 0, "grants": 0, "incidents": 0, "message_groups": 3, "message_members": 3, "paces": 0, "regressions": 0, "river_job": 4}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Fatalf("exported (-want +got):\n%s", diff)
	}
	server := database{postgres.Fresh(t)}.OpenFor(t, "lab")
	defer server.Close()
	got, err := server.Import(t.Context(), strings.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("imported (-want +got):\n%s", diff)
	}
	second, _ := exported(t, server)
	if diff := cmp.Diff(content(t, first), content(t, second)); diff != "" {
		t.Errorf("PostgreSQL holds (-SQLite +PostgreSQL):\n%s", diff)
	}
	var mine int
	if err := server.DB().QueryRowContext(t.Context(), `SELECT count(*) FROM river_job WHERE queue = $1`, server.Queue()).Scan(&mine); err != nil || mine != 3 {
		t.Errorf("%d jobs in the cluster's queue, %v; want 3", mine, err)
	}
	back := database{filepath.Join(t.TempDir(), "back.db")}.OpenFor(t, "lab")
	defer back.Close()
	if _, err := back.Import(t.Context(), strings.NewReader(second)); err != nil {
		t.Fatal(err)
	}
	third, _ := exported(t, back)
	if diff := cmp.Diff(content(t, first), content(t, third)); diff != "" {
		t.Errorf("back in SQLite (-first +third):\n%s", diff)
	}
	rec, err := back.Release(t.Context(), storetest.Release("webapp", 2).ID)
	if err != nil || len(rec.Verdict.Evidence) != 2 || len(rec.Verdict.Evidence[0].Curve) != 1 {
		t.Errorf("a release came back as %+v, %v", rec, err)
	}
	_, err = server.Import(t.Context(), strings.NewReader(first))
	if release.ErrorCode(err) != release.CodeRefused || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a second import: %v", err)
	}
}

func TestAnImportIsWholeOrNothing(t *testing.T) {
	good, _ := exported(t, filled(t))
	lines := strings.SplitAfter(strings.TrimSuffix(good, "\n"), "\n")
	lines[len(lines)-1] += "\n"
	without := func(mark string) string {
		i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, mark) })
		return strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "")
	}
	for _, test := range []struct{ name, text, words string }{
		{"nothing", "", "line 1 of the export: it is cut off"},
		{"another file", "{\"hello\": 1}\n", "line 1 of the export: this is no export"},
		{"no JSON", "hello", "line 1 of the export: invalid character"},
		{"an export of another version", strings.Replace(good, `"schema":`, `"schema":9`, 1), "export and import with the same version"},
		{"one that was cut off", strings.Join(lines[:9], ""), "line 10 of the export: it is cut off"},
		{"one that ends within a line", good[:len(good)-200], "it is cut off"},
		{"a row that is missing", without(`"table":"alerts"`), "3 rows of alerts were exported, but 2 came through"},
		{"a job that is missing", without(`"job":`), "4 rows of river_job were exported, but 3 came through"},
		{"an unknown table", strings.Replace(good, `"table":"alerts"`, `"table":"alarms"`, 1), `there is no table "alarms"`},
		{"an unknown column", strings.Replace(good, `"posted_at"`, `"sent_at"`, 1), "a row of alerts has no column posted_at"},
		{"an audit that was changed", strings.Replace(good, `"why":"worse"`, `"why":"better"`, 1), `the audit of cluster "lab" is not what was written: row`},
		{"evidence that was changed", strings.Replace(good, `quotes`, `quoted`, 1), "the verdict or the evidence of release"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := database{filepath.Join(t.TempDir(), "w.db")}.OpenFor(t, "lab")
			defer s.Close()
			_, err := s.Import(t.Context(), strings.NewReader(test.text))
			if err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("%v; want %q", err, test.words)
			}
			text, counts := exported(t, s)
			for table, n := range counts {
				if n != 0 {
					t.Errorf("%d rows of %s are there:\n%s", n, table, text)
				}
			}
		})
	}
}

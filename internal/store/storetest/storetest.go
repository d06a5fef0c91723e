// Package storetest is what every database behind the store must do.
package storetest

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Database is one empty database that can be opened again and again.
type Database interface {
	// Open opens the database, which no Store has open, with its schema in place.
	Open(t *testing.T) *store.Store
}

// Run puts a database through everything the store promises. fresh makes an
// empty one.
func Run(t *testing.T, fresh func(t *testing.T) Database) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, d Database)
	}{
		{"a record comes back as it was saved, after reopening too", recordSurvives},
		{"a release that is not known is not found", unknownRelease},
		{"a failed write leaves nothing behind", failedWrite},
		{"an action is inserted once", actionOnce},
		{"a settled action never changes", settledStays},
		{"a settled action is opened again only as pending", reopened},
		{"actions are listed and counted by state", actionsListed},
		{"a delivery is read back with what its receiver remembers", deliverySurvives},
		{"what became of a release is kept", aftermathSurvives},
		{"a verdict that is marked wrong stands no more", wrongStands},
		{"all processes keep to one pace", turnsShared},
		{"breakers, grants and regressions are counted in their window", breakersCount},
		{"an incident gathers what nobody was told of", incidentGathers},
		{"retention takes what follows a release with it", retentionTakesAll},
		{"a group is open once, and its members are where they came last", groups},
		{"retention takes groups with their releases", groupRetention},
		{"a plan is read back by its action", planSurvives},
		{"audit rows can be neither changed nor removed", auditOnlyGrows},
		{"whatever is done to the audit behind its back is found", auditTampered},
		{"an audit row holds the digest of the evidence it rests on", auditEvidence},
		{"what is old is removed, and what is not settled stays", retention},
		{"the chain of the audit survives the removal of its beginning", auditRetention},
		{"releases are listed newest first by filter", listing},
		{"a release is live until its verdict is final", liveness},
		{"judged tells the last verdict by ReplicaSet of one workload", judged},
		{"an alert keeps firing over a restart until it is resolved", alertState},
		{"numbers JSON cannot hold are kept as the nearest it can", infinities},
		{"a curve is kept to its bound", longCurve},
		{"jobs of a process that died are available again", reclaim},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s differs (-want +got):\n%s", what, diff)
	}
}

func closeStore(t *testing.T, s *store.Store) {
	t.Helper()
	must(t, s.Close())
}

func recordSurvives(t *testing.T, d Database) {
	s := d.Open(t)
	r := Release("webapp", 2)
	v := Verdict(r, release.Regressed, true)
	Save(t, s, r, v)
	closeStore(t, s)
	s = d.Open(t)
	defer s.Close()
	got, err := s.Release(t.Context(), r.ID)
	must(t, err)
	same(t, "record", store.Record{Release: r, Verdict: v, Policy: release.DefaultPolicy()}, got)

	// Saved again, it is replaced and not doubled.
	v.Evidence = v.Evidence[:1]
	v.Summary = "said anew"
	Save(t, s, r, v)
	got, err = s.Release(t.Context(), r.ID)
	must(t, err)
	same(t, "verdict", v, got.Verdict)
}

func unknownRelease(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	_, err := s.Release(t.Context(), "nosuch")
	same(t, "code", release.CodeNotFound, release.ErrorCode(err))
	_, err = s.Action(t.Context(), "nosuch/alert")
	same(t, "code", release.CodeNotFound, release.ErrorCode(err))
}

func failedWrite(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	r := Release("webapp", 1)
	boom := errors.New("boom")
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		must(t, tx.SaveRelease(r, release.DefaultPolicy()))
		must(t, tx.Audit(release.AuditRow{At: At, Actor: "watchtower", Release: r.ID, What: "release_seen"}))
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("Write answered %v, want the error of its function", err)
	}
	_, err = s.Release(t.Context(), r.ID)
	same(t, "code", release.CodeNotFound, release.ErrorCode(err))
	rows, err := s.Audit(t.Context(), "", 0)
	must(t, err)
	same(t, "audit rows", 0, len(rows))
}

func action(r release.Release, kind release.ActionKind, state release.ActionState) release.Action {
	return release.Action{Key: release.ActionKey(r.ID, kind), Release: r.ID, Kind: kind, State: state, CreatedAt: At, UpdatedAt: At, PendingSince: At}
}

func actionOnce(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	r := Release("webapp", 2)
	Save(t, s, r, Verdict(r, release.Regressed, true))
	a := action(r, release.ActionRollback, release.ActionPending)
	for i, want := range []bool{true, false} {
		must(t, s.Write(t.Context(), func(tx *store.Tx) error {
			inserted, err := tx.InsertAction(a)
			if inserted != want {
				t.Errorf("insert %d answered %v, want %v", i+1, inserted, want)
			}
			return err
		}))
	}
	got, err := s.Actions(t.Context(), r.ID)
	must(t, err)
	same(t, "actions", []release.Action{a}, got)

	err = s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.InsertAction(action(Release("unknown", 1), release.ActionAlert, release.ActionPending))
		return err
	})
	if err == nil {
		t.Fatal("an action of a release that was never saved was taken")
	}
}

func settledStays(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	r := Release("webapp", 2)
	Save(t, s, r, Verdict(r, release.Regressed, true))
	for _, state := range []release.ActionState{release.ActionDone, release.ActionVoid, release.ActionRefused, release.ActionFailed} {
		a := action(r, release.ActionEvent, release.ActionWaiting)
		a.Key += "/" + string(state)
		update := func(state release.ActionState, detail string) (changed bool) {
			a.State, a.Detail, a.UpdatedAt, a.Attempts = state, detail, At.Add(time.Second), 3
			must(t, s.Write(t.Context(), func(tx *store.Tx) (err error) {
				changed, err = tx.UpdateAction(a)
				return err
			}))
			return changed
		}
		must(t, s.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.InsertAction(a); return err }))
		if !update(release.ActionPending, "tried") || !update(state, "settled") {
			t.Fatalf("an open action could not become %s", state)
		}
		if update(release.ActionPending, "again") {
			t.Fatalf("an action that was %s changed", state)
		}
		got, err := s.Action(t.Context(), a.Key)
		must(t, err)
		want := a
		want.State, want.Detail = state, "settled"
		same(t, "action", want, got)
	}
}

func planSurvives(t *testing.T, d Database) {
	s := d.Open(t)
	r := Release("webapp", 2)
	Save(t, s, r, Verdict(r, release.Regressed, true))
	a := action(r, release.ActionRollback, release.ActionPending)
	plan := release.RollbackRequest{Release: r.ID, Workload: r.Workload, From: r.ReplicaSet, Target: *r.Previous, Reason: "worse"}
	must(t, s.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.InsertAction(a); return err }))
	var got release.RollbackRequest
	found, err := s.Plan(t.Context(), a.Key, &got)
	must(t, err)
	same(t, "plan before it was saved", false, found)
	must(t, s.Write(t.Context(), func(tx *store.Tx) error { return tx.SavePlan(a.Key, plan) }))
	closeStore(t, s)
	s = d.Open(t)
	defer s.Close()
	found, err = s.Plan(t.Context(), a.Key, &got)
	must(t, err)
	same(t, "found", true, found)
	same(t, "plan", plan, got)
	err = s.Write(t.Context(), func(tx *store.Tx) error { return tx.SavePlan("nosuch", plan) })
	same(t, "code for an unknown action", release.CodeNotFound, release.ErrorCode(err))
}

func listing(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	kinds := []release.VerdictKind{release.Healthy, release.Regressed, release.InsufficientData}
	for n, kind := range kinds {
		r := Release("webapp", n+1)
		Save(t, s, r, Verdict(r, kind, kind != release.Healthy))
	}
	other := Release("backend", 9)
	other.Workload.Namespace = "ops"
	must(t, s.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveRelease(other, release.DefaultPolicy()) }))
	id := func(n int) release.ID { return Release("webapp", n).ID }
	yes, no := true, false
	for _, test := range []struct {
		name   string
		filter store.Filter
		want   []release.ID
	}{
		{"all", store.Filter{}, []release.ID{other.ID, id(3), id(2), id(1)}},
		{"two", store.Filter{Limit: 2}, []release.ID{other.ID, id(3)}},
		{"before", store.Filter{Before: Release("webapp", 3).SeenAt}, []release.ID{id(2), id(1)}},
		{"namespace", store.Filter{Namespace: "ops"}, []release.ID{other.ID}},
		{"workload", store.Filter{Workload: "webapp", Limit: 1}, []release.ID{id(3)}},
		{"verdict", store.Filter{Verdict: release.Regressed}, []release.ID{id(2)}},
		{"pending without a verdict", store.Filter{Verdict: release.Pending}, []release.ID{other.ID}},
		{"live", store.Filter{Live: &yes}, []release.ID{other.ID, id(1)}},
		{"not live", store.Filter{Live: &no, Workload: "webapp"}, []release.ID{id(3), id(2)}},
		{"none", store.Filter{Workload: "nosuch"}, nil},
	} {
		got, err := s.Releases(t.Context(), test.filter)
		must(t, err)
		var ids []release.ID
		for _, rec := range got {
			ids = append(ids, rec.Release.ID)
			if rec.Verdict.Evidence != nil {
				t.Errorf("%s: the list carries the evidence of %s", test.name, rec.Release.ID)
			}
		}
		same(t, test.name, test.want, ids)
	}
}

func liveness(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	r := Release("webapp", 2)
	live := func() int {
		t.Helper()
		got, err := s.Live(t.Context(), "lab")
		must(t, err)
		return len(got)
	}
	must(t, s.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveRelease(r, release.DefaultPolicy()) }))
	same(t, "live without a verdict", 1, live())
	Save(t, s, r, Verdict(r, release.Healthy, false))
	same(t, "live while healthy may still change", 1, live())
	Save(t, s, r, Verdict(r, release.Healthy, true))
	same(t, "live once final", 0, live())
	Save(t, s, r, Verdict(r, release.Pending, false))
	got, err := s.Live(t.Context(), "another cluster")
	must(t, err)
	same(t, "live in another cluster", 0, len(got))
}

func judged(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	want := make(map[string]release.VerdictKind)
	for n, kind := range []release.VerdictKind{release.Healthy, release.Regressed} {
		r := Release("webapp", n+1)
		Save(t, s, r, Verdict(r, release.Pending, false))
		Save(t, s, r, Verdict(r, kind, true))
		want[r.ReplicaSet.UID] = kind
	}
	other := Release("backend", 1)
	Save(t, s, other, Verdict(other, release.Healthy, true))
	unjudged := Release("webapp", 5)
	must(t, s.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveRelease(unjudged, release.DefaultPolicy()) }))
	got, err := s.Judged(t.Context(), "lab", "uid-webapp")
	must(t, err)
	same(t, "judged", want, got)
}

func alertState(t *testing.T, d Database) {
	s := d.Open(t)
	r := Release("webapp", 2)
	Save(t, s, r, Verdict(r, release.Regressed, true))
	a := store.Alert{Release: r.ID, State: store.AlertFiring, Alert: release.Alert{
		Labels: map[string]string{"alertname": "X"}, Annotations: map[string]string{"summary": "s"}, StartsAt: At, GeneratorURL: "http://w/",
	}}
	for _, want := range []bool{true, false} {
		must(t, s.Write(t.Context(), func(tx *store.Tx) error {
			inserted, err := tx.InsertAlert(a)
			same(t, "inserted", want, inserted)
			return err
		}))
	}
	closeStore(t, s)
	s = d.Open(t)
	defer s.Close()
	firing := func() []store.Alert {
		t.Helper()
		got, err := s.FiringAlerts(t.Context())
		must(t, err)
		return got
	}
	same(t, "firing", []store.Alert{a}, firing())
	at := At.Add(time.Minute)
	a.State, a.PostedAt, a.ResolveAt, a.Alert.Annotations = store.AlertResolving, &at, &at, map[string]string{"summary": "t"}
	must(t, s.Write(t.Context(), func(tx *store.Tx) error { return tx.UpdateAlert(a) }))
	same(t, "resolving", []store.Alert{a}, firing())
	a.State = store.AlertResolved
	must(t, s.Write(t.Context(), func(tx *store.Tx) error { return tx.UpdateAlert(a) }))
	same(t, "resolved", 0, len(firing()))
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		got, found, err := tx.Alert(r.ID)
		same(t, "found", true, found)
		same(t, "alert", a, got)
		return err
	}))
}

func infinities(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	r := Release("webapp", 2)
	v := Verdict(r, release.Regressed, true)
	inf, nan := math.Inf(1), math.NaN()
	v.EValue = inf
	v.Evidence[0].EValue = &inf
	v.Evidence[0].ReleaseValue = nan
	v.Evidence[0].Effect = &release.Effect{Ratio: inf, Low: 3, High: inf}
	v.Evidence[0].Curve[0].ReleaseValue = &inf
	Save(t, s, r, v)
	got, err := s.Release(t.Context(), r.ID)
	must(t, err)
	e := got.Verdict.Evidence[0]
	same(t, "numbers", []float64{math.MaxFloat64, math.MaxFloat64, 0, math.MaxFloat64, 3, math.MaxFloat64, math.MaxFloat64},
		[]float64{got.Verdict.EValue, *e.EValue, e.ReleaseValue, e.Effect.Ratio, e.Effect.Low, e.Effect.High, *e.Curve[0].ReleaseValue})
	if !math.IsInf(*v.Evidence[0].Curve[0].ReleaseValue, 1) {
		t.Error("saving changed the caller's curve")
	}
}

func longCurve(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	r := Release("webapp", 2)
	v := Verdict(r, release.Healthy, false)
	v.Evidence[0].Curve = make([]release.Point, 1000)
	for i := range v.Evidence[0].Curve {
		v.Evidence[0].Curve[i] = release.Point{At: At.Add(time.Duration(i) * time.Second), Release: release.Count{Total: 10, Bad: 1}}
	}
	Save(t, s, r, v)
	got, err := s.Release(t.Context(), r.ID)
	must(t, err)
	same(t, "points", store.MaxCurvePoints, len(got.Verdict.Evidence[0].Curve))
}

func reclaim(t *testing.T, d Database) {
	s := d.Open(t)
	for _, state := range []string{"running", "available"} {
		_, err := s.DB().ExecContext(t.Context(), `INSERT INTO river_job (kind, args, state, max_attempts) VALUES ('x', '{}', '`+state+`', 5)`)
		must(t, err)
	}
	_, err := s.DB().ExecContext(context.Background(),
		`INSERT INTO river_leader (elected_at, expires_at, leader_id) VALUES ('2026-01-01', '2099-01-01', '`+s.ClientID()+`')`)
	must(t, err)
	closeStore(t, s)
	s = d.Open(t)
	defer s.Close()
	n, err := s.ReclaimJobs(t.Context())
	must(t, err)
	same(t, "reclaimed", 1, n)
	var available, leaders int
	must(t, s.DB().QueryRowContext(t.Context(), `SELECT count(*) FROM river_job WHERE state = 'available'`).Scan(&available))
	must(t, s.DB().QueryRowContext(t.Context(), `SELECT count(*) FROM river_leader`).Scan(&leaders))
	same(t, "available", 2, available)
	same(t, "leaders", 0, leaders)
}

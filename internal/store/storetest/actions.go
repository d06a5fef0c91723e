package storetest

import (
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

func write(t *testing.T, s *store.Store, f func(tx *store.Tx) error) {
	t.Helper()
	must(t, s.Write(t.Context(), f))
}

func reopened(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	r := Release("webapp", 2)
	Save(t, s, r, Verdict(r, release.Regressed, true))
	a := action(r, release.ActionIssue, release.ActionFailed)
	a.Attempts = 7
	later := At.Add(time.Hour)
	for _, want := range []bool{true, false} {
		write(t, s, func(tx *store.Tx) error {
			if _, err := tx.InsertAction(a); err != nil {
				return err
			}
			changed, err := tx.ReopenAction(a.Key, "again", later)
			same(t, "changed", want, changed)
			return err
		})
	}
	got, err := s.Action(t.Context(), a.Key)
	must(t, err)
	a.State, a.Detail, a.Attempts, a.UpdatedAt, a.PendingSince = release.ActionPending, "again", 0, later, later
	same(t, "action", a, got)
}

func actionsListed(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	r := Release("webapp", 2)
	Save(t, s, r, Verdict(r, release.Regressed, true))
	until := At.Add(time.Hour)
	failed, waiting, done := action(r, release.ActionIssue, release.ActionFailed), action(r, release.ActionRollback, release.ActionWaiting), action(r, release.ActionEvent, release.ActionDone)
	waiting.WaitsFor, waiting.ExpiresAt = release.WaitsForApproval, &until
	sent := action(r, release.ActionMessage, release.ActionFailed)
	sent.Key, sent.Sink, sent.UpdatedAt = release.SinkKey(r.ID, release.ActionMessage, "pager"), "pager", At.Add(time.Minute)
	all := []release.Action{sent, done, failed, waiting} // changed last first, then by key
	write(t, s, func(tx *store.Tx) error {
		for _, a := range all {
			if _, err := tx.InsertAction(a); err != nil {
				return err
			}
		}
		return nil
	})
	for _, test := range []struct {
		name   string
		filter store.ActionFilter
		want   []release.Action
	}{
		{"all", store.ActionFilter{Limit: -1}, all},
		{"a few", store.ActionFilter{Limit: 1}, all[:1]},
		{"failed", store.ActionFilter{State: release.ActionFailed}, []release.Action{sent, failed}},
		{"failed messages", store.ActionFilter{State: release.ActionFailed, Kind: release.ActionMessage}, []release.Action{sent}},
		{"overdue", store.ActionFilter{WaitsFor: release.WaitsForApproval, Before: until}, []release.Action{waiting}},
		{"not yet overdue", store.ActionFilter{WaitsFor: release.WaitsForApproval, Before: until.Add(-time.Second)}, nil},
	} {
		got, err := s.ListActions(t.Context(), test.filter)
		must(t, err)
		same(t, test.name, test.want, got)
	}
	counts, err := s.CountActions(t.Context())
	must(t, err)
	same(t, "counts", 3, len(counts))
	write(t, s, func(tx *store.Tx) error {
		changed, err := tx.DropAction(failed.Key, "seen to", At)
		same(t, "dropped", true, changed)
		if err != nil {
			return err
		}
		changed, err = tx.DropAction(done.Key, "seen to", At)
		same(t, "dropped what was done", false, changed)
		return err
	})
}

func deliverySurvives(t *testing.T, d Database) {
	s := d.Open(t)
	r := Release("webapp", 2)
	Save(t, s, r, Verdict(r, release.Regressed, true))
	a := action(r, release.ActionMessage, release.ActionPending)
	a.Key, a.Sink = release.SinkKey(r.ID, release.ActionMessage, "chat"), "chat"
	want := store.Delivery{
		Key: a.Key, Release: r.ID, Sink: "chat", Sequence: 2, ToldSequence: 1, Told: release.SaysHealthy,
		Opening: &release.Message{Key: "k", Sequence: 2, State: release.SaysRegressed, Headline: "it got worse"}, Ref: []byte("\x00\xff ts"),
	}
	until := At.Add(time.Hour)
	want.SnoozedUntil = &until
	write(t, s, func(tx *store.Tx) error {
		if _, err := tx.InsertAction(a); err != nil {
			return err
		}
		return tx.SaveDelivery(want)
	})
	closeStore(t, s)
	s = d.Open(t)
	defer s.Close()
	got, found, err := s.Delivery(t.Context(), a.Key)
	must(t, err)
	same(t, "found", true, found)
	same(t, "delivery", want, got)
	same(t, "behind", true, got.Behind())
	same(t, "snoozed", []bool{true, false}, []bool{got.Snoozed(At), got.Snoozed(until)})
	want.Opening, want.ToldSequence, want.Ref, want.SnoozedUntil = nil, 2, nil, nil
	write(t, s, func(tx *store.Tx) error {
		must(t, tx.SaveDelivery(want))
		all, err := tx.Deliveries(r.ID)
		same(t, "deliveries", []store.Delivery{want}, all)
		return err
	})
	_, found, err = s.Delivery(t.Context(), "nosuch")
	must(t, err)
	same(t, "found", false, found)
}

func aftermathSurvives(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	r := Release("webapp", 2)
	Save(t, s, r, Verdict(r, release.Regressed, true))
	got, err := s.Aftermath(t.Context(), r.ID)
	must(t, err)
	same(t, "nothing yet", store.Aftermath{Release: r.ID}, got)
	at := At
	want := store.Aftermath{
		Release: r.ID, Restored: release.ActionDone, RestoredDetail: "it is back", RestoredAt: &at, Closed: "superseded",
		Wrong:        &release.Mark{At: At, By: "ann", Why: "it was the load test"},
		Acknowledged: &release.Acknowledgement{What: release.Acknowledged, Who: "Ada", Where: "PagerDuty", At: At},
	}
	write(t, s, func(tx *store.Tx) error { return tx.SaveAftermath(want) })
	got, err = s.Aftermath(t.Context(), r.ID)
	must(t, err)
	same(t, "aftermath", want, got)
	want.Wrong, want.Acknowledged = nil, nil
	write(t, s, func(tx *store.Tx) error { return tx.SaveAftermath(want) })
	got, err = s.Aftermath(t.Context(), r.ID)
	must(t, err)
	same(t, "aftermath", want, got)
}

func breakersCount(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	r, other := Release("webapp", 2), Release("backend", 2)
	for _, one := range []release.Release{r, other} {
		Save(t, s, one, Verdict(one, release.Regressed, true))
	}
	until := At.Add(time.Hour)
	cluster, shop := release.Breaker{Cluster: r.Workload.Cluster, Open: true, ChangedAt: At, ClosesAt: &until, Actor: "watchtower", Why: "too much"},
		release.Breaker{Cluster: r.Workload.Cluster, Namespace: r.Workload.Namespace, ChangedAt: At, Actor: "ann", Why: "fine now"}
	write(t, s, func(tx *store.Tx) error {
		for _, b := range []release.Breaker{shop, cluster, cluster} {
			must(t, tx.SaveBreaker(b))
		}
		for n, one := range []release.Release{r, other, r} {
			a := action(one, release.ActionRollback, release.ActionPending)
			if _, err := tx.InsertAction(a); err != nil {
				return err
			}
			must(t, tx.Grant(a.Key, one.Workload, At.Add(time.Duration(n)*time.Minute)))
			must(t, tx.InsertRegression(one, At.Add(time.Duration(n)*time.Minute), ""))
		}
		count := func(namespace string, since time.Time) int {
			n, err := tx.Granted(r.Workload.Cluster, namespace, since)
			must(t, err)
			return n
		}
		same(t, "granted", []int{2, 2, 1, 0}, []int{
			count("", At), count(r.Workload.Namespace, At), count("", At.Add(time.Second)), count("elsewhere", At),
		})
		must(t, tx.Ungrant(release.ActionKey(r.ID, release.ActionRollback)))
		same(t, "granted after one did nothing", 1, count("", At))
		n, err := tx.RegressedSince(r.Workload.Cluster, At)
		same(t, "regressed", 2, n)
		return err
	})
	got, err := s.Breakers(t.Context(), r.Workload.Cluster)
	must(t, err)
	same(t, "breakers", []release.Breaker{cluster, shop}, got)
	same(t, "holding", "", release.Holding(got, r.Workload.Namespace, At).Namespace)
	if b := release.Holding(got, r.Workload.Namespace, until); b != nil {
		t.Errorf("%+v holds after its time", b)
	}
}

func incidentGathers(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	told, quiet, late := Release("told", 2), Release("quiet", 2), Release("late", 2)
	for _, r := range []release.Release{told, quiet, late} {
		Save(t, s, r, Verdict(r, release.Regressed, true))
	}
	i := store.Incident{ID: "incident-1", Cluster: told.Workload.Cluster, Release: told.ID, Why: "too many", State: store.AlertFiring, OpenedAt: At}
	posted := At
	write(t, s, func(tx *store.Tx) error {
		for _, r := range []release.Release{told, quiet} {
			must(t, tx.InsertRegression(r, At, ""))
			a := store.Alert{Release: r.ID, State: store.AlertFiring, Alert: release.Alert{StartsAt: At}}
			if r.ID == told.ID {
				a.PostedAt = &posted
			}
			_, err := tx.InsertAlert(a)
			must(t, err)
		}
		must(t, tx.SaveIncident(i))
		must(t, tx.Gather(i.ID, i.Cluster, At.Add(-time.Minute)))
		must(t, tx.InsertRegression(late, At.Add(time.Minute), i.ID))
		open, found, err := tx.OpenIncident(i.Cluster)
		same(t, "found", true, found)
		same(t, "incident", i, open)
		n, err2 := tx.Unsettled(i.ID)
		must(t, err2)
		same(t, "unsettled", 2, n)
		return err
	})
	members, err := s.Members(t.Context(), i.ID)
	must(t, err)
	var ids []release.ID
	for _, m := range members {
		ids = append(ids, m.Release.ID)
	}
	same(t, "members", []release.ID{quiet.ID, late.ID}, ids)
	alerts, err := s.FiringAlerts(t.Context())
	must(t, err)
	same(t, "alerts that are posted", 1, len(alerts))
	same(t, "alert", told.ID, alerts[0].Release)
	i.Acknowledged = &release.Acknowledgement{What: release.Acknowledged, Who: "Ada", Where: "PagerDuty", At: At}
	write(t, s, func(tx *store.Tx) error {
		must(t, tx.SaveIncident(i))
		return tx.SaveAftermath(store.Aftermath{Release: late.ID, Wrong: &release.Mark{At: At, By: "ann", Why: "so it is"}})
	})
	firing, err := s.FiringIncidents(t.Context())
	must(t, err)
	same(t, "firing incidents", []store.Incident{i}, firing)
	members, err = s.Members(t.Context(), i.ID)
	must(t, err)
	same(t, "who marked the last one wrong", "ann", members[1].Aftermath.Wrong.By+members[1].Verdict.Wrong.By[3:])
	write(t, s, func(tx *store.Tx) error {
		n, err := tx.Unsettled(i.ID)
		same(t, "unsettled after one was marked wrong", 1, n)
		return err
	})
	i.State, i.EndedAt = store.AlertResolved, &posted
	write(t, s, func(tx *store.Tx) error { return tx.SaveIncident(i) })
	firing, err = s.FiringIncidents(t.Context())
	must(t, err)
	same(t, "firing incidents", 0, len(firing))
}

func retentionTakesAll(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	old := Release("webapp", 2)
	Save(t, s, old, Verdict(old, release.Regressed, true))
	for n := range 25 { // as many as stay of a workload
		young := Release("webapp", n+3)
		young.SeenAt = At.Add(1000 * time.Hour)
		Save(t, s, young, Verdict(young, release.Healthy, true))
	}
	a := action(old, release.ActionMessage, release.ActionDone)
	a.Key = release.SinkKey(old.ID, release.ActionMessage, "chat")
	write(t, s, func(tx *store.Tx) error {
		_, err := tx.InsertAction(a)
		must(t, err)
		must(t, tx.SaveDelivery(store.Delivery{Key: a.Key, Release: old.ID, Sink: "chat", Sequence: 1}))
		must(t, tx.SaveAftermath(store.Aftermath{Release: old.ID, Closed: "superseded"}))
		must(t, tx.InsertRegression(old, At, "incident-1"))
		must(t, tx.Grant(a.Key, old.Workload, At))
		return tx.SaveIncident(store.Incident{ID: "incident-1", Cluster: old.Workload.Cluster, Release: old.ID, State: store.AlertResolved, OpenedAt: At})
	})
	removed, err := s.Retain(t.Context(), store.Retention{Releases: 30 * 24 * time.Hour}, At.Add(1000*time.Hour))
	must(t, err)
	same(t, "removed", 1, removed.Releases)
	_, found, err := s.Delivery(t.Context(), a.Key)
	must(t, err)
	same(t, "found", false, found)
}

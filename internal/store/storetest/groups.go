package storetest

import (
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// group is one of the chat's, opened by a release.
func group(id, key string, r release.Release) store.Group {
	return store.Group{ID: id, Cluster: "lab", Key: key, Sink: "chat", Release: r.ID, Wait: 30 * time.Second, Interval: 5 * time.Minute, OpenedAt: At}
}

func groups(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	a, b := Release("webapp", 1), Release("cart", 1)
	for _, r := range []release.Release{a, b} {
		Save(t, s, r, Verdict(r, release.Regressed, true))
	}
	first, second := group("group-1", "k", a), group("group-2", "k", b)
	opening := &release.Message{Key: release.MessageKey(a.ID), Release: a.ID, Sequence: 1, State: release.SaysRegressed, Headline: "it regressed"}
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		must(t, tx.SaveGroup(first))
		must(t, tx.Join(first, a.ID, opening, At))
		must(t, tx.Join(first, a.ID, nil, At.Add(time.Hour))) // it keeps its place, and what it said
		return tx.Join(first, b.ID, nil, At.Add(time.Minute))
	}))
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveGroup(second) }); err == nil {
		t.Error("two groups of one key and receiver are open")
	}
	members, err := s.GroupMembers(t.Context(), first)
	must(t, err)
	same(t, "members", []release.ID{a.ID, b.ID}, []release.ID{members[0].Release.ID, members[1].Release.ID})
	same(t, "opening", opening, members[0].Opening)
	same(t, "verdict of a member", release.Regressed, members[0].Verdict.Kind)

	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		must(t, tx.ToldInGroup(first, map[release.ID]release.MessageState{a.ID: release.SaysRegressed}, true))
		in, err := tx.Memberships(a.ID)
		must(t, err)
		same(t, "membership", map[string]store.Membership{"chat": {Group: first, Told: release.SaysRegressed}}, in)
		ended := At.Add(time.Hour)
		first.EndedAt = &ended
		must(t, tx.SaveGroup(first))
		_, found, err := tx.OpenGroup("lab", "k", "chat")
		must(t, err)
		same(t, "an open group", false, found)
		must(t, tx.SaveGroup(second))
		got, _, err := tx.OpenGroup("lab", "k", "chat")
		must(t, err)
		same(t, "the open group", second, got)
		_, found, err = tx.OpenGroup("other", "k", "chat")
		same(t, "an open group of another cluster", false, found)
		must(t, err)
		return tx.Join(second, a.ID, nil, ended)
	}))
	members, err = s.GroupMembers(t.Context(), second)
	must(t, err)
	same(t, "what was told of one that moved", release.SaysRegressed, members[0].Told)
	if members[0].Opening != nil {
		t.Errorf("the opening is told already: %+v", members[0].Opening)
	}
	members, err = s.GroupMembers(t.Context(), first)
	must(t, err)
	same(t, "members that are left", 1, len(members))
	got, found, err := s.Group(t.Context(), "group-1")
	must(t, err)
	same(t, "found", true, found)
	same(t, "ended", first, got)
}

// A group goes with the release that opened it, and a member with its own.
func groupRetention(t *testing.T, d Database) {
	s := d.Open(t)
	defer s.Close()
	old, young := Release("gone", 1), Release("webapp", 1)
	young.SeenAt = At.Add(500 * day)
	for _, r := range []release.Release{old, young} {
		Save(t, s, r, Verdict(r, release.Healthy, true))
	}
	byOld, byYoung := group("group-1", "k", old), group("group-2", "l", young)
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		must(t, tx.SaveGroup(byOld))
		must(t, tx.SaveGroup(byYoung))
		must(t, tx.Join(byOld, young.ID, nil, At))
		return tx.Join(byYoung, old.ID, nil, At)
	}))
	_, err := s.Retain(t.Context(), store.Retention{Releases: 400 * day}, At.Add(501*day))
	must(t, err)
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		in, err := tx.Memberships(young.ID)
		must(t, err)
		same(t, "groups of the young release", 0, len(in))
		_, found, err := tx.Group("group-1")
		must(t, err)
		same(t, "the old release's group is there", false, found)
		_, found, err = tx.Group("group-2")
		same(t, "the young release's group is there", true, found)
		return err
	}))
}

package respond

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

const groupPrefix = "group-"

func ofGroup(d store.Delivery) bool { return strings.HasPrefix(string(d.Release), groupPrefix) }

// Grouping is how a receiver is told of releases together.
type Grouping struct {
	// Key is the same for all that it is told of together.
	Key string
	// Wait is how long the first message waits for others, Interval what is at least
	// between two messages.
	Wait, Interval time.Duration
}

// speakInGroup has a receiver told of a release in its group, where its route, or
// what it was told before, has it in one. alone is whether it is told of it by
// itself: where there is no group, and where a person is waited for, whom nothing
// may keep from hearing of it.
func (r *Responder) speakInGroup(ctx context.Context, tx *store.Tx, d store.Delivery, in store.Membership, facts message.Facts) (alone bool, err error) {
	facts.Before = in.Told
	m := message.Of(facts, r.deps.Places)
	g, found, err := r.groupFor(tx, d, in, m)
	if err != nil || !found {
		return true, err
	}
	if err := r.bumpGroup(ctx, tx, g, m); err != nil {
		return false, err
	}
	return d.Sequence > 0 || m.State == release.SaysWaiting, nil
}

// groupFor is the group of a message: the one the release is in, while that is
// open or as long as nothing about the release is; otherwise the one that is open
// for its key, or a new one.
func (r *Responder) groupFor(tx *store.Tx, d store.Delivery, in store.Membership, m release.Message) (g store.Group, found bool, err error) {
	member := in.ID != ""
	if member && (in.EndedAt == nil || !m.State.Open()) {
		return in.Group, true, nil
	}
	grouping := Grouping{in.Key, in.Wait, in.Interval}
	if !member {
		if r.deps.Group == nil || d.Sequence > 0 {
			return store.Group{}, false, nil
		}
		if grouping, found = r.deps.Group(m, d.Sink); !found {
			return store.Group{}, false, nil
		}
	}
	cluster := m.Workload.Cluster
	g, found, err = tx.OpenGroup(cluster, grouping.Key, d.Sink)
	if err != nil {
		return store.Group{}, false, err
	}
	if !found {
		now := time.Now()
		g = store.Group{ID: groupID(cluster, grouping.Key, d.Sink, now), Cluster: cluster, Key: grouping.Key, Sink: d.Sink, Release: m.Release, OpenedAt: now}
	}
	g.Wait, g.Interval = grouping.Wait, grouping.Interval
	return g, true, tx.SaveGroup(g)
}

// groupID is short, so that it can be a key at a receiver.
func groupID(cluster, key, sink string, now time.Time) string {
	sum := sha256.Sum256([]byte(cluster + "\x00" + key + "\x00" + sink))
	return groupPrefix + hex.EncodeToString(sum[:8]) + "-" + fmt.Sprint(now.UnixMilli())
}

// bumpGroup has a release in a group, and the receiver told of what it says.
func (r *Responder) bumpGroup(ctx context.Context, tx *store.Tx, g store.Group, m release.Message) error {
	id := release.ID(g.ID)
	key := release.SinkKey(id, release.ActionMessage, g.Sink)
	d, found, err := tx.Delivery(key)
	if err != nil {
		return err
	}
	if !found {
		d = store.Delivery{Key: key, Release: id, Sink: g.Sink}
	}
	var opening *release.Message
	if m.State.Open() && !d.Told.Open() {
		m.Sequence = d.Sequence + 1
		opening = &m
	}
	if err := tx.Join(g, m.Release, opening, time.Now()); err != nil {
		return err
	}
	return r.bump(ctx, tx, d, g.Release)
}

// group is how a group stands. What opened and is over before anybody was told is
// told as it was first.
func (r *Responder) group(ctx context.Context, d store.Delivery) (bundle, error) {
	g, found, err := r.store.Group(ctx, string(d.Release))
	if err != nil || !found {
		return bundle{}, fmt.Errorf("group %s is not known: %w", d.Release, err)
	}
	members, err := r.store.GroupMembers(ctx, g)
	if err != nil {
		return bundle{}, err
	}
	b := bundle{wait: g.Wait, interval: g.Interval, group: &g, over: true}
	if len(members) == 0 {
		b.silent = "told together with others that regressed at the same time"
		return b, nil
	}
	var openings []release.Message
	alone := d.Told == ""
	for _, one := range members {
		facts := factsOf(one.Record, one.Actions, one.Aftermath)
		facts.Before = one.Told
		m := message.Of(facts, r.deps.Places)
		b.each = append(b.each, m)
		b.over = b.over && m.State.Over()
		alone = alone && one.Alone
		if one.Opening != nil {
			openings = append(openings, *one.Opening)
		}
	}
	if alone {
		b.silent = "each of them is told by itself"
		return b, nil
	}
	b.message = message.Together(message.KindGroup, g.ID, d.Sequence, b.each, r.deps.Places, time.Now())
	if !d.Told.Open() && !b.message.State.Open() && len(openings) > 0 {
		sequence := 0
		for _, m := range openings {
			sequence = max(sequence, m.Sequence)
		}
		b.message = message.Together(message.KindGroup, g.ID, sequence, openings, r.deps.Places, time.Now())
		b.each, b.begun = openings, true
	}
	return b, nil
}

// statesOf are what a message of many says of each.
func statesOf(m release.Message) map[release.ID]release.MessageState {
	out := make(map[release.ID]release.MessageState, len(m.Members))
	for _, one := range m.Members {
		out[one.Message.Release] = one.State
	}
	return out
}

// endGroup ends a group of which nothing is open, nor left to tell. What opens
// after that is another group.
func endGroup(tx *store.Tx, b bundle) error {
	if b.group == nil || !b.over {
		return nil
	}
	g, found, err := tx.Group(b.group.ID)
	if err != nil || !found || g.EndedAt != nil {
		return err
	}
	now := time.Now()
	g.EndedAt = &now
	return tx.SaveGroup(g)
}

package apitest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Desk is what people do about actions, in memory; Asked is what they asked for.
type Desk struct {
	Entries *Memory
	Open    []release.Breaker
	Asked   []string
	Err     error
}

// ListActions answers with the actions of all releases.
func (d *Desk) ListActions(_ context.Context, f store.ActionFilter) ([]release.Action, error) {
	var out []release.Action
	for _, e := range d.Entries.Entries {
		for _, a := range e.Actions {
			if (f.State == "" || f.State == a.State) && (f.Kind == "" || f.Kind == a.Kind) {
				out = append(out, a)
			}
		}
	}
	return out[:min(len(out), f.Limit)], d.Err
}

// Action answers with one.
func (d *Desk) Action(_ context.Context, key string) (release.Action, error) {
	for _, e := range d.Entries.Entries {
		if i := slices.IndexFunc(e.Actions, func(a release.Action) bool { return a.Key == key }); i >= 0 {
			return e.Actions[i], nil
		}
	}
	return release.Action{}, release.E(release.CodeNotFound, "action "+key+" is not known", nil)
}

func (d *Desk) ask(what string, by release.By) error {
	d.Asked = append(d.Asked, fmt.Sprintf("%s by %s: %s", what, by.Actor, by.Reason))
	return d.Err
}

// Approve notes that it was asked for.
func (d *Desk) Approve(_ context.Context, id release.ID, by release.By) error {
	return d.ask("approve "+string(id), by)
}

// Reject notes that it was asked for.
func (d *Desk) Reject(_ context.Context, id release.ID, by release.By) error {
	return d.ask("reject "+string(id), by)
}

// RollBack notes that it was asked for.
func (d *Desk) RollBack(_ context.Context, id release.ID, by release.By) error {
	return d.ask("roll back "+string(id), by)
}

// MarkWrong notes that it was asked for.
func (d *Desk) MarkWrong(_ context.Context, id release.ID, by release.By) error {
	return d.ask("mark wrong "+string(id), by)
}

// Snooze notes that it was asked for, at a fixed time.
func (d *Desk) Snooze(_ context.Context, id release.ID, receiver string, within time.Duration, by release.By) (time.Time, error) {
	return time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC).Add(within), d.ask(fmt.Sprintf("snooze %s at %q for %s", id, receiver, within), by)
}

// Retry notes that it was asked for.
func (d *Desk) Retry(_ context.Context, key string, by release.By) error {
	return d.ask("retry "+key, by)
}

// Drop notes that it was asked for.
func (d *Desk) Drop(_ context.Context, key string, by release.By) error {
	return d.ask("drop "+key, by)
}

// Breakers answers with Open.
func (d *Desk) Breakers(context.Context) ([]release.Breaker, error) { return d.Open, d.Err }

// OpenBreaker opens one at a fixed time.
func (d *Desk) OpenBreaker(_ context.Context, namespace string, within time.Duration, by release.By) error {
	b := release.Breaker{
		Cluster: "prod", Namespace: namespace, Open: true, Actor: by.Actor, Why: by.Reason,
		ChangedAt: time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC),
	}
	if within > 0 {
		at := b.ChangedAt.Add(within)
		b.ClosesAt = &at
	}
	d.Open = append(d.Open, b)
	return d.ask(fmt.Sprintf("open %s for %s", b.Scope(), within), by)
}

// CloseBreaker closes those of a namespace.
func (d *Desk) CloseBreaker(_ context.Context, namespace string, resume bool, by release.By) error {
	d.Open = slices.DeleteFunc(d.Open, func(b release.Breaker) bool { return b.Namespace == namespace })
	return d.ask(fmt.Sprintf("close %q resume %v", namespace, resume), by)
}

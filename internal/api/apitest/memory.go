// Package apitest holds releases for tests of the API, the pages and the
// command line: a list in memory that answers as the store does, and releases
// such as a cluster has.
package apitest

import (
	"context"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Entry is one release with its actions and audit rows.
type Entry struct {
	store.Record
	Actions []release.Action
	Audit   []release.AuditRow
}

// Memory answers like the store. Err, when set, is the answer to everything.
type Memory struct {
	Entries []Entry // newest first
	Err     error
}

// Releases answers newest first, without evidence and policies.
func (m *Memory) Releases(_ context.Context, f store.Filter) ([]store.Record, error) {
	if m.Err != nil {
		return nil, m.Err
	}
	var out []store.Record
	for _, e := range m.Entries {
		r, v := e.Release, e.Verdict
		if (f.Namespace != "" && f.Namespace != r.Workload.Namespace) || (f.Workload != "" && f.Workload != r.Workload.Name) ||
			(f.Verdict != "" && f.Verdict != v.Kind) || (f.Live != nil && *f.Live != e.Live) ||
			(!f.Before.IsZero() && r.SeenAt.UnixMilli() >= f.Before.UnixMilli()) {
			continue
		}
		if f.Limit > 0 && len(out) == f.Limit {
			break
		}
		rec := e.Record
		rec.Policy, rec.Verdict.Evidence = release.Policy{}, nil
		out = append(out, rec)
	}
	return out, nil
}

func (m *Memory) find(id release.ID) (Entry, error) {
	if m.Err != nil {
		return Entry{}, m.Err
	}
	for _, e := range m.Entries {
		if e.Release.ID == id {
			return e, nil
		}
	}
	return Entry{}, release.E(release.CodeNotFound, "release "+string(id)+" is not known", nil)
}

// Release answers with the whole record or CodeNotFound.
func (m *Memory) Release(_ context.Context, id release.ID) (store.Record, error) {
	e, err := m.find(id)
	return e.Record, err
}

// Actions answers with what was done, oldest first.
func (m *Memory) Actions(_ context.Context, id release.ID) ([]release.Action, error) {
	e, err := m.find(id)
	return e.Actions, err
}

// Audit answers with the last limit rows, oldest first.
func (m *Memory) Audit(_ context.Context, id release.ID, limit int) ([]release.AuditRow, error) {
	e, err := m.find(id)
	return e.Audit[max(0, len(e.Audit)-limit):], err
}

package signal

import (
	"context"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// History counts what each subject's whole workload did, all its pods of
// whatever ReplicaSet, in the ticks of the given length of time before the
// tick that holds StartedAt. Only the stable side of the readings is filled.
// Nothing of it is kept: after an error it is simply asked for again.
func (r *Reader) History(ctx context.Context, subjects []Subject, length time.Duration) map[release.ID]Result {
	ticks := length.Milliseconds() / r.grid.tick
	return r.once(ctx, subjects, func(s Subject) *tracked {
		end := r.grid.first(s.StartedAt)
		t := r.newTracked(s, true, end-ticks*r.grid.tick)
		t.until = end
		return t
	})
}

// Rollouts counts both arms of each subject in the ticks of the given length of time from
// the tick that holds StartedAt on, as Read did or would have. Nothing of it is kept.
func (r *Reader) Rollouts(ctx context.Context, subjects []Subject, length time.Duration) map[release.ID]Result {
	return r.once(ctx, subjects, func(s Subject) *tracked {
		begin := r.grid.first(s.StartedAt)
		t := r.newTracked(s, false, begin)
		t.until = begin + length.Milliseconds()/r.grid.tick*r.grid.tick
		return t
	})
}

// once counts subjects of which nothing is kept.
func (r *Reader) once(ctx context.Context, subjects []Subject, track func(Subject) *tracked) map[release.ID]Result {
	all := make([]*tracked, 0, len(subjects))
	out := make(map[release.ID]Result, len(subjects))
	for _, s := range subjects {
		t := track(s)
		t.setPods(s)
		all = append(all, t)
	}
	sortTracked(all)
	r.run(ctx, all)
	for _, t := range all {
		// Those that shared queries with later ones were brought too far.
		end := fromMillis(t.until)
		t.pending = slices.DeleteFunc(t.pending, func(rd Reading) bool { return rd.To.After(end) })
		out[t.subject.ID] = r.result(t)
	}
	return out
}

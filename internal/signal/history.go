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
	all := make([]*tracked, 0, len(subjects))
	out := make(map[release.ID]Result, len(subjects))
	ticks := length.Milliseconds() / r.grid.tick
	for _, s := range subjects {
		end := r.grid.first(s.StartedAt)
		t := r.newTracked(s, true, end-ticks*r.grid.tick)
		t.until = end
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

package app

import (
	"context"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/respond"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/verify"
)

// recorder is what the loop calls to have things kept and acted on.
type recorder struct {
	cluster   string
	store     *store.Store
	responder *respond.Responder
}

var _ verify.Recorder = (*recorder)(nil)

// Seen stores the release.
func (r *recorder) Seen(ctx context.Context, rel release.Release, p release.Policy) error {
	return r.responder.Seen(ctx, rel, p)
}

func (r *recorder) Decide(ctx context.Context, rel release.Release, v release.Verdict, p release.Policy) error {
	return r.responder.Decide(ctx, rel, v, p)
}

// Superseded closes the workload's earlier regressed releases: what fires for
// them ends, what waits for approval is void.
func (r *recorder) Superseded(ctx context.Context, w release.Workload, by release.ID, why string) error {
	const newest = 50
	earlier, err := r.store.Releases(ctx, store.Filter{
		Namespace: w.Namespace, Workload: w.Name, Verdict: release.Regressed, Limit: newest,
	})
	if err != nil {
		return err
	}
	for _, rec := range earlier {
		if rec.Release.ID == by || rec.Release.Workload.UID != w.UID {
			continue
		}
		if err := r.responder.Closed(ctx, rec.Release.ID, why); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) Refused(ctx context.Context, id release.ID, what, why string) error {
	return r.store.Write(ctx, func(tx *store.Tx) error {
		return tx.Audit(release.AuditRow{
			At: time.Now(), Actor: "watchtower", Release: id, What: what, Outcome: "refused", Why: why,
		})
	})
}

func (r *recorder) Live(ctx context.Context) ([]verify.Recorded, error) {
	records, err := r.store.Live(ctx, r.cluster)
	if err != nil {
		return nil, err
	}
	out := make([]verify.Recorded, 0, len(records))
	for _, rec := range records {
		out = append(out, verify.Recorded{Release: rec.Release, Policy: rec.Policy, Verdict: rec.Verdict})
	}
	return out, nil
}

func (r *recorder) Judged(ctx context.Context, w release.Workload) (map[string]release.VerdictKind, error) {
	return r.store.Judged(ctx, r.cluster, w.UID)
}

// Earlier lists the last releases of a workload that proved sound. One that was taken
// back although it was sound tells of its time until then.
func (r *recorder) Earlier(ctx context.Context, rel release.Release) ([]verify.Earlier, error) {
	const newest = 30
	records, err := r.store.Releases(ctx, store.Filter{
		Namespace: rel.Workload.Namespace, Workload: rel.Workload.Name, Before: rel.SeenAt, Limit: newest,
	})
	if err != nil {
		return nil, err
	}
	var out []verify.Earlier
	until := rel.StartedAt
	for _, rec := range records {
		e := rec.Release
		if e.ID == rel.ID || e.Workload.UID != rel.Workload.UID {
			continue
		}
		if !rec.Live && e.Previous != nil && verify.Sound(rec.Verdict) {
			last := until
			if rec.Verdict.Wrong != nil {
				after, err := r.store.Aftermath(ctx, e.ID)
				if err != nil {
					return nil, err
				}
				if after.Restored != "" {
					last = rec.Verdict.UpdatedAt
				}
			}
			out = append(out, verify.Earlier{ReplicaSet: e.ReplicaSet.Name, Previous: e.Previous.Name, StartedAt: e.StartedAt, Until: last})
		}
		until = e.StartedAt
	}
	return out, nil
}

// rollouts passes what the watcher sees to the verifier; a replica that stands
// by has none.
type rollouts struct{ verifier *verify.Verifier }

// Rollout passes a rollout on.
func (h *rollouts) Rollout(r release.Rollout) {
	if h.verifier != nil {
		h.verifier.Rollout(r)
	}
}

// Gone passes a deletion on.
func (h *rollouts) Gone(w release.Workload) {
	if h.verifier != nil {
		h.verifier.Gone(w)
	}
}

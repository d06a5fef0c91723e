package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// Audit is the audit of the cluster. All may be called at the same time and
// return early when ctx ends.
type Audit interface {
	// Audit returns the last limit rows of a release, or of the cluster with an
	// empty id, oldest first.
	Audit(ctx context.Context, id release.ID, limit int) ([]release.AuditRow, error)
	// AuditAfter returns up to limit rows after one, in order.
	AuditAfter(ctx context.Context, after int64, limit int) ([]release.AuditRow, error)
	// AuditMarks returns the last row there is, and the last that was removed.
	AuditMarks(ctx context.Context) (head, base release.AuditMark, err error)
}

func describeAudit(api huma.API, s *service) {
	huma.Register(api, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: wire.AuditPath,
		Summary: "List the audit of the cluster, oldest first",
		Description: "Without 'after' the last rows. Each row holds the hash of the one before it and of itself; " +
			"`watchtower audit verify` reads all of them and checks that they are a chain.",
		Errors: []int{http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable},
	}, s.listAudit)
}

type auditInput struct {
	Release string `query:"release" maxLength:"64" pattern:"^[0-9A-Za-z-]*$" doc:"Only the last rows of this release."`
	After   int64  `query:"after" minimum:"-1" default:"-1" doc:"Only rows after the one with this ID, in order; -1: the last rows."`
	Limit   int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many rows to answer with."`
}

type auditOutput struct{ Body wire.AuditPage }

func (s *service) listAudit(ctx context.Context, in *auditInput) (*auditOutput, error) {
	if s.audit == nil {
		return nil, huma.NewError(http.StatusServiceUnavailable, "this server keeps no audit")
	}
	if in.After >= 0 && in.Release != "" {
		return nil, huma.NewError(http.StatusUnprocessableEntity, "give release or after, not both: the rows of a release are no chain")
	}
	var out auditOutput
	var err error
	// The head first: what is added meanwhile is after it.
	if out.Body.Head, out.Body.Base, err = s.audit.AuditMarks(ctx); err != nil {
		return nil, s.status(ctx, "read audit", err)
	}
	if in.After < 0 {
		out.Body.Rows, err = s.audit.Audit(ctx, release.ID(in.Release), in.Limit)
	} else if out.Body.Rows, err = s.audit.AuditAfter(ctx, in.After, in.Limit); len(out.Body.Rows) == in.Limit {
		out.Body.NextAfter = &out.Body.Rows[in.Limit-1].ID
	}
	if err != nil {
		return nil, s.status(ctx, "read audit", err)
	}
	out.Body.Rows = listOf(out.Body.Rows)
	return &out, nil
}

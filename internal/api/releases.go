package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/watchtower-verify/watchtower/internal/api/listing"
	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// auditLimit is how many audit rows an answer holds at most.
const auditLimit = 1000

// describe registers the typed operations and their OpenAPI description.
func describe(engine *gin.Engine, d Deps) {
	config := huma.DefaultConfig("Watchtower", d.Version)
	config.Info.Description = "Which rollouts ran, whether each made things worse, and what was done about it."
	config.OpenAPIPath = "/api/v1/openapi"
	config.DocsPath = ""     // the page would load scripts from elsewhere
	config.SchemasPath = ""  // all schemas are in the description
	config.CreateHooks = nil // no $schema field in answers
	config.RejectUnknownQueryParameters = true
	api := humagin.New(engine, config)

	s := &service{d.Releases, d.Signals, d.Audit, d.Actions, d.Doctor, d.Log}
	huma.Register(api, huma.Operation{
		OperationID: "list-releases", Method: http.MethodGet, Path: wire.ReleasesPath,
		Summary:     "List releases, newest first",
		Description: "Evidence is in the answer about one release. A page may hold a few releases less or more than 'limit'; 'next_before' tells whether there are more.",
		Errors:      []int{http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable},
	}, s.list)
	huma.Register(api, huma.Operation{
		OperationID: "get-release", Method: http.MethodGet, Path: wire.ReleasesPath + "/{id}",
		Summary: "Show one release with its evidence, actions and audit trail",
		Errors:  []int{http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable},
	}, s.detail)
	describeSignals(api, s)
	describeAudit(api, s)
	describeActions(api, s, d.Tokens)
	describeDoctor(api, s)
}

type service struct {
	releases Releases
	signals  Signals
	audit    Audit
	actions  Actions
	doctor   Doctor
	log      *slog.Logger
}

type listInput struct {
	Namespace string    `query:"namespace" maxLength:"253" doc:"Only releases in this namespace."`
	Workload  string    `query:"workload" maxLength:"253" doc:"Only releases of workloads with this name."`
	Verdict   string    `query:"verdict" enum:"pending,healthy,regressed,insufficient_data,source_broken" doc:"Only releases with this verdict."`
	Live      string    `query:"live" enum:"true,false" doc:"Only releases that are (true) or are no longer (false) being watched."`
	Limit     int       `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many releases to answer with."`
	Before    time.Time `query:"before" doc:"Only releases seen before this moment: 'next_before' of the page before."`
}

type listOutput struct{ Body wire.List }

func (s *service) list(ctx context.Context, in *listInput) (*listOutput, error) {
	f := store.Filter{
		Namespace: in.Namespace, Workload: in.Workload, Verdict: release.VerdictKind(in.Verdict),
		Limit: in.Limit, Before: in.Before,
	}
	if in.Live != "" {
		live := in.Live == "true"
		f.Live = &live
	}
	records, next, err := listing.Page(ctx, s.releases, f)
	if err != nil {
		return nil, s.status(ctx, "list releases", err)
	}
	out := &listOutput{Body: wire.List{Releases: make([]wire.Summary, len(records))}}
	for i, r := range records {
		out.Body.Releases[i] = wire.Summary{Release: r.Release, Verdict: r.Verdict, Live: r.Live}
	}
	if !next.IsZero() {
		out.Body.NextBefore = &next
	}
	return out, nil
}

type detailInput struct {
	ID string `path:"id" maxLength:"64" pattern:"^[0-9A-Za-z-]+$" doc:"ID of the release."`
}

type detailOutput struct{ Body wire.Detail }

func (s *service) detail(ctx context.Context, in *detailInput) (*detailOutput, error) {
	id := release.ID(in.ID)
	rec, err := s.releases.Release(ctx, id)
	if err != nil {
		return nil, s.status(ctx, "read release", err)
	}
	actions, err := s.releases.Actions(ctx, id)
	if err != nil {
		return nil, s.status(ctx, "read actions", err)
	}
	audit, err := s.releases.Audit(ctx, id, auditLimit)
	if err != nil {
		return nil, s.status(ctx, "read audit", err)
	}
	return &detailOutput{Body: wire.Detail{
		Release: rec.Release, Verdict: whole(rec.Verdict), Policy: rec.Policy, Live: rec.Live,
		Actions: listOf(actions), Audit: listOf(audit),
	}}, nil
}

// whole gives a verdict without evidence an empty list of it, so that a
// reader need not tell null from none.
func whole(v release.Verdict) release.Verdict {
	v.Evidence = listOf(v.Evidence)
	return v
}

func listOf[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// status answers with an error's words where it carries words for the user,
// and logs what stays inside otherwise.
func (s *service) status(ctx context.Context, operation string, err error) error {
	var known *release.Error
	if errors.As(err, &known) {
		if status := statusOf(known.Code); status != http.StatusInternalServerError {
			return huma.NewError(status, known.Message)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return huma.NewError(http.StatusServiceUnavailable, "the answer took too long; ask for less or try again")
	}
	s.log.ErrorContext(ctx, "request not answered", "operation", operation, "request", requestIDOf(ctx), "error", err)
	return huma.NewError(http.StatusInternalServerError, internalDetail(ctx))
}

// statusOf maps a code to its HTTP status; 500 is for what the caller cannot
// mend.
func statusOf(code release.Code) int {
	switch code {
	case release.CodeNotFound:
		return http.StatusNotFound
	case release.CodeInvalid:
		return http.StatusUnprocessableEntity
	case release.CodeRefused:
		return http.StatusConflict
	case release.CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

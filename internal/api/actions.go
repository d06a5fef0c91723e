package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Actions is what there is to do, and what people do about it. Errors are
// *release.Error: CodeNotFound for what is not known, CodeRefused when a rule
// forbids it, CodeInvalid for a question that makes no sense.
type Actions interface {
	ListActions(ctx context.Context, f store.ActionFilter) ([]release.Action, error)
	Action(ctx context.Context, key string) (release.Action, error)
	Approve(ctx context.Context, id release.ID, by release.By) error
	Reject(ctx context.Context, id release.ID, by release.By) error
	// RollBack has a release rolled back as one that was approved.
	RollBack(ctx context.Context, id release.ID, by release.By) error
	// MarkWrong notes that a release was called regressed although it is not.
	MarkWrong(ctx context.Context, id release.ID, by release.By) error
	// Snooze has a receiver, "" for every one, told nothing for a while.
	Snooze(ctx context.Context, id release.ID, receiver string, within time.Duration, by release.By) (until time.Time, err error)
	Retry(ctx context.Context, key string, by release.By) error
	Drop(ctx context.Context, key string, by release.By) error
	Breakers(ctx context.Context) ([]release.Breaker, error)
	// OpenBreaker opens one for a while, for 0 until somebody closes it.
	OpenBreaker(ctx context.Context, namespace string, within time.Duration, by release.By) error
	CloseBreaker(ctx context.Context, namespace string, resume bool, by release.By) error
}

var writeErrors = []int{
	http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity,
	http.StatusInternalServerError, http.StatusServiceUnavailable,
}

func describeActions(api huma.API, s *service, tokens []Token) {
	if api.OpenAPI().Components.SecuritySchemes == nil {
		api.OpenAPI().Components.SecuritySchemes = map[string]*huma.SecurityScheme{}
	}
	api.OpenAPI().Components.SecuritySchemes["token"] = &huma.SecurityScheme{Type: "http", Scheme: "bearer"}
	read := func(id, path, summary string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Summary: summary,
			Errors: []int{http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable},
		}
	}
	write := func(id, path string, role Role, summary string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: http.MethodPost, Path: path, Summary: summary,
			Description: "Needs a token with the role '" + string(role) + "'.",
			Errors:      writeErrors, Security: []map[string][]string{{"token": {}}},
			Middlewares: huma.Middlewares{require(api, tokens, role)},
		}
	}
	one := wire.ReleasesPath + "/{id}"
	huma.Register(api, read("list-actions", wire.ActionsPath, "List actions, changed last first"), s.listActions)
	huma.Register(api, read("list-breakers", wire.BreakerPath, "Show the breakers that ever opened"), s.breakers)
	huma.Register(api, write("approve-rollback", one+wire.ApproveSuffix, RoleApprove, "Have a rollback done that waits for a person"), s.approve)
	huma.Register(api, write("reject-rollback", one+wire.RejectSuffix, RoleApprove, "End a rollback that waits for a person"), s.reject)
	huma.Register(api, write("roll-back", one+wire.RollBackSuffix, RoleApprove, "Have a release rolled back although the policy would not"), s.rollBack)
	huma.Register(api, write("mark-wrong", one+wire.WrongSuffix, RoleApprove, "Note that a release was called regressed although it is not"), s.markWrong)
	huma.Register(api, write("snooze", one+wire.SnoozeSuffix, RoleApprove, "Tell receivers nothing more of a release for a while"), s.snooze)
	huma.Register(api, write("retry-action", wire.ActionsPath+"/retry", RoleApprove, "Carry out anew what failed, or what a breaker holds"), s.retry)
	huma.Register(api, write("drop-action", wire.ActionsPath+"/drop", RoleAdmin, "Settle what failed: somebody has seen to it"), s.drop)
	huma.Register(api, write("open-breaker", wire.BreakerPath+"/open", RoleAdmin, "Let nothing be rolled back without a person"), s.openBreaker)
	huma.Register(api, write("close-breaker", wire.BreakerPath+"/close", RoleAdmin, "Let rollbacks be done again"), s.closeBreaker)
}

type actionsInput struct {
	State string `query:"state" enum:"pending,done,void,refused,failed,waiting" doc:"Only actions in this state."`
	Kind  string `query:"kind" enum:"alert,rollback,issue,event,message" doc:"Only actions of this kind."`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many to answer with."`
}

type actionsOutput struct{ Body wire.Actions }

func (s *service) listActions(ctx context.Context, in *actionsInput) (*actionsOutput, error) {
	if s.actions == nil {
		return nil, noActions()
	}
	list, err := s.actions.ListActions(ctx, store.ActionFilter{
		State: release.ActionState(in.State), Kind: release.ActionKind(in.Kind), Limit: in.Limit,
	})
	if err != nil {
		return nil, s.status(ctx, "list actions", err)
	}
	return &actionsOutput{wire.Actions{Actions: listOf(list)}}, nil
}

func noActions() error {
	return huma.NewError(http.StatusServiceUnavailable, "this server carries nothing out")
}

type clickInput struct {
	ID   string `path:"id" maxLength:"64" pattern:"^[0-9A-Za-z-]+$" doc:"ID of the release."`
	Body wire.Why
}

type actionInput struct{ Body wire.ActionRequest }

type actionOutput struct{ Body release.Action }

func (s *service) approve(ctx context.Context, in *clickInput) (*actionOutput, error) {
	return s.click(ctx, in, Actions.Approve)
}

func (s *service) reject(ctx context.Context, in *clickInput) (*actionOutput, error) {
	return s.click(ctx, in, Actions.Reject)
}

func (s *service) rollBack(ctx context.Context, in *clickInput) (*actionOutput, error) {
	return s.click(ctx, in, Actions.RollBack)
}

type verdictOutput struct{ Body release.Verdict }

func (s *service) markWrong(ctx context.Context, in *clickInput) (*verdictOutput, error) {
	if s.actions == nil {
		return nil, noActions()
	}
	id := release.ID(in.ID)
	if err := s.actions.MarkWrong(ctx, id, release.By{Actor: callerOf(ctx), Reason: in.Body.Reason}); err != nil {
		return nil, s.status(ctx, "mark wrong", err)
	}
	rec, err := s.releases.Release(ctx, id)
	if err != nil {
		return nil, s.status(ctx, "read release", err)
	}
	return &verdictOutput{whole(rec.Verdict)}, nil
}

type snoozeInput struct {
	ID   string `path:"id" maxLength:"64" pattern:"^[0-9A-Za-z-]+$" doc:"ID of the release."`
	Body wire.Snooze
}

type snoozeOutput struct{ Body wire.Snoozed }

func (s *service) snooze(ctx context.Context, in *snoozeInput) (*snoozeOutput, error) {
	if s.actions == nil {
		return nil, noActions()
	}
	by := release.By{Actor: callerOf(ctx), Reason: in.Body.Reason}
	until, err := s.actions.Snooze(ctx, release.ID(in.ID), in.Body.Receiver, time.Duration(in.Body.Minutes)*time.Minute, by)
	if err != nil {
		return nil, s.status(ctx, "snooze", err)
	}
	return &snoozeOutput{wire.Snoozed{Until: until.UTC()}}, nil
}

func (s *service) click(ctx context.Context, in *clickInput, do func(Actions, context.Context, release.ID, release.By) error) (*actionOutput, error) {
	if s.actions == nil {
		return nil, noActions()
	}
	id := release.ID(in.ID)
	if err := do(s.actions, ctx, id, release.By{Actor: callerOf(ctx), Reason: in.Body.Reason}); err != nil {
		return nil, s.status(ctx, "decide a rollback", err)
	}
	return s.action(ctx, release.ActionKey(id, release.ActionRollback))
}

func (s *service) action(ctx context.Context, key string) (*actionOutput, error) {
	a, err := s.actions.Action(ctx, key)
	if err != nil {
		return nil, s.status(ctx, "read action", err)
	}
	return &actionOutput{a}, nil
}

func (s *service) retry(ctx context.Context, in *actionInput) (*actionOutput, error) {
	return s.redo(ctx, in, Actions.Retry)
}

func (s *service) drop(ctx context.Context, in *actionInput) (*actionOutput, error) {
	return s.redo(ctx, in, Actions.Drop)
}

func (s *service) redo(ctx context.Context, in *actionInput, do func(Actions, context.Context, string, release.By) error) (*actionOutput, error) {
	if s.actions == nil {
		return nil, noActions()
	}
	if err := do(s.actions, ctx, in.Body.Key, release.By{Actor: callerOf(ctx), Reason: in.Body.Reason}); err != nil {
		return nil, s.status(ctx, "retry or drop", err)
	}
	return s.action(ctx, in.Body.Key)
}

type breakersOutput struct{ Body wire.Breakers }

func (s *service) breakers(ctx context.Context, _ *struct{}) (*breakersOutput, error) {
	if s.actions == nil {
		return nil, noActions()
	}
	list, err := s.actions.Breakers(ctx)
	if err != nil {
		return nil, s.status(ctx, "read breakers", err)
	}
	return &breakersOutput{wire.Breakers{Breakers: listOf(list)}}, nil
}

type openInput struct{ Body wire.OpenBreaker }

func (s *service) openBreaker(ctx context.Context, in *openInput) (*breakersOutput, error) {
	if s.actions == nil {
		return nil, noActions()
	}
	by := release.By{Actor: callerOf(ctx), Reason: in.Body.Reason}
	if err := s.actions.OpenBreaker(ctx, in.Body.Namespace, time.Duration(in.Body.Minutes)*time.Minute, by); err != nil {
		return nil, s.status(ctx, "open breaker", err)
	}
	return s.breakers(ctx, nil)
}

type closeInput struct{ Body wire.CloseBreaker }

func (s *service) closeBreaker(ctx context.Context, in *closeInput) (*breakersOutput, error) {
	if s.actions == nil {
		return nil, noActions()
	}
	by := release.By{Actor: callerOf(ctx), Reason: in.Body.Reason}
	if err := s.actions.CloseBreaker(ctx, in.Body.Namespace, in.Body.Resume, by); err != nil {
		return nil, s.status(ctx, "close breaker", err)
	}
	return s.breakers(ctx, nil)
}

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// WithToken returns a client that shows a bearer token, as writing needs.
func (c *Client) WithToken(token string) *Client {
	with := *c
	with.token = strings.TrimSpace(token)
	return &with
}

// Actions returns actions, changed last first. Empty fields select all.
func (c *Client) Actions(ctx context.Context, state release.ActionState, kind release.ActionKind, limit int) (wire.Actions, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if state != "" {
		q.Set("state", string(state))
	}
	if kind != "" {
		q.Set("kind", string(kind))
	}
	var l wire.Actions
	return l, c.get(ctx, wire.ActionsPath+"?"+q.Encode(), &l)
}

// Retry has a dead letter carried out anew.
func (c *Client) Retry(ctx context.Context, key, reason string) (release.Action, error) {
	var a release.Action
	return a, c.post(ctx, wire.ActionsPath+"/retry", wire.ActionRequest{Key: key, Reason: reason}, &a)
}

// Drop settles a dead letter: somebody has seen to it.
func (c *Client) Drop(ctx context.Context, key, reason string) (release.Action, error) {
	var a release.Action
	return a, c.post(ctx, wire.ActionsPath+"/drop", wire.ActionRequest{Key: key, Reason: reason}, &a)
}

// Approve has the waiting rollback of a release done.
func (c *Client) Approve(ctx context.Context, id release.ID, reason string) (release.Action, error) {
	var a release.Action
	return a, c.post(ctx, wire.ReleasesPath+"/"+url.PathEscape(string(id))+wire.ApproveSuffix, wire.Why{Reason: reason}, &a)
}

// Reject ends the waiting rollback of a release without its being done.
func (c *Client) Reject(ctx context.Context, id release.ID, reason string) (release.Action, error) {
	var a release.Action
	return a, c.post(ctx, wire.ReleasesPath+"/"+url.PathEscape(string(id))+wire.RejectSuffix, wire.Why{Reason: reason}, &a)
}

// RollBack has a release rolled back although its policy would not.
func (c *Client) RollBack(ctx context.Context, id release.ID, reason string) (release.Action, error) {
	var a release.Action
	return a, c.post(ctx, wire.ReleasesPath+"/"+url.PathEscape(string(id))+wire.RollBackSuffix, wire.Why{Reason: reason}, &a)
}

// MarkWrong notes that a release was called regressed although it is not.
func (c *Client) MarkWrong(ctx context.Context, id release.ID, reason string) (release.Verdict, error) {
	var v release.Verdict
	return v, c.post(ctx, wire.ReleasesPath+"/"+url.PathEscape(string(id))+wire.WrongSuffix, wire.Why{Reason: reason}, &v)
}

// Snooze has receivers told nothing more of a release for a while.
func (c *Client) Snooze(ctx context.Context, id release.ID, req wire.Snooze) (wire.Snoozed, error) {
	var s wire.Snoozed
	return s, c.post(ctx, wire.ReleasesPath+"/"+url.PathEscape(string(id))+wire.SnoozeSuffix, req, &s)
}

// Breakers returns the breakers that ever opened.
func (c *Client) Breakers(ctx context.Context) (wire.Breakers, error) {
	var b wire.Breakers
	return b, c.get(ctx, wire.BreakerPath, &b)
}

// OpenBreaker opens one.
func (c *Client) OpenBreaker(ctx context.Context, req wire.OpenBreaker) (wire.Breakers, error) {
	var b wire.Breakers
	return b, c.post(ctx, wire.BreakerPath+"/open", req, &b)
}

// CloseBreaker closes one.
func (c *Client) CloseBreaker(ctx context.Context, req wire.CloseBreaker) (wire.Breakers, error) {
	var b wire.Breakers
	return b, c.post(ctx, wire.BreakerPath+"/close", req, &b)
}

func (c *Client) post(ctx context.Context, path string, what, into any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("encode the request: %w", err)
	}
	return c.ask(ctx, http.MethodPost, path, bytes.NewReader(body), into)
}

package slack

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	api "github.com/slack-go/slack"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// advice says what to do about an error of Slack's.
var advice = map[string]string{
	"channel_not_found": "channel is not known to the app: set channel to the channel's id, and invite the app, if it is private",
	"not_in_channel":    "the app is not in the channel: invite it with /invite, or name another in channel",
	"is_archived":       "the channel is archived: name another in channel",
	"restricted_action": "the workspace does not let the app write there: ask its administrators, or name another channel",
	"invalid_blocks":    "the message has blocks that Slack does not take",
}

// tokens are errors of the token.
var tokens = []string{"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive", "not_allowed_token_type", "no_permission"}

// passing are errors that may be gone at the next try.
var passing = []string{
	"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "external_channel_migrating", "accesslimited",
}

var limits = []string{"ratelimited", "rate_limited", "message_limit_exceeded"}

// fault makes an error of Slack's client one of ours.
func (c *conn) fault(what string, err error) error {
	if err == nil {
		return nil
	}
	what += " at " + service(c.sink.cfg.Name)
	var ours *release.Error
	if errors.As(err, &ours) {
		if ours.Code == release.CodeRateLimited {
			c.sink.pace.hold(ours.RetryAfter)
		}
		if outbound.Status(err) == http.StatusNotFound {
			return release.E(ours.Code, ours.Message+"; see url of the receiver", ours.Err)
		}
		if status := outbound.Status(err); status == http.StatusUnauthorized || status == http.StatusForbidden {
			return release.E(ours.Code, ours.Message+"; see token_file of the receiver", ours.Err)
		}
		return ours
	}
	var said api.SlackErrorResponse
	if !errors.As(err, &said) {
		return release.E(release.CodeUnavailable, what+": the answer is not Slack's: see url of the receiver", c.plain(err))
	}
	code, next := release.CodeInvalid, advice[said.Err]
	switch {
	case slices.Contains(tokens, said.Err):
		next = "put the Bot User OAuth Token of the app into token_file; it is shown under OAuth & Permissions"
	case said.Err == "missing_scope":
		next = "give the app the scope " + release.OneLine(said.Needed, 100) + " under OAuth & Permissions and install it again; token_file must hold its token"
	case slices.Contains(passing, said.Err):
		code = release.CodeUnavailable
	case slices.Contains(limits, said.Err):
		code = release.CodeRateLimited
		c.sink.pace.hold(time.Second)
	}
	if next != "" {
		what += ": " + next
	}
	return release.E(code, what, c.plain(said))
}

// plain is an error in one line without the token.
func (c *conn) plain(err error) error {
	text := err.Error()
	var said api.SlackErrorResponse
	if errors.As(err, &said) && len(said.ResponseMetadata.Messages) > 0 {
		text += ": " + strings.Join(said.ResponseMetadata.Messages, "; ")
	}
	return slackError{release.OneLine(strings.ReplaceAll(text, c.token, "[secret]"), 500), said.Err}
}

// slackError is what Slack said.
type slackError struct{ text, code string }

func (e slackError) Error() string { return e.text }

func said(err error) string {
	var e slackError
	if errors.As(err, &e) {
		return e.code
	}
	return ""
}

// gone reports that the message cannot be changed any more.
func gone(err error) bool {
	return slices.Contains([]string{"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"}, said(err))
}

// forbidden reports that the app lacks a scope it can do without.
func forbidden(err error) bool {
	return slices.Contains([]string{"missing_scope", "not_allowed_token_type", "file_uploads_disabled", "file_upload_size_restricted"}, said(err))
}

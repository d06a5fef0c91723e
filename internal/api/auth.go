package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Role is what a token allows; each allows what the one before does.
type Role string

// The roles.
const (
	RoleView    Role = "view"
	RoleApprove Role = "approve"
	RoleAdmin   Role = "admin"
)

var roles = []Role{RoleView, RoleApprove, RoleAdmin}

func (r Role) allows(needed Role) bool { return slices.Index(roles, r) >= slices.Index(roles, needed) }

// Token is a bearer token and what it allows.
type Token struct {
	Name string // who has it, for the audit
	Role Role
	File string // holds the token; read anew for each use
}

// minToken is the length in bytes below which a token would be guessed.
const minToken = 16

type callerKey struct{}

// callerOf is the name of the token a request came with.
func callerOf(ctx context.Context) string {
	name, _ := ctx.Value(callerKey{}).(string)
	return name
}

// require lets a request pass whose token has a role.
func require(api huma.API, tokens []Token, needed Role) func(huma.Context, func(huma.Context)) {
	refuse := func(ctx huma.Context, status int, detail string) {
		if status == http.StatusUnauthorized {
			ctx.SetHeader("WWW-Authenticate", `Bearer realm="watchtower"`)
		}
		_ = huma.WriteErr(api, ctx, status, detail) // the caller is gone when it fails
	}
	return func(ctx huma.Context, next func(huma.Context)) {
		if len(tokens) == 0 {
			refuse(ctx, http.StatusForbidden, "nothing can be changed through this server: it has no tokens; set api.tokens in its configuration")
			return
		}
		given, ok := bearer(ctx.Header("Authorization"))
		if !ok {
			refuse(ctx, http.StatusUnauthorized, "this needs a token: send it as 'Authorization: Bearer …' (the command line reads it from --token-file)")
			return
		}
		who, known := lookUp(tokens, given)
		switch {
		case !known:
			refuse(ctx, http.StatusUnauthorized, "the token is not known here")
		case !who.Role.allows(needed):
			refuse(ctx, http.StatusForbidden, fmt.Sprintf("the token of %s has the role %s: this needs %s", who.Name, who.Role, needed))
		default:
			next(huma.WithValue(ctx, callerKey{}, who.Name))
		}
	}
}

func bearer(header string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// lookUp finds whose token it is. It takes as long whichever it is, and compares
// digests, which are of one length.
func lookUp(tokens []Token, given string) (found Token, ok bool) {
	want := sha256.Sum256([]byte(given))
	for _, t := range tokens {
		have, err := readToken(t.File)
		digest := sha256.Sum256([]byte(have))
		if subtle.ConstantTimeCompare(digest[:], want[:]) == 1 && err == nil {
			found, ok = t, true
		}
	}
	return found, ok
}

// CheckTokens reads every token once, so that a file that is missing or holds too
// little is found at the start.
func CheckTokens(tokens []Token) error {
	for _, t := range tokens {
		if _, err := readToken(t.File); err != nil {
			return fmt.Errorf("the token of %s: %w", t.Name, err)
		}
	}
	return nil
}

func readToken(file string) (string, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(body))
	if len(token) < minToken {
		return "", fmt.Errorf("%s holds fewer than %d characters: make one with `openssl rand -hex 24`", file, minToken)
	}
	return token, nil
}

package api_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	viewer   = "viewer-token-0123456789"
	approver = "approver-token-0123456789"
	boss     = "admin-token-0123456789"
)

// newDesk is an API with three tokens.
func newDesk(t *testing.T) (site, *apitest.Desk) {
	t.Helper()
	dir := t.TempDir()
	var tokens []api.Token
	for _, token := range []struct {
		name, text string
		role       api.Role
	}{{"vera", viewer, api.RoleView}, {"ann", approver, api.RoleApprove}, {"bob", boss, api.RoleAdmin}} {
		file := filepath.Join(dir, token.name)
		if err := os.WriteFile(file, []byte(token.text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, api.Token{Name: token.name, Role: token.role, File: file})
	}
	desk := &apitest.Desk{Entries: apitest.Sample()}
	return newSite(t, func(d *api.Deps) { d.Actions, d.Tokens = desk, tokens }), desk
}

func (s site) post(t *testing.T, target, token, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, bytes.NewBufferString(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestWritingNeedsATokenWithTheRole(t *testing.T) {
	s, desk := newDesk(t)
	var id string
	var key string
	for _, e := range desk.Entries.Entries {
		for _, a := range e.Actions {
			if a.Kind == release.ActionRollback {
				id, key = string(a.Release), a.Key
			}
		}
	}
	why := `{"reason":"I looked"}`
	one := `{"key":"` + key + `","reason":"I looked"}`
	for _, test := range []struct {
		name, path, token, body string
		status                  int
		says                    string
	}{
		{"no token", wire.ReleasesPath + "/" + id + "/approve", "", why, http.StatusUnauthorized, "needs a token"},
		{"a wrong token", wire.ReleasesPath + "/" + id + "/approve", "guessed-0123456789", why, http.StatusUnauthorized, "is not known here"},
		{"the start of a token", wire.ReleasesPath + "/" + id + "/approve", approver[:20], why, http.StatusUnauthorized, "is not known here"},
		{"too small a role", wire.ReleasesPath + "/" + id + "/approve", viewer, why, http.StatusForbidden, "the token of vera has the role view: this needs approve"},
		{"approve", wire.ReleasesPath + "/" + id + "/approve", approver, why, http.StatusOK, key},
		{"reject", wire.ReleasesPath + "/" + id + "/reject", boss, why, http.StatusOK, key},
		{"roll back", wire.ReleasesPath + "/" + id + "/rollback", approver, why, http.StatusOK, key},
		{"rolling back takes the role", wire.ReleasesPath + "/" + id + "/rollback", viewer, why, http.StatusForbidden, "this needs approve"},
		{"mark wrong", wire.ReleasesPath + "/" + id + "/wrong", approver, why, http.StatusOK, `"verdict":"regressed"`},
		{"marking takes the role", wire.ReleasesPath + "/" + id + "/wrong", viewer, why, http.StatusForbidden, "this needs approve"},
		{"snooze", wire.ReleasesPath + "/" + id + "/snooze", approver, `{"reason":"I looked","minutes":60,"receiver":"chat"}`, http.StatusOK, `"until":"2026-11-02T11:00:00Z"`},
		{"snoozing takes the role", wire.ReleasesPath + "/" + id + "/snooze", viewer, `{"reason":"I looked","minutes":60}`, http.StatusForbidden, "this needs approve"},
		{"a snooze of more than a day", wire.ReleasesPath + "/" + id + "/snooze", approver, `{"reason":"I looked","minutes":1441}`, http.StatusUnprocessableEntity, "minutes"},
		{"a snooze without a time", wire.ReleasesPath + "/" + id + "/snooze", approver, `{"reason":"I looked"}`, http.StatusUnprocessableEntity, "minutes"},
		{"no reason", wire.ReleasesPath + "/" + id + "/approve", approver, `{"reason":""}`, http.StatusUnprocessableEntity, "reason"},
		{"an unknown field", wire.ReleasesPath + "/" + id + "/approve", approver, `{"reason":"x","force":true}`, http.StatusUnprocessableEntity, "force"},
		{"retry", wire.ActionsPath + "/retry", approver, one, http.StatusOK, key},
		{"drop is for admins", wire.ActionsPath + "/drop", approver, one, http.StatusForbidden, "this needs admin"},
		{"drop", wire.ActionsPath + "/drop", boss, one, http.StatusOK, key},
		{"the breaker is for admins", wire.BreakerPath + "/open", approver, why, http.StatusForbidden, "this needs admin"},
		{"open", wire.BreakerPath + "/open", boss, `{"reason":"I looked","namespace":"shop","minutes":30}`, http.StatusOK, "closes_at"},
		{"close", wire.BreakerPath + "/close", boss, `{"reason":"I looked","namespace":"shop","resume":true}`, http.StatusOK, `"breakers":[]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := s.post(t, test.path, test.token, test.body)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
				t.Error("it does not say how to authenticate")
			}
		})
	}
	want := []string{
		"approve " + id + " by ann: I looked", "reject " + id + " by bob: I looked",
		"roll back " + id + " by ann: I looked", "mark wrong " + id + " by ann: I looked", "snooze " + id + ` at "chat" for 1h0m0s by ann: I looked`, "retry " + key + " by ann: I looked",
		"drop " + key + " by bob: I looked", "open namespace shop for 30m0s by bob: I looked", `close "shop" resume true by bob: I looked`,
	}
	if !slices.Equal(desk.Asked, want) {
		t.Errorf("asked %q, want %q", desk.Asked, want)
	}
	for _, secret := range []string{viewer, approver, boss, "guessed"} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log holds a token:\n%s", s.log)
		}
	}
}

func TestWithoutTokensNothingIsWritten(t *testing.T) {
	desk := &apitest.Desk{Entries: apitest.Sample()}
	s := newSite(t, func(d *api.Deps) { d.Actions = desk })
	w := s.post(t, wire.BreakerPath+"/open", boss, `{"reason":"x"}`)
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "set api.tokens") || len(desk.Asked) > 0 {
		t.Errorf("%d %s, asked %v", w.Code, w.Body, desk.Asked)
	}
}

func TestARefusalOfARuleIsAConflict(t *testing.T) {
	s, desk := newDesk(t)
	desk.Err = release.E(release.CodeRefused, "the rollback does not wait for anybody", nil)
	w := s.post(t, wire.ReleasesPath+"/abc/approve", approver, `{"reason":"x"}`)
	if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "does not wait") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestActionsAreListedWithoutAToken(t *testing.T) {
	s, _ := newDesk(t)
	l := decode[wire.Actions](t, s.do(t, http.MethodGet, wire.ActionsPath+"?kind=rollback"))
	if len(l.Actions) == 0 {
		t.Error("none")
	}
	for _, a := range l.Actions {
		if a.Kind != release.ActionRollback {
			t.Errorf("%+v", a)
		}
	}
	if w := s.do(t, http.MethodGet, wire.ActionsPath+"?state=broken"); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestATokenThatCannotBeOneIsFoundAtTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, file + ".missing"} {
		err := api.CheckTokens([]api.Token{{Name: "ann", Role: api.RoleAdmin, File: path}})
		if err == nil || !strings.Contains(err.Error(), "the token of ann") || strings.Contains(err.Error(), "secret\n") {
			t.Errorf("got %v", err)
		}
	}
	s := newSite(t, func(d *api.Deps) {
		d.Actions = &apitest.Desk{Entries: apitest.Sample()}
		d.Tokens = []api.Token{{Name: "ann", Role: api.RoleAdmin, File: file + ".missing"}}
	})
	if w := s.post(t, wire.BreakerPath+"/open", "", `{"reason":"x"}`); w.Code != http.StatusUnauthorized {
		t.Errorf("%d", w.Code)
	}
	// The digest of what could not be read is that of no token.
	if w := s.post(t, wire.BreakerPath+"/open", " ", `{"reason":"x"}`); w.Code != http.StatusUnauthorized {
		t.Errorf("%d", w.Code)
	}
}

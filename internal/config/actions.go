package config

import (
	"fmt"
	"regexp"
	"time"
)

// Actions bounds what is done without a person.
type Actions struct {
	// How long a rollback waits for a person's approval.
	ApproveWithin time.Duration `yaml:"approve_within"`
	// When rollbacks stop and wait for a person.
	Breaker Breaker `yaml:"breaker"`
}

// Breaker says when too much happens at once.
type Breaker struct {
	// Rollbacks in the whole cluster within the window; the next one opens the breaker.
	Rollbacks int `yaml:"rollbacks"`
	// Rollbacks in one namespace within the window; the next one opens that namespace's breaker.
	RollbacksPerNamespace int `yaml:"rollbacks_per_namespace"`
	// The window in which rollbacks are counted.
	Window time.Duration `yaml:"window"`
	// How many workloads that regress are one incident, with one page, which opens the breaker.
	Regressions int `yaml:"regressions"`
	// The time in which they regress.
	Within time.Duration `yaml:"within"`
	// After how long an open breaker closes by itself.
	OpenFor time.Duration `yaml:"open_for"`
}

// API says who may do something through the API. Reading needs no token.
type API struct {
	// Who may write. Without any, nobody may.
	Tokens []Token `yaml:"tokens"`
}

// Token is a bearer token of the API.
type Token struct {
	// Who has it; the name stands in the audit.
	Name string `yaml:"name" jsonschema:"required"`
	// What it allows: view, approve (approve, reject, roll back, mark wrong, snooze and retry), admin (and the breaker, and to drop).
	Role string `yaml:"role" jsonschema:"required,enum=view,enum=approve,enum=admin"`
	// File that holds the token, 16 characters or more. It is read anew for each use.
	TokenFile string `yaml:"token_file" jsonschema:"required"`
}

// The roles of a token.
const (
	RoleView    = "view"
	RoleApprove = "approve"
	RoleAdmin   = "admin"
)

func defaultActions() Actions {
	return Actions{
		ApproveWithin: time.Hour,
		Breaker: Breaker{
			Rollbacks: 10, RollbacksPerNamespace: 5, Window: 10 * time.Minute, Regressions: 10, Within: 5 * time.Minute, OpenFor: time.Hour,
		},
	}
}

func (k *checker) actions() {
	a := k.c.Actions
	const most = 1_000_000
	k.between("actions.approve_within", a.ApproveWithin, time.Minute, 7*day)
	k.within("actions.breaker.rollbacks", a.Breaker.Rollbacks, 1, most)
	k.within("actions.breaker.rollbacks_per_namespace", a.Breaker.RollbacksPerNamespace, 1, most)
	k.within("actions.breaker.regressions", a.Breaker.Regressions, 2, most)
	k.between("actions.breaker.window", a.Breaker.Window, time.Minute, day)
	k.between("actions.breaker.within", a.Breaker.Within, 10*time.Second, time.Hour)
	k.between("actions.breaker.open_for", a.Breaker.OpenFor, time.Minute, 7*day)
}

var tokenName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9 ._@-]{0,62}[A-Za-z0-9])?$`)

func (k *checker) api() {
	seen := make(map[string]bool)
	for i, t := range k.c.API.Tokens {
		at := fmt.Sprintf("api.tokens[%d]", i)
		switch {
		case !tokenName.MatchString(t.Name):
			k.at(at+".name", "%q is no name of a token: use letters, digits, ' ', '.', '_', '@' and '-', at most 64", t.Name)
		case t.Name == "watchtower":
			k.at(at+".name", "the name is Watchtower's own in the audit: choose another one")
		case seen[t.Name]:
			k.at(at+".name", "%q is there twice: the audit could not tell them apart", t.Name)
		}
		seen[t.Name] = true
		if t.Role != RoleView && t.Role != RoleApprove && t.Role != RoleAdmin {
			k.at(at+".role", "%q is no role: use view, approve or admin", t.Role)
		}
		if t.TokenFile == "" {
			k.at(at+".token_file", "name the file that holds the token")
		}
	}
}

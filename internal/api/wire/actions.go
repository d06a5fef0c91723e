package wire

import (
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Paths of what people do, and of what there is to do.
const (
	ActionsPath = "/api/v1/actions" // and /retry, /drop
	BreakerPath = "/api/v1/breaker" // and /open, /close
	// These follow ReleasesPath/ID.
	ApproveSuffix  = "/approve"
	RejectSuffix   = "/reject"
	RollBackSuffix = "/rollback"
	WrongSuffix    = "/wrong"
	SnoozeSuffix   = "/snooze"
)

// Actions is the answer to a list of actions, changed last first.
type Actions struct {
	Actions []release.Action `json:"actions" nullable:"false"`
}

// Why is what a person says of what is asked for.
type Why struct {
	Reason string `json:"reason" minLength:"1" maxLength:"300" doc:"Why. It stands in the audit."`
}

// MaxSnoozeMinutes is how long a release may be snoozed.
const MaxSnoozeMinutes = 24 * 60

// Snooze asks for receivers to be told nothing more of a release for a while.
type Snooze struct {
	Receiver string `json:"receiver,omitempty" maxLength:"100" doc:"Receiver that is told nothing; every one that was told without it."`
	Minutes  int    `json:"minutes" minimum:"1" maximum:"1440" doc:"For how many minutes."`
	Reason   string `json:"reason" minLength:"1" maxLength:"300" doc:"Why. It stands in the audit."`
}

// Snoozed is until when nothing is told.
type Snoozed struct {
	Until time.Time `json:"until"`
}

// ActionRequest asks for one action to be retried or dropped.
type ActionRequest struct {
	Key    string `json:"key" minLength:"1" maxLength:"400" doc:"Key of the action."`
	Reason string `json:"reason" minLength:"1" maxLength:"300" doc:"Why. It stands in the audit."`
}

// OpenBreaker asks for a breaker to be opened.
type OpenBreaker struct {
	Namespace string `json:"namespace,omitempty" maxLength:"63" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" doc:"Namespace it is for; the whole cluster without it."`
	Reason    string `json:"reason" minLength:"1" maxLength:"300" doc:"Why. It stands in the audit."`
	Minutes   int    `json:"minutes,omitempty" minimum:"0" maximum:"10080" doc:"After how many minutes it closes by itself; 0: when somebody closes it."`
}

// CloseBreaker asks for a breaker to be closed.
type CloseBreaker struct {
	Namespace string `json:"namespace,omitempty" maxLength:"63" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" doc:"Namespace it is for; the whole cluster without it."`
	Reason    string `json:"reason" minLength:"1" maxLength:"300" doc:"Why. It stands in the audit."`
	Resume    bool   `json:"resume,omitempty" doc:"Let what it held go on, as far as the limits allow. Without it that waits for a person each."`
}

// Breakers are the breakers that ever opened.
type Breakers struct {
	Breakers []release.Breaker `json:"breakers" nullable:"false"`
}

package wire

import "github.com/watchtower-verify/watchtower/internal/release"

// Paths of what people do, and of what there is to do.
const (
	ActionsPath = "/api/v1/actions" // and /retry, /drop
	BreakerPath = "/api/v1/breaker" // and /open, /close
	// ApproveSuffix and RejectSuffix follow ReleasesPath/ID.
	ApproveSuffix = "/approve"
	RejectSuffix  = "/reject"
)

// Actions is the answer to a list of actions, changed last first.
type Actions struct {
	Actions []release.Action `json:"actions" nullable:"false"`
}

// Why is what a person says when approving or rejecting.
type Why struct {
	Reason string `json:"reason" minLength:"1" maxLength:"300" doc:"Why. It stands in the audit."`
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

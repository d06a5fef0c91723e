package release

import "time"

// ActionKind is something done to the outside because of a verdict.
type ActionKind string

// The actions.
const (
	ActionAlert    ActionKind = "alert"
	ActionRollback ActionKind = "rollback"
	ActionIssue    ActionKind = "issue"
	ActionEvent    ActionKind = "event"
	// ActionMessage keeps one receiver told of how a release stands.
	ActionMessage ActionKind = "message"
)

// ActionState is where an action stands.
type ActionState string

// The states of an action.
const (
	ActionPending ActionState = "pending"
	ActionDone    ActionState = "done"
	ActionVoid    ActionState = "void"    // its ground fell away; nothing was done
	ActionRefused ActionState = "refused" // a rule forbade it; nothing was done
	ActionFailed  ActionState = "failed"  // given up after its retries: a dead letter
	// ActionWaiting: a person must approve it first.
	ActionWaiting ActionState = "waiting"
)

// Action is one effect, known by its key, that happens once.
type Action struct {
	// Key is release ID + "/" + kind (+ "/" + sink or suffix). The ID stands for
	// the cluster, the workload's UID and the release.
	Key     string     `json:"key"`
	Release ID         `json:"release"`
	Kind    ActionKind `json:"kind"`
	// Sink is the receiver it is for; "" of a kind that has none.
	Sink   string      `json:"sink,omitempty"`
	State  ActionState `json:"state"`
	Detail string      `json:"detail,omitempty"` // what came of it, in words
	URL    string      `json:"url,omitempty"`
	// WaitsFor says what a waiting action waits for.
	WaitsFor Wait `json:"waits_for,omitempty"`
	// AskedBy is the person who asked for it where the policy would not have done
	// it; "" where the policy decided.
	AskedBy string `json:"asked_by,omitempty"`
	// ExpiresAt is when a waiting action can no longer be approved; nil: at any time.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	// PendingSince is from when on its patience counts: it was decided, approved
	// or retried.
	PendingSince time.Time `json:"pending_since,omitzero"`
	Attempts     int       `json:"attempts"` // since PendingSince
}

// Wait is what a waiting action waits for.
type Wait string

// What there is to wait for.
const (
	WaitsForApproval Wait = "approval" // the policy asks a person
	WaitsForBreaker  Wait = "breaker"  // too much happened at once
)

// By is who asks for something, and why; both stand in the audit.
type By struct {
	Actor  string // the name of a person or of a token
	Reason string
}

// ActionKey is the key of a release's only action of a kind.
func ActionKey(id ID, kind ActionKind) string { return string(id) + "/" + string(kind) }

// SinkKey is the key of a release's action of a kind for one receiver.
func SinkKey(id ID, kind ActionKind, sink string) string { return ActionKey(id, kind) + "/" + sink }

// RollbackRequest asks for a workload to be put back, fenced by what was true
// when the verdict fell: the same Deployment (its UID) with the pod template of
// From. How often it was scaled since does not matter.
type RollbackRequest struct {
	Release  ID
	Workload Workload
	From     ReplicaSet // the regressed one, which must be current
	Target   ReplicaSet // the one to put back
	Reason   string
}

// RollbackResult says what the rollback did.
type RollbackResult struct {
	Target ReplicaSet
	// Already is set when an earlier attempt of the same release had patched.
	Already    bool
	Generation int64
}

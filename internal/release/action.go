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
)

// ActionState is where an action stands.
type ActionState string

// The states of an action.
const (
	ActionPending ActionState = "pending"
	ActionDone    ActionState = "done"
	ActionVoid    ActionState = "void"    // its ground fell away; nothing was done
	ActionRefused ActionState = "refused" // a rule forbade it; nothing was done
	ActionFailed  ActionState = "failed"  // given up after its retries
	// ActionWaiting: a person must approve it first.
	ActionWaiting ActionState = "waiting"
)

// Action is one effect, known by its key, that happens once.
type Action struct {
	Key       string      `json:"key"` // release ID + "/" + kind (+ "/" + suffix)
	Release   ID          `json:"release"`
	Kind      ActionKind  `json:"kind"`
	State     ActionState `json:"state"`
	Detail    string      `json:"detail,omitempty"` // what came of it, in words
	URL       string      `json:"url,omitempty"`
	CreatedAt time.Time   `json:"created_at"`
	UpdatedAt time.Time   `json:"updated_at"`
	Attempts  int         `json:"attempts"`
}

// ActionKey is the key of a release's only action of a kind.
func ActionKey(id ID, kind ActionKind) string { return string(id) + "/" + string(kind) }

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

package release

import "time"

// Observation is the state of a rollout as the cluster shows it now.
type Observation struct {
	// Exists is false once the Deployment is gone.
	Exists bool `json:"exists"`
	// Current is false once the Deployment's template is no longer the release's.
	Current    bool  `json:"current"`
	Paused     bool  `json:"paused"`
	Generation int64 `json:"generation"`
	// Replicas is what the Deployment asks for.
	Replicas int      `json:"replicas"`
	Release  ArmState `json:"release"`
	Stable   ArmState `json:"stable"`
	// DeadlineExceeded is the controller's ProgressDeadlineExceeded condition, at
	// an observed generation.
	DeadlineExceeded bool `json:"deadline_exceeded"`
	// Complete: every replica runs the release's template and is ready.
	Complete bool `json:"complete"`
	// Services that select pods of the arms, by name, sorted. Empty also where
	// they may not be read.
	Services []string `json:"services,omitempty"`
}

// ArmState is the pods of one ReplicaSet.
type ArmState struct {
	Replicas int   `json:"replicas"` // as the ReplicaSet's status says
	Ready    int   `json:"ready"`
	Pods     []Pod `json:"pods"`
}

// Pod is what is known of one pod.
type Pod struct {
	Name      string            `json:"name"`
	IP        string            `json:"ip,omitempty"`
	CreatedAt time.Time         `json:"created_at"`
	ReadyAt   *time.Time        `json:"ready_at,omitempty"` // since when it is ready; nil when it is not
	Restarts  int               `json:"restarts"`
	Digests   map[string]string `json:"digests,omitempty"` // container → digest that runs
	Problems  []Problem         `json:"problems,omitempty"`
	Deleting  bool              `json:"deleting,omitempty"`
}

// ProblemKind is a state of a container that needs no statistics.
type ProblemKind string

// The problems a pod's status can show.
const (
	CrashLoop ProblemKind = "crash_loop" // CrashLoopBackOff, or restarted again and again
	ImagePull ProblemKind = "image_pull" // ImagePullBackOff, ErrImagePull, InvalidImageName
	OOMKilled ProblemKind = "oom_killed"
	// ConfigError: the container cannot be made from its spec.
	ConfigError ProblemKind = "config_error"
	// The next two are of the rollout, not of a container.
	NeverReady       ProblemKind = "never_ready"
	DeadlineExceeded ProblemKind = "deadline_exceeded"
)

// Problem is one thing that is wrong with a container.
type Problem struct {
	Kind      ProblemKind `json:"kind"`
	Container string      `json:"container"`
	Message   string      `json:"message"`
}

// WaitingProblem is what a container's reason to wait tells of its image or its
// spec; false for one that tells nothing.
func WaitingProblem(reason string) (ProblemKind, bool) {
	switch reason {
	case "CrashLoopBackOff":
		return CrashLoop, true
	case "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
		"RegistryUnavailable", "SignatureValidationFailed":
		return ImagePull, true
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return ConfigError, true
	}
	return "", false
}

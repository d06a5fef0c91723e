package release

// Rollout is a Deployment with its ReplicaSets as they stand now. Whether it
// is a release is decided from it (a scale-up, a restart or an annotation is
// none).
type Rollout struct {
	Workload   Workload
	Generation int64
	Replicas   int // asked for
	Paused     bool
	Recreate   bool
	// Annotations under AnnotationPrefix, keys without it.
	Annotations map[string]string
	// Labels of the workload that messages carry, such as team.
	Labels map[string]string
	// Current is the ReplicaSet whose template is the Deployment's.
	Current      ReplicaSet
	CurrentReady int
	// Others are the workload's other ReplicaSets, newest revision first.
	Others []RolloutReplicaSet
}

// RolloutReplicaSet is a ReplicaSet with its pods counted.
type RolloutReplicaSet struct {
	ReplicaSet
	Replicas int
	Ready    int
}

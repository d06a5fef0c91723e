package release

import "time"

// Breaker keeps rollbacks of a cluster, or of a namespace, from being done
// without a person while it is open.
type Breaker struct {
	Cluster string `json:"cluster"`
	// Namespace it is for; "" for the whole cluster.
	Namespace string    `json:"namespace,omitempty"`
	Open      bool      `json:"open"`
	ChangedAt time.Time `json:"changed_at"` // when it opened or closed
	// ClosesAt is when an open one closes by itself; nil: when a person closes it.
	ClosesAt *time.Time `json:"closes_at,omitempty"`
	Actor    string     `json:"actor"` // who opened or closed it
	Why      string     `json:"why"`
}

// Scope names what it is for.
func (b Breaker) Scope() string {
	if b.Namespace == "" {
		return "cluster " + b.Cluster
	}
	return "namespace " + b.Namespace
}

// Holds reports whether it keeps a rollback in a namespace from being done now.
func (b Breaker) Holds(namespace string, now time.Time) bool {
	return b.Open && (b.Namespace == "" || b.Namespace == namespace) && (b.ClosesAt == nil || b.ClosesAt.After(now))
}

// Holding is the first breaker that holds a rollback in a namespace, nil for none.
func Holding(breakers []Breaker, namespace string, now time.Time) *Breaker {
	for i := range breakers {
		if breakers[i].Holds(namespace, now) {
			return &breakers[i]
		}
	}
	return nil
}

package kube

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/client-go/tools/cache"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// told is what the Handler was last told of a workload.
type told struct {
	workload release.Workload
	rollout  fingerprint
}

// dispatch tells the Handler of every Deployment and then of every change,
// until the queue is shut down.
func (w *Watcher) dispatch() {
	known := make(map[string]told)
	for _, s := range w.scopes {
		for _, key := range s.deployments.GetStore().ListKeys() {
			w.tell(key, known)
		}
	}
	w.synced.Store(true)
	for {
		key, shutdown := w.queue.Get()
		if shutdown {
			return
		}
		w.tell(key, known)
		w.queue.Done(key)
	}
}

// tell hands the present state of a Deployment to the Handler unless that is
// what it was told last.
func (w *Watcher) tell(key string, known map[string]told) {
	d := w.deployment(key)
	last, seen := known[key]
	if seen && (d == nil || string(d.UID) != last.workload.UID) {
		delete(known, key)
		w.handler.Gone(last.workload)
	}
	if d == nil {
		return
	}
	r, ok := w.rollout(d)
	if !ok {
		return
	}
	state := fingerprintOf(r)
	if known[key].rollout == state {
		return
	}
	known[key] = told{r.Workload, state}
	w.handler.Rollout(r)
}

// deployment is the cached Deployment of a key, nil when there is none. One
// that is being deleted counts as gone: what its pods do is no news of a
// release.
func (w *Watcher) deployment(key string) *deployment {
	ns, _, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return nil
	}
	s := w.scope(ns)
	if s == nil {
		return nil
	}
	obj, exists, err := s.deployments.GetStore().GetByKey(key)
	if err != nil || !exists {
		return nil
	}
	d, ok := obj.(*deployment)
	if !ok || d.DeletionTimestamp != nil {
		return nil
	}
	return d
}

// rollout describes a Deployment. It is not ok while the controller has yet to
// act on the newest generation or to make the template's ReplicaSet: until
// then the highest revision is that of the version before.
func (w *Watcher) rollout(d *deployment) (release.Rollout, bool) {
	sets := w.replicaSets(d)
	current := currentOf(d, sets)
	if current == nil || d.observed < d.Generation {
		return release.Rollout{}, false
	}
	r := release.Rollout{
		Workload:     w.workload(d),
		Generation:   d.Generation,
		Replicas:     d.replicas,
		Paused:       d.paused,
		Recreate:     d.recreate,
		Annotations:  maps.Clone(d.annotations),
		Labels:       maps.Clone(d.labels),
		Current:      current.given(),
		CurrentReady: current.ready,
	}
	for _, rs := range sets {
		if rs != current {
			r.Others = append(r.Others, release.RolloutReplicaSet{ReplicaSet: rs.given(), Replicas: rs.replicas, Ready: rs.ready})
		}
	}
	slices.SortFunc(r.Others, newestFirst)
	return r, true
}

// replicaSets lists what a Deployment controls and keeps, oldest first.
func (w *Watcher) replicaSets(d *deployment) []*replicaSet {
	objs, err := w.scope(d.Namespace).replicaSets.GetIndexer().ByIndex(byOwner, string(d.UID))
	if err != nil {
		return nil // only an unknown index name gives an error
	}
	out := make([]*replicaSet, 0, len(objs))
	for _, obj := range objs {
		if rs, ok := obj.(*replicaSet); ok && rs.DeletionTimestamp == nil {
			out = append(out, rs)
		}
	}
	slices.SortFunc(out, func(a, b *replicaSet) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// currentOf is the ReplicaSet whose template is the Deployment's: the oldest
// such one, which is what the controller takes too.
func currentOf(d *deployment, oldestFirst []*replicaSet) *replicaSet {
	for _, rs := range oldestFirst {
		if rs.template == d.template {
			return rs
		}
	}
	return nil
}

// given is the version for others to keep and change.
func (rs *replicaSet) given() release.ReplicaSet {
	v := rs.version
	v.Images = slices.Clone(v.Images)
	return v
}

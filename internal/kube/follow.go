package kube

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/tools/cache"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// follow watches the pods of one release's arms.
type follow struct {
	release  release.Release
	selector string
	watch    string // its name in contact
	informer cache.SharedIndexInformer
	run      func() // until cancel
	cancel   context.CancelFunc
}

// Follow starts watching the pods of a release and of the ReplicaSet it takes
// over from, until Unfollow or the end of Run. Following what is followed
// changes nothing, unless the release's ReplicaSets are others now. It may be
// called before Run, and from a Handler.
func (w *Watcher) Follow(r release.Release) {
	selector, err := podSelector(r)
	if err != nil {
		w.log.Error("release cannot be followed", "release", r.ID, "workload", r.Workload.String(), "error", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, ok := w.follows[r.ID]; ok {
		if old.selector == selector {
			return
		}
		w.drop(r.ID, old)
	}
	f := &follow{release: r, selector: selector, watch: "pods of release " + string(r.ID)}
	pods := w.client.CoreV1().Pods(r.Workload.Namespace)
	f.informer, err = newInformer(w.contact, f.watch, w.contact.noting(f.watch), w.client, &corev1.Pod{},
		pods.List, pods.Watch, selector, podTransform(r.StartedAt))
	if err != nil {
		w.log.Error("release cannot be followed", "release", r.ID, "workload", r.Workload.String(), "error", err)
		return
	}
	ctx, cancel := context.WithCancel(w.contact.libraryLog(context.Background()))
	f.cancel = cancel
	f.run = func() { f.informer.RunWithContext(ctx) }
	w.follows[r.ID] = f
	if w.running {
		w.start(f)
	}
}

// podSelector matches the pods of both arms.
func podSelector(r release.Release) (string, error) {
	hashes := []string{r.ReplicaSet.Hash}
	if r.Previous != nil {
		hashes = append(hashes, r.Previous.Hash)
	}
	in, err := labels.NewRequirement(labelTemplateHash, selection.In, hashes)
	if err != nil {
		return "", err
	}
	return in.String(), nil
}

// Unfollow ends the watching of a release's pods. It does not wait for the
// watch to close.
func (w *Watcher) Unfollow(id release.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f, ok := w.follows[id]; ok {
		w.drop(id, f)
	}
}

// start and drop are called under w.mu.
func (w *Watcher) start(f *follow) {
	w.pods.Go(func() {
		f.run()
		w.contact.forget(f.watch)
	})
}

func (w *Watcher) drop(id release.ID, f *follow) {
	f.cancel()
	delete(w.follows, id)
}

// closeFollows ends every follow and waits for them.
func (w *Watcher) closeFollows() {
	w.mu.Lock()
	w.running = false
	for id, f := range w.follows {
		w.drop(id, f)
	}
	w.mu.Unlock()
	w.pods.Wait()
}

// Observe tells how a followed release stands now, from the caches. It is
// false until they are filled, and for a release that is not followed. While
// the API server is away it goes on answering with what was last known; see
// LastContact. What the answer points to is shared and must not be changed.
func (w *Watcher) Observe(id release.ID) (release.Observation, bool) {
	w.mu.Lock()
	f, ok := w.follows[id]
	w.mu.Unlock()
	if !ok || !w.synced.Load() || !f.informer.HasSynced() {
		return release.Observation{}, false
	}
	return w.observe(f), true
}

func (w *Watcher) observe(f *follow) release.Observation {
	r := f.release
	pods := f.informer.GetIndexer()
	active := activePods(pods, r.ReplicaSet.UID)
	o := release.Observation{Release: w.arm(r.Workload.Namespace, r.ReplicaSet, active)}
	if r.Previous != nil {
		stable := activePods(pods, r.Previous.UID)
		o.Stable = w.arm(r.Workload.Namespace, *r.Previous, stable)
		active = append(active, stable...)
	}
	o.Services = w.servicesOf(r.Workload.Namespace, active)
	d := w.deployment(r.Workload.Namespace + "/" + r.Workload.Name)
	if d == nil || string(d.UID) != r.Workload.UID {
		return o
	}
	o.Exists = true
	o.Paused = d.paused
	o.Generation = d.Generation
	o.Replicas = d.replicas
	current := currentOf(d, w.replicaSets(d))
	o.Current = current != nil && string(current.UID) == r.ReplicaSet.UID
	o.DeadlineExceeded = o.Current && names(d.timedOut, r.ReplicaSet.Name)
	o.Complete = o.Current && d.complete
	return o
}

// arm is the state of one ReplicaSet, empty of counts once it is deleted.
func (w *Watcher) arm(namespace string, v release.ReplicaSet, pods []*pod) release.ArmState {
	a := release.ArmState{Pods: statesOf(pods)}
	s := w.scope(namespace)
	if s == nil {
		return a
	}
	obj, exists, err := s.replicaSets.GetStore().GetByKey(namespace + "/" + v.Name)
	if err != nil || !exists {
		return a
	}
	if rs, ok := obj.(*replicaSet); ok && string(rs.UID) == v.UID {
		a.Replicas, a.Ready = rs.replicas, rs.ready
	}
	return a
}

// Peers names the Deployments of a namespace that are to run pods, in order.
func (w *Watcher) Peers(namespace string) []string {
	var out []string
	for _, s := range w.scopes {
		for _, obj := range s.deployments.GetStore().List() {
			if d, ok := obj.(*deployment); ok && d.Namespace == namespace && d.replicas > 0 {
				out = append(out, d.Name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

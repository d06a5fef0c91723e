package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// podPage is how many pods one answer of the API server holds.
const podPage = 500

// Workload tells how a workload stands now that need not be rolling out. Its
// pods are read from the API server, as no watch of them stands; all of them,
// whichever ReplicaSet they are of, are the Observation's Stable arm, its
// Release arm is empty.
//
// Errors are *release.Error: CodeNotFound for a Deployment that is not there
// or not watched, CodeUnavailable while the caches are not filled, the
// controller has yet to act, or the API server does not answer, CodeRefused
// where pods may not be listed.
func (w *Watcher) Workload(ctx context.Context, namespace, name string) (release.Rollout, release.Observation, error) {
	d, err := w.known(namespace, name)
	if err != nil {
		return release.Rollout{}, release.Observation{}, err
	}
	r, ok := w.rollout(d)
	if !ok {
		return release.Rollout{}, release.Observation{}, release.E(release.CodeUnavailable,
			fmt.Sprintf("Kubernetes has yet to act on the newest version of %s/%s: try again in a moment", namespace, name), nil)
	}
	pods, err := w.listPods(ctx, r)
	if err != nil {
		return release.Rollout{}, release.Observation{}, err
	}
	stable := release.ArmState{Replicas: len(pods), Ready: r.CurrentReady, Pods: statesOf(pods)}
	for _, rs := range r.Others {
		stable.Ready += rs.Ready
	}
	return r, release.Observation{
		Exists: true, Current: true, Paused: d.paused, Generation: d.Generation, Replicas: d.replicas, Complete: d.complete,
		DeadlineExceeded: names(d.timedOut, r.Current.Name),
		Stable:           stable,
		Services:         w.servicesOf(namespace, pods),
	}, nil
}

// known is the cached Deployment, or says why there is none.
func (w *Watcher) known(namespace, name string) (*deployment, error) {
	switch {
	case !w.cfg.covers(namespace):
		return nil, release.E(release.CodeNotFound,
			fmt.Sprintf("namespace %s is not watched: kubernetes.namespaces names %s", namespace, w.cfg.scopeWords()), nil)
	case !w.synced.Load():
		return nil, release.E(release.CodeUnavailable, "the caches of the cluster are not filled yet: try again in a moment", nil)
	}
	if d := w.deployment(namespace + "/" + name); d != nil {
		return d, nil
	}
	return nil, release.E(release.CodeNotFound,
		fmt.Sprintf("there is no Deployment %s in namespace %s; `kubectl get deployments -n %s` lists them", name, namespace, namespace), nil)
}

// listPods reads the active pods of a workload, in order of name.
func (w *Watcher) listPods(ctx context.Context, r release.Rollout) ([]*pod, error) {
	owners, hashes := []string{r.Current.UID}, []string{r.Current.Hash}
	for _, rs := range r.Others {
		if rs.Replicas > 0 {
			owners, hashes = append(owners, rs.UID), append(hashes, rs.Hash)
		}
	}
	namespace, forget := r.Workload.Namespace, time.Now().Add(-crashMemory)
	o := metav1.ListOptions{LabelSelector: labelTemplateHash + " in (" + strings.Join(hashes, ",") + ")", Limit: podPage}
	var out []*pod
	for {
		l, err := w.client.CoreV1().Pods(namespace).List(ctx, o)
		if err != nil {
			return nil, apiError("list", "pods", namespace, "", err)
		}
		for i := range l.Items {
			if p := trimPod(&l.Items[i], forget); p.active && slices.Contains(owners, p.owner) {
				out = append(out, p)
			}
		}
		if o.Continue = l.Continue; o.Continue == "" {
			break
		}
	}
	slices.SortFunc(out, func(a, b *pod) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

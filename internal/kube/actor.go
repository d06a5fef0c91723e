package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// actTimeout bounds every call of the Actor, retries of the client library
// included. What is not done by then answers CodeUnavailable.
const actTimeout = 10 * time.Second

// Actor reads live, not from caches, and writes to the cluster. Every error is
// a *release.Error: CodeVoid when the ground of the action fell away,
// CodeRefused when trying again will not help until somebody changes something,
// CodeUnavailable when it should be tried again.
type Actor struct {
	client kubernetes.Interface
	cfg    Config
}

// NewActor makes an Actor for the workloads of cfg's cluster and namespaces.
// The client's own rate limit should allow bursts of twenty requests.
func NewActor(client kubernetes.Interface, cfg Config) *Actor {
	return &Actor{client: client, cfg: cfg}
}

// ReplicaSets lists what a workload's Deployment controls now, newest revision
// first, the current one included. CodeVoid when the Deployment is gone or is
// another one of the same name.
func (a *Actor) ReplicaSets(ctx context.Context, w release.Workload) ([]release.RolloutReplicaSet, error) {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	d, err := a.deployment(ctx, w)
	if err != nil {
		return nil, err
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, release.E(release.CodeInternal, "read the selector of deployment "+w.String(), err)
	}
	list, err := a.client.AppsV1().ReplicaSets(w.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, apiError("list", "replicasets.apps", w.Namespace, "", err)
	}
	var out []release.RolloutReplicaSet
	for i := range list.Items {
		rs := &list.Items[i]
		if metav1.IsControlledBy(rs, d) && rs.DeletionTimestamp == nil {
			out = append(out, release.RolloutReplicaSet{
				ReplicaSet: version(rs), Replicas: int(rs.Status.Replicas), Ready: int(rs.Status.ReadyReplicas),
			})
		}
	}
	slices.SortFunc(out, newestFirst)
	return out, nil
}

// Restored reports whether a rollback is through: the target's template is the
// Deployment's and every replica runs it and is ready. CodeVoid when that will
// not come: the Deployment or the target is gone, or a newer change took over.
func (a *Actor) Restored(ctx context.Context, w release.Workload, target release.ReplicaSet) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	d, err := a.deployment(ctx, w)
	if err != nil {
		return false, err
	}
	rs, err := a.replicaSet(ctx, w, target)
	if err != nil {
		return false, err
	}
	if rs.missing != "" {
		return false, release.E(release.CodeVoid, rs.missing, nil)
	}
	if templateFingerprint(&d.Spec.Template) != templateFingerprint(&rs.Spec.Template) {
		return false, release.E(release.CodeVoid,
			fmt.Sprintf("deployment %s no longer has the pod template of %s", w, target.Name), nil)
	}
	return complete(d), nil
}

// deployment reads a workload's Deployment. CodeVoid when it is gone, is being
// deleted, or is another one of the same name.
func (a *Actor) deployment(ctx context.Context, w release.Workload) (*appsv1.Deployment, error) {
	if w.Cluster != a.cfg.Cluster || !a.cfg.covers(w.Namespace) {
		return nil, a.notOurs(w)
	}
	d, err := a.client.AppsV1().Deployments(w.Namespace).Get(ctx, w.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, release.E(release.CodeVoid, fmt.Sprintf("deployment %s is gone", w), nil)
	case err != nil:
		return nil, apiError("get", "deployments.apps", w.Namespace, w.Name, err)
	case string(d.UID) != w.UID:
		return nil, release.E(release.CodeVoid,
			fmt.Sprintf("deployment %s was deleted and made again: its UID is %s, not %s", w, d.UID, w.UID), nil)
	case d.DeletionTimestamp != nil:
		return nil, release.E(release.CodeVoid, fmt.Sprintf("deployment %s is being deleted", w), nil)
	}
	return d, nil
}

func (a *Actor) notOurs(w release.Workload) error {
	return release.E(release.CodeRefused, fmt.Sprintf(
		"deployment %s of cluster %q is not acted on here, but cluster %q with namespaces %s",
		w, w.Cluster, a.cfg.Cluster, a.cfg.scopeWords()), nil)
}

// liveReplicaSet is a ReplicaSet with its template exactly as the API server
// wrote it, fields included that this program does not know.
type liveReplicaSet struct {
	appsv1.ReplicaSet
	template map[string]any
	// missing says in words that the ReplicaSet is not there to be used; all
	// else is empty then.
	missing string
}

// replicaSet reads one of a workload's ReplicaSets.
func (a *Actor) replicaSet(ctx context.Context, w release.Workload, v release.ReplicaSet) (*liveReplicaSet, error) {
	answer := a.client.AppsV1().RESTClient().Get().Namespace(w.Namespace).Resource("replicasets").Name(v.Name).
		SetHeader("Accept", "application/json").Do(ctx)
	err := answer.Error()
	if apierrors.IsNotFound(err) {
		return &liveReplicaSet{missing: fmt.Sprintf(
			"replicaset %s/%s is gone; revisionHistoryLimit says how many old ones are kept", w.Namespace, v.Name)}, nil
	}
	if err != nil {
		return nil, apiError("get", "replicasets.apps", w.Namespace, v.Name, err)
	}
	body, err := answer.Raw()
	if err != nil {
		return nil, apiError("get", "replicasets.apps", w.Namespace, v.Name, err)
	}
	rs, err := decodeReplicaSet(body)
	if err != nil {
		return nil, release.E(release.CodeInternal, fmt.Sprintf("read replicaset %s/%s", w.Namespace, v.Name), err)
	}
	if why := unusable(rs, w, v); why != "" {
		return &liveReplicaSet{missing: why}, nil
	}
	return rs, nil
}

func decodeReplicaSet(body []byte) (*liveReplicaSet, error) {
	var rs liveReplicaSet
	if err := json.Unmarshal(body, &rs.ReplicaSet); err != nil {
		return nil, err
	}
	var whole struct {
		Spec struct {
			Template json.RawMessage `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(body, &whole); err != nil {
		return nil, err
	}
	var err error
	rs.template, err = bareTemplate(whole.Spec.Template)
	return &rs, err
}

// unusable says why a ReplicaSet is not the one that was meant.
func unusable(rs *liveReplicaSet, w release.Workload, v release.ReplicaSet) string {
	name := w.Namespace + "/" + rs.Name
	switch owner := metav1.GetControllerOf(&rs.ReplicaSet); {
	case string(rs.UID) != v.UID:
		return fmt.Sprintf("replicaset %s was deleted and made again: its UID is %s, not %s", name, rs.UID, v.UID)
	case rs.DeletionTimestamp != nil:
		return fmt.Sprintf("replicaset %s is being deleted", name)
	case owner == nil:
		return fmt.Sprintf("replicaset %s belongs to no deployment", name)
	case string(owner.UID) != w.UID:
		return fmt.Sprintf("replicaset %s belongs to %s %s, not to deployment %s", name, owner.Kind, owner.Name, w)
	}
	return ""
}

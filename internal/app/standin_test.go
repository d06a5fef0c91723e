package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
)

// standIn is an API server in memory for whole processes: Deployments and
// ReplicaSets with lists and watches, and Leases, strict about the resource
// version of what is written.
type standIn struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	version int
	objects map[string]map[string]metav1.Object // by resource and name
	history []change
	leases  map[string]*coordinationv1.Lease
	holders []string // of each write that gave a Lease to another
}

type change struct {
	version  int
	resource string
	kind     string // ADDED, MODIFIED
	object   []byte
}

func newStandIn(t *testing.T) (*standIn, string) {
	s := &standIn{changed: make(chan struct{}), objects: map[string]map[string]metav1.Object{}, leases: map[string]*coordinationv1.Lease{}}
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: %q}}], contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}]}`, server.URL)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, path
}

var kinds = map[string]schema.GroupVersionKind{
	"deployments": appsv1.SchemeGroupVersion.WithKind("Deployment"), "replicasets": appsv1.SchemeGroupVersion.WithKind("ReplicaSet"),
	"pods": corev1.SchemeGroupVersion.WithKind("Pod"), "services": corev1.SchemeGroupVersion.WithKind("Service"),
}

// put makes an object or writes it anew.
func (s *standIn) put(t *testing.T, resource string, o metav1.Object) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	o.SetResourceVersion(strconv.Itoa(s.version))
	kind := "ADDED"
	if _, there := s.objects[resource][o.GetName()]; there {
		kind = "MODIFIED"
	}
	if s.objects[resource] == nil {
		s.objects[resource] = map[string]metav1.Object{}
	}
	s.objects[resource][o.GetName()] = o
	s.history = append(s.history, change{s.version, resource, kind, encode(t, resource, o)})
	close(s.changed)
	s.changed = make(chan struct{})
}

func encode(t *testing.T, resource string, o metav1.Object) []byte {
	t.Helper()
	object, ok := o.(runtime.Object)
	if !ok {
		t.Fatalf("%T is no object", o)
	}
	object.GetObjectKind().SetGroupVersionKind(kinds[resource])
	body, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if strings.Contains(r.URL.Path, "/leases") {
		s.serveLease(w, r)
		return
	}
	resource := parts[len(parts)-1]
	gvk, known := kinds[resource]
	switch {
	case !known || r.Method != http.MethodGet:
		answer(w, http.StatusNotFound, apierrors.NewNotFound(schema.GroupResource{Resource: resource}, "").Status())
	case r.URL.Query().Get("watch") != "":
		s.watch(w, r, resource)
	default:
		s.mu.Lock()
		items := []metav1.Object{}
		for _, o := range s.objects[resource] {
			items = append(items, o)
		}
		list := map[string]any{
			"apiVersion": gvk.GroupVersion().String(), "kind": gvk.Kind + "List",
			"metadata": map[string]string{"resourceVersion": strconv.Itoa(s.version)}, "items": items,
		}
		s.mu.Unlock()
		answer(w, http.StatusOK, list)
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // who asked may be dead
}

func (s *standIn) watch(w http.ResponseWriter, r *http.Request, resource string) {
	since, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	for {
		s.mu.Lock()
		changed := s.changed
		for _, c := range s.history {
			if c.resource == resource && c.version > since {
				since = c.version
				fmt.Fprintf(w, `{"type":%q,"object":%s}`+"\n", c.kind, c.object)
			}
		}
		s.mu.Unlock()
		w.(http.Flusher).Flush() //nolint:forcetypeassert // the server's own
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (s *standIn) serveLease(w http.ResponseWriter, r *http.Request) {
	leases := schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	have := s.leases[name]
	if r.Method == http.MethodGet {
		if have == nil {
			answer(w, http.StatusNotFound, apierrors.NewNotFound(leases, name).Status())
			return
		}
		answer(w, http.StatusOK, have)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	o, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	lease, ok := o.(*coordinationv1.Lease)
	switch {
	case err != nil || !ok:
		answer(w, http.StatusBadRequest, apierrors.NewBadRequest(fmt.Sprint(err)).Status())
		return
	case r.Method == http.MethodPost && s.leases[lease.Name] != nil:
		answer(w, http.StatusConflict, apierrors.NewAlreadyExists(leases, lease.Name).Status())
		return
	case r.Method == http.MethodPut && (have == nil || have.ResourceVersion != lease.ResourceVersion):
		answer(w, http.StatusConflict, apierrors.NewConflict(leases, name, fmt.Errorf("it was changed")).Status())
		return
	}
	holder := func(l *coordinationv1.Lease) string {
		if l == nil || l.Spec.HolderIdentity == nil {
			return ""
		}
		return *l.Spec.HolderIdentity
	}
	if holder(have) != holder(lease) {
		s.holders = append(s.holders, holder(lease))
	}
	s.version++
	lease.ResourceVersion, lease.UID = strconv.Itoa(s.version), "lease"
	lease.SetGroupVersionKind(coordinationv1.SchemeGroupVersion.WithKind("Lease"))
	s.leases[lease.Name] = lease
	answer(w, http.StatusOK, lease)
}

// roll has a Deployment run a version, as its controller would have it.
func (s *standIn) roll(t *testing.T, name string, version int) {
	t.Helper()
	replicas, yes := int32(2), true
	labels := map[string]string{"app": name}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: fmt.Sprintf("mycompany/%s:v%d", name, version)}}},
	}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "shop", UID: types.UID("uid-" + name), Generation: int64(version),
			Annotations: map[string]string{"deployment.kubernetes.io/revision": strconv.Itoa(version)},
		},
		Spec:   appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
		Status: appsv1.DeploymentStatus{ObservedGeneration: int64(version)},
	}
	hash := fmt.Sprintf("hash%d", version)
	template.Labels = map[string]string{"app": name, "pod-template-hash": hash}
	s.put(t, "replicasets", &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: name + "-" + hash, Namespace: "shop", UID: types.UID("rs-" + hash),
			Labels: template.Labels, Annotations: d.Annotations, CreationTimestamp: metav1.NewTime(time.Now()),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: name, UID: d.UID, Controller: &yes}},
		},
		Spec:   appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template},
		Status: appsv1.ReplicaSetStatus{Replicas: 2, ReadyReplicas: 2, AvailableReplicas: 2},
	})
	s.put(t, "deployments", d)
}

// ledBy tells who has led, one after the other.
func (s *standIn) ledBy() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.holders...)
}

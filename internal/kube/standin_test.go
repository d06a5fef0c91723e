package kube

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// standIn is an API server in memory, strict where the Actor leans on the real
// one: it evaluates JSON patches with their tests, moves the generation with
// every change of a spec or of an annotation, and answers errors in the API's
// form. The Deployment controller acts in settle.
type standIn struct {
	mu          sync.Mutex
	deployments map[string]*appsv1.Deployment
	sets        map[string]*appsv1.ReplicaSet
	events      map[string]*corev1.Event
	serial      int

	// before runs ahead of each request, without the lock: what others do meanwhile.
	before func(*http.Request)
	// fault answers instead of the server when it returns an error or a response.
	fault func(*http.Request) (*http.Response, error)
	// after may drop the answer of a request that was carried out.
	after func(*http.Request) error
	// edit changes an object's JSON before it is sent.
	edit func(path string, body []byte) []byte

	writes  []write
	patches []string // bodies of accepted patches, dry ones too
}

// write is an accepted patch that was no dry run.
type write struct{ before, after *appsv1.Deployment }

func newStandIn() *standIn {
	return &standIn{
		deployments: make(map[string]*appsv1.Deployment),
		sets:        make(map[string]*appsv1.ReplicaSet),
		events:      make(map[string]*corev1.Event),
	}
}

func (s *standIn) client(t testing.TB) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(&rest.Config{Host: "http://kubernetes.test", Transport: s, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// RoundTrip serves a request without a network.
func (s *standIn) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.before != nil {
		s.before(r)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if s.fault != nil {
		if resp, err := s.fault(r); resp != nil || err != nil {
			return resp, err
		}
	}
	rec := httptest.NewRecorder()
	s.serve(rec, r)
	if s.after != nil {
		if err := s.after(r); err != nil {
			return nil, err
		}
	}
	return rec.Result(), nil
}

func (s *standIn) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	at := func(i int) string {
		if i < len(parts) {
			return parts[i]
		}
		return ""
	}
	n := 3 // apis/apps/v1/namespaces/…
	if at(0) == "api" {
		n = 2
	}
	ns, resource, name := at(n+1), at(n+2), at(n+3)
	key := ns + "/" + name
	switch r.Method + " " + resource {
	case "GET deployments":
		respond(s, w, r, s.deployments[key], notFound("deployments", name))
	case "PATCH deployments":
		s.patch(w, r, key, name)
	case "GET replicasets":
		if name == "" {
			s.list(w, r, ns)
			return
		}
		respond(s, w, r, s.sets[key], notFound("replicasets", name))
	case "POST events":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil {
			panic(err)
		}
		e := obj.(*corev1.Event)
		if _, ok := s.events[e.Name]; ok {
			status(w, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "events"}, e.Name))
			return
		}
		s.events[e.Name] = e
		respond(s, w, r, e, nil)
	default:
		panic("the stand-in does not know " + r.Method + " " + r.URL.Path)
	}
}

func notFound(resource, name string) *apierrors.StatusError {
	return apierrors.NewNotFound(schema.GroupResource{Group: "apps", Resource: resource}, name)
}

func respond[T any](s *standIn, w http.ResponseWriter, r *http.Request, obj *T, missing *apierrors.StatusError) {
	if obj == nil {
		status(w, missing)
		return
	}
	body, err := json.Marshal(obj)
	if err != nil {
		panic(err)
	}
	if s.edit != nil {
		body = s.edit(r.URL.Path, body)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

func status(w http.ResponseWriter, err *apierrors.StatusError) {
	st := err.Status()
	st.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	body, _ := json.Marshal(st)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(err.Status().Code))
	_, _ = w.Write(body)
}

// answer is a faulty server's response.
func answer(err *apierrors.StatusError) (*http.Response, error) {
	rec := httptest.NewRecorder()
	status(rec, err)
	return rec.Result(), nil
}

func (s *standIn) list(w http.ResponseWriter, r *http.Request, ns string) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		panic(err)
	}
	list := &appsv1.ReplicaSetList{}
	for _, rs := range s.sets {
		if rs.Namespace == ns && selector.Matches(labels.Set(rs.Labels)) {
			list.Items = append(list.Items, *rs)
		}
	}
	respond(s, w, r, list, nil)
}

func (s *standIn) patch(w http.ResponseWriter, r *http.Request, key, name string) {
	d := s.deployments[key]
	if d == nil {
		status(w, notFound("deployments", name))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	before, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	p, err := jsonpatch.DecodePatch(body)
	if err != nil {
		status(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	after, err := p.Apply(before)
	if err != nil { // as the API server answers a failed test
		status(w, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false))
		return
	}
	s.patches = append(s.patches, string(body))
	var next appsv1.Deployment
	dec := json.NewDecoder(bytes.NewReader(after))
	if err := dec.Decode(&next); err != nil {
		status(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	s.stamp(d, &next)
	if r.URL.Query().Get("dryRun") != "All" {
		s.writes = append(s.writes, write{d.DeepCopy(), next.DeepCopy()})
		s.deployments[key] = &next
	}
	respond(s, w, r, &next, nil)
}

// stamp moves generation and resource version as the API server does.
func (s *standIn) stamp(before, after *appsv1.Deployment) {
	s.serial++
	after.ResourceVersion = fmt.Sprint(s.serial)
	after.Generation = before.Generation
	if !apiequality.Semantic.DeepEqual(before.Spec, after.Spec) ||
		!apiequality.Semantic.DeepEqual(before.Annotations, after.Annotations) {
		after.Generation++
	}
}

package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"pgregory.net/rapid"
)

func newService(ns, name string, selector map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec:       corev1.ServiceSpec{Selector: selector},
	}
}

func (w *world) service(s *corev1.Service) {
	w.t.Helper()
	must[*corev1.Service](w.t)(w.client.CoreV1().Services(s.Namespace).Create(context.Background(), s, metav1.CreateOptions{}))
}

// rolling is a world with one pod in each arm of the followed release r1.
func (w *world) rolling() {
	w.t.Helper()
	w.first()
	w.roll(bad, "b", 2)
	w.pod("a", "11111", nil)
	w.pod("b", "11111", nil)
	w.watcher.Follow(badRelease())
}

func TestWhichServicesSelectTheArms(t *testing.T) {
	app := map[string]string{"app": testName}
	tests := []struct {
		name    string
		service *corev1.Service
		want    bool
	}{
		{"one that selects by a label of both arms", newService(testNS, "web", app), true},
		{"one that selects the release's pods alone", newService(testNS, "canary", map[string]string{"app": testName, labelTemplateHash: "b"}), true},
		{"one that selects the stable pods alone", newService(testNS, "main", map[string]string{labelTemplateHash: "a"}), true},
		{"not one that wants a further label", newService(testNS, "admin", map[string]string{"app": testName, "role": "admin"}), false},
		{"not one that wants a label to be empty that is missing", newService(testNS, "empty", map[string]string{"app": testName, "role": ""}), false},
		{"not one that wants another value", newService(testNS, "other", map[string]string{"app": "other"}), false},
		{"not one of another namespace", newService("elsewhere", "web", app), false},
		{"not one without a selector", newService(testNS, "external", nil), false},
		{"not an alias of a name outside", &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: testNS, Name: "alias"},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com", Selector: app},
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				w.rolling()
				w.service(tt.service)
				w.run()
				var want []string
				if tt.want {
					want = []string{tt.service.Name}
				}
				if diff := cmp.Diff(want, w.observation().Services); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestServicesThatComeAndGoAreSeen(t *testing.T) {
	inWorld(t, Config{Namespaces: []string{testNS}}, func(w *world) {
		w.rolling()
		w.run()
		services := w.client.CoreV1().Services(testNS)
		for _, name := range []string{"web", "api"} {
			w.service(newService(testNS, name, map[string]string{"app": testName}))
		}
		if got := w.observation().Services; !slices.Equal(got, []string{"api", "web"}) {
			t.Errorf("services %v, want api and web in order", got)
		}
		must[*corev1.Service](t)(services.Update(context.Background(), newService(testNS, "api", map[string]string{"app": "api"}), metav1.UpdateOptions{}))
		if got := w.observation().Services; !slices.Equal(got, []string{"web"}) {
			t.Errorf("services %v after api selects others, want web", got)
		}
		if err := services.Delete(context.Background(), "web", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := w.observation().Services; len(got) != 0 {
			t.Errorf("services %v after web was deleted, want none", got)
		}
	})
}

// refuseServices makes every list and watch of Services answer with the fault
// until the returned function is called.
func (w *world) refuseServices(fault error) (allow func()) {
	var on atomic.Bool
	on.Store(true)
	w.client.PrependReactor("list", "services", func(clienttesting.Action) (bool, apiruntime.Object, error) { return on.Load(), nil, fault })
	w.client.PrependWatchReactor("services", func(clienttesting.Action) (bool, watch.Interface, error) { return on.Load(), nil, fault })
	return func() { on.Store(false) }
}

func TestWithoutThePermissionToReadServicesAllElseGoesOn(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		var log strings.Builder
		w.watcher = NewWatcher(w.client, Config{Cluster: testCluster}, &w.seen, testLogger(&log))
		allow := w.refuseServices(apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "", errors.New("not granted")))
		w.rolling()
		w.service(newService(testNS, "web", map[string]string{"app": testName}))
		w.run()
		w.only()
		if o := w.observation(); !o.Exists || len(o.Release.Pods) != 1 || len(o.Services) != 0 {
			t.Errorf("observation %+v, want pods and no services", o)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := strings.Count(log.String(), "services may not be read"); n != 1 {
			t.Errorf("the missing permission was said %d times:\n%s", n, log.String())
		}
		if since := time.Since(w.watcher.LastContact()); since > time.Second {
			t.Errorf("a missing permission was taken for a loss of contact %s ago", since)
		}

		allow()
		time.Sleep(2 * time.Minute) // the library's longest wait between tries is a minute
		if got := w.observation().Services; !slices.Equal(got, []string{"web"}) {
			t.Errorf("services %v once they may be read, want web", got)
		}
		if n := strings.Count(log.String(), "services can be read now"); n != 1 {
			t.Errorf("the permission was told of %d times:\n%s", n, log.String())
		}
	})
}

func TestServicesThatCannotBeListedAreALossAndKeepNobodyWaiting(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.refuseServices(apierrors.NewInternalError(errors.New("out of order")))
		w.rolling()
		before := time.Now()
		w.run()
		w.only()
		time.Sleep(time.Minute)
		if !w.watcher.Synced() {
			t.Error("not synced for want of services")
		}
		if last := w.watcher.LastContact(); last.Sub(before) > 5*time.Second {
			t.Errorf("last contact %s after services were lost", last.Sub(before))
		}
	})
}

// The index looks at few Services; it must find all that Kubernetes would.
func TestTheServicesFoundAreThoseThatSelectThePod(t *testing.T) {
	set := rapid.MapOfN(rapid.SampledFrom([]string{"app", "tier", "a=b", "role"}), rapid.SampledFrom([]string{"", "x", "y", "b=x"}), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		w := NewWatcher(nil, Config{}, nil, nil)
		indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{bySelector: selectorIndex})
		w.scopes[""] = &scope{services: indexed{indexer: indexer}}
		pods := []*pod{{labels: set.Draw(t, "one pod")}, {labels: set.Draw(t, "another pod")}}
		want := map[string]bool{}
		for i := range rapid.IntRange(0, 6).Draw(t, "services") {
			s := newService(testNS, fmt.Sprint("s", i), set.Draw(t, "selector"))
			obj, _ := trimService(s)
			if err := indexer.Add(obj); err != nil {
				t.Fatal(err)
			}
			for _, p := range pods {
				if len(s.Spec.Selector) > 0 && contains(p.labels, s.Spec.Selector) {
					want[s.Name] = true
				}
			}
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), w.servicesOf(testNS, pods)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// indexed is an informer of which only the indexer is asked.
type indexed struct {
	cache.SharedIndexInformer
	indexer cache.Indexer
}

func (i indexed) GetIndexer() cache.Indexer { return i.indexer }

func contains(all, some map[string]string) bool {
	both := maps.Clone(all)
	if both == nil {
		both = map[string]string{}
	}
	maps.Copy(both, some)
	return maps.Equal(both, all)
}

// BenchmarkCacheOf10000Services reports what the cache keeps of them.
func BenchmarkCacheOf10000Services(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		kept := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{bySelector: selectorIndex})
		for i := range 10_000 {
			s := newService(testNS, fmt.Sprintf("service-%d", i), map[string]string{"app.kubernetes.io/name": fmt.Sprintf("service-%d", i), "app.kubernetes.io/instance": "production"})
			s.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": string(make([]byte, 1000))}
			s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}}
			trimmed, _ := trimService(s)
			_ = kept.Add(trimmed)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-kept")
		runtime.KeepAlive(kept)
	}
}
